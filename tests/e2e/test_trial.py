"""The trial as its persons live it: offered once, never charged, told before it ends, quiet for whoever bought."""

import asyncio

from app import housekeeping
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S, Tongue, said
from tests.support.telegram import Person, Seen

BUTTON = {"ru": "7 дней бесплатно", "en": "7 days free"}
STARTED = {"ru": "Форма на пробу: до", "en": "Forma trial: until"}
ENDING = {"ru": "Форма на пробу закончится", "en": "Forma trial ends on"}
ENDED = {"ru": "пробный период закончился, ничего не списано", "en": "the trial has ended, nothing was charged"}
PLANS = {"ru": "Планы", "en": "Plans"}
TRIALS = "SELECT count(*) FROM trials WHERE person_id = :id"
LOT = """
    SELECT coalesce(sum(l.remaining), 0) FROM lots l JOIN accounts a ON a.id = l.account_id
    WHERE a.person_id = :id AND l.kind = 'trial'
"""


async def begin(person: Person, say: Tongue) -> Seen:
    """Start the trial from /plans; returns the offer."""
    offer = await shop.offer(person, say)
    await person.press(offer, BUTTON[say.language])
    await person.wait_for(STARTED[say.language], timeout_s=WAIT_S)
    return offer


async def test_a_trial_is_one_button_and_every_command_says_the_truth_about_it(forma: Forma) -> None:
    await asyncio.gather(*(_one_button(forma, language) for language in TONGUES))
    assert await forma.violations() == []


async def _one_button(forma: Forma, language: str) -> None:
    say = TONGUES[language]
    person = await forma.person(language)
    offer = await shop.offer(person, say)
    assert offer.labels[0] == BUTTON[language]
    assert {"ru": "Попробовать «Форма»: 7 дней бесплатно, ≈ 60 ответов", "en": "Try Forma: 7 days for free"}[
        language
    ] in offer.text.replace("\u00a0", " ")
    presses = await asyncio.gather(*(person.press(offer, BUTTON[language]) for _ in range(5)))
    await person.wait_for(STARTED[language], timeout_s=WAIT_S)
    toasts = [(await person.toast(press, timeout_s=WAIT_S)).get("text") for press in presses]
    assert sum(bool(text) for text in toasts) == 4
    refused = {"ru": "Пробный период даётся один раз", "en": "There is one trial for each person"}[language]
    assert all(text.startswith(refused) for text in toasts if text)
    assert await forma.scalar(TRIALS, id=person.id) == 1
    assert await forma.scalar(LOT, id=person.id) == 60_000
    await person.send("/subscription")
    card = await person.wait_for(
        {"ru": "сам закончится и ничего не спишет", "en": "ends by itself and charges nothing"}[language],
        timeout_s=WAIT_S,
    )
    assert card.labels == [PLANS[language]]
    await person.send("/balance")
    await person.wait_for({"ru": "пробный период: 60 000", "en": "trial: 60,000"}[language], timeout_s=WAIT_S)
    again = await shop.offer(person, say)
    assert BUTTON[language] not in again.labels
    assert {"ru": "Сейчас у вас: Форма на пробу", "en": "You have: Forma trial"}[language] in again.text
    assert await person.stars() == 5_000


async def test_the_end_is_told_a_day_before_and_when_it_is_there_but_not_to_whoever_bought(forma: Forma) -> None:
    tried = {language: await forma.person(language) for language in TONGUES}
    buyer = await forma.person("ru")
    await asyncio.gather(
        begin(buyer, shop.RU), *(begin(person, TONGUES[language]) for language, person in tried.items())
    )
    await forma.advance(days=1)
    await shop.subscribe(buyer, shop.RU)
    assert await forma.scalar(LOT, id=buyer.id) == 60_000
    await forma.advance(days=4, hours=23)
    assert [said(person, ENDING[language]) for language, person in tried.items()] == [[], []]
    await forma.advance(hours=2)
    for language, person in tried.items():
        notice = await person.wait_for(ENDING[language], timeout_s=WAIT_S, since=0)
        assert notice.labels == [PLANS[language]]
    await forma.advance(hours=2)
    await forma.advance(days=1)
    for language, person in tried.items():
        ended = await person.wait_for(ENDED[language], timeout_s=WAIT_S, since=0)
        assert ended.labels == [PLANS[language]]
    await housekeeping.minute(forma.app)
    for language, person in tried.items():
        assert await forma.scalar(LOT, id=person.id) == 0
        await person.send("/subscription")
        await person.wait_for({"ru": "Подписки нет", "en": "No subscription"}[language], timeout_s=WAIT_S)
        assert (len(said(person, ENDING[language])), len(said(person, ENDED[language]))) == (1, 1)
        assert await person.stars() == 5_000
    await buyer.send("/subscription")
    card = await buyer.wait_for("дальше продлится за 600 ⭐", timeout_s=WAIT_S)
    assert "Форма: до" in card.text
    assert said(buyer, "на пробу закончится") + said(buyer, "пробный период закончился") == []
    assert await buyer.stars() == 4_400
    offer = await shop.offer(tried["ru"], shop.RU)
    toast = await tried["ru"].toast(await tried["ru"].press(offer, data="trial"), timeout_s=WAIT_S)
    assert toast["text"].startswith("Пробный период даётся один раз")
    assert await forma.violations() == []


async def test_whoever_paid_gets_no_trial_and_where_tokens_run_out_it_is_the_first_way_on(forma: Forma) -> None:
    await asyncio.gather(_paid_once(forma), _runs_out(forma))
    assert await forma.violations() == []


async def _paid_once(forma: Forma) -> None:
    person = await forma.person("en")
    offer = await shop.offer(person, shop.EN)
    await shop.buy(person, shop.EN, shop.EN.pack)
    await person.wait_for(shop.EN.pack_bought, timeout_s=WAIT_S)
    toast = await person.toast(await person.press(offer, data="trial"), timeout_s=WAIT_S)
    assert toast["text"].startswith("The trial is for those who have bought nothing yet")
    assert toast["show_alert"]
    assert BUTTON["en"] not in (await shop.offer(person, shop.EN)).labels
    assert await forma.scalar(TRIALS, id=person.id) == 0


async def _runs_out(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.said(person, "Привет!")
    await forma.spend(person, leave=0)
    await person.send("Ещё вопрос")
    refusal = await person.wait_for("Токены закончились", timeout_s=WAIT_S)
    assert refusal.labels[0] == BUTTON["ru"]
    await person.press(refusal, BUTTON["ru"])
    await person.wait_for(STARTED["ru"], timeout_s=WAIT_S)
    assert "закончились" not in "".join(await forma.said(person, "Ещё вопрос"))
    assert await forma.scalar(LOT, id=person.id) < 60_000
    await forma.spend(person, leave=0)
    await person.send("И ещё")
    refusal = await person.wait_for("Токены закончились", timeout_s=WAIT_S)
    assert BUTTON["ru"] not in refusal.labels
