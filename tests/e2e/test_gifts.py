"""Gifts from chat to chat: paid, sent by link or to somebody chosen, taken once, refunded kindly."""

import asyncio
import re

import pytest

from app import purchase
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S, Tongue
from tests.support.telegram import Person, Seen

READY = {"ru": "в подарок оплачен", "en": "is paid. The link works once"}
MONTH = {"ru": "Форма, месяц · 600 ⭐", "en": "Forma, a month · 600 ⭐"}
YEARS = {"ru": "Форма на год · 6000 ⭐", "en": "Forma for a year · 6,000 ⭐"}
PACK = {"ru": "Пакет токенов · 150 ⭐", "en": "Token pack · 150 ⭐"}
RECEIVED = {"ru": "» ваш", "en": "is yours"}
TAKEN = {"ru": "уже с подарком", "en": "has your gift"}
BY_ANOTHER = {"ru": "уже открыл кто-то другой", "en": "Somebody else has opened"}
GONE = {"ru": "больше не действует", "en": "no longer valid"}
PAYMENT = "SELECT max(id) FROM payments WHERE payer_id = :id"


def language_of(request: pytest.FixtureRequest) -> str:
    """Each story is lived in one language: the words of the other are checked by cli.check_locales."""
    return str(getattr(request, "param", "ru"))


@pytest.fixture
async def pair(request: pytest.FixtureRequest, forma: Forma) -> tuple[Person, Person, Tongue]:
    giver = await forma.person(language_of(request), stars=20_000, first_name="Ира")
    return giver, await forma.person(language_of(request), first_name="Лев"), TONGUES[language_of(request)]


async def give(giver: Person, say: Tongue, what: str) -> Seen:
    """Buy a gift; returns the message with its link."""
    await giver.press(await shop.offer(giver, say), say.give)
    choice = await giver.wait_for(lambda m: what in [label.replace("\u00a0", " ") for label in m.labels], WAIT_S)
    await giver.press(choice, what)
    sheet = await giver.wait_for(lambda m: any(b.get("url") for b in m.buttons), timeout_s=WAIT_S)
    assert {"ru": "сработает один раз", "en": "works once"}[say.language] in sheet.text
    assert (await giver.pay(shop.url_of(sheet)))["state"] == "paid"
    return await giver.wait_for(READY[say.language], timeout_s=WAIT_S)


def payload(ready: Seen) -> str:
    """What the gift's link starts the bot with."""
    found = re.search(r"t\.me/forma_sandbox_bot\?start=(gift_[\w-]+)", ready.text)
    assert found, ready.text
    return found[1]


async def test_a_gift_is_sent_by_its_link_and_works_once(forma: Forma, pair: tuple[Person, Person, Tongue]) -> None:
    giver, friend, say = pair
    ready = await give(giver, say, MONTH[say.language])
    assert any((b.get("url") or "").startswith("https://t.me/share/url?") for b in ready.buttons)
    await friend.start(payload(ready))
    seen = await friend.wait_for(RECEIVED[say.language], timeout_s=WAIT_S)
    assert {"ru": "≈ 2000 ответов", "en": "≈ 2,000 answers"}[say.language] in seen.text.replace("\u00a0", " ")
    told = await giver.wait_for(TAKEN[say.language], timeout_s=WAIT_S)
    assert "Лев" in told.text
    await shop.card(friend, {"ru": "Само не продлится", "en": "It never renews"}[say.language])
    late = await forma.person(say.language)
    await late.start(payload(ready))
    await late.wait_for(BY_ANOTHER[say.language], timeout_s=WAIT_S)
    await friend.start(payload(ready))
    await friend.wait_for({"ru": "уже у вас", "en": "yours already"}[say.language], timeout_s=WAIT_S)
    assert len(shop.said(giver, TAKEN[say.language])) == 1
    assert await forma.violations() == []


@pytest.mark.parametrize("pair", ["en"], indirect=True)
async def test_whoever_comes_by_a_gift_for_the_first_time_is_greeted_too(
    forma: Forma, pair: tuple[Person, Person, Tongue]
) -> None:
    giver, _, say = pair
    ready = await give(giver, say, PACK[say.language])
    newcomer = await forma.tg.person(first_name="Новый", language_code=say.language)
    await newcomer.start(payload(ready))
    await newcomer.wait_for(RECEIVED[say.language], timeout_s=WAIT_S, since=0)
    await newcomer.wait_for("/terms", timeout_s=WAIT_S, since=0)
    assert "300" in (await shop.card(newcomer, {"ru": "подарок: ", "en": "gift: "}[say.language], "/balance"))


async def test_two_who_open_a_link_at_once_are_told_who_was_first(
    forma: Forma, pair: tuple[Person, Person, Tongue]
) -> None:
    giver, friend, say = pair
    code = payload(await give(giver, say, PACK[say.language]))
    other = await forma.person(say.language)
    await asyncio.gather(friend.start(code), other.start(code))
    await shop.settled(forma)
    ends = [bool(shop.said(one, RECEIVED[say.language])) for one in (friend, other)]
    losers = [bool(shop.said(one, BY_ANOTHER[say.language])) for one in (friend, other)]
    assert sorted(ends) == [False, True]
    assert losers == [not has for has in ends]


@pytest.mark.parametrize("pair", ["en"], indirect=True)
async def test_a_gift_is_offered_to_somebody_chosen_and_taken_by_a_button(
    forma: Forma, pair: tuple[Person, Person, Tongue]
) -> None:
    giver, friend, say = pair
    ready = await give(giver, say, PACK[say.language])
    await giver.press(ready, 1)
    asked = await giver.wait_for({"ru": "Кому подарок", "en": "Who is the gift for"}[say.language], timeout_s=WAIT_S)
    [[button]] = asked.raw["sandbox"]["keyboard"]["keyboard"]
    request = button["request_users"]["request_id"]
    stranger = await forma.tg.person(first_name="Никто", language_code=say.language)
    await giver.act("attach", {"kind": "users_shared", "request_id": request, "user_ids": [stranger.id]})
    alone = await giver.wait_for({"ru": "не знаком", "en": "have not met"}[say.language], timeout_s=WAIT_S)
    assert payload(alone) == payload(ready)
    await giver.act("attach", {"kind": "users_shared", "request_id": request, "user_ids": [friend.id]})
    offered = await friend.wait_for({"ru": "Ира дарит вам", "en": "Ира gives you"}[say.language], WAIT_S, since=0)
    # Somebody else's number chooses nobody.
    await friend.act("attach", {"kind": "users_shared", "request_id": request, "user_ids": [giver.id]})
    await friend.wait_for({"ru": "нельзя передать", "en": "can no longer be given"}[say.language], WAIT_S)
    await friend.press(offered, 0)
    await friend.wait_for(RECEIVED[say.language], timeout_s=WAIT_S)
    await giver.wait_for(TAKEN[say.language], timeout_s=WAIT_S, since=0)
    assert await forma.violations() == []


async def test_a_giver_who_tries_the_link_keeps_it_whole_and_may_keep_the_gift(
    forma: Forma, pair: tuple[Person, Person, Tongue]
) -> None:
    giver, _, say = pair
    ready = await give(giver, say, YEARS[say.language])
    await giver.start(payload(ready))
    card = await giver.wait_for({"ru": "ещё не открыли", "en": "Nobody has opened"}[say.language], timeout_s=WAIT_S)
    await giver.press(card, {"ru": "Взять себе", "en": "Keep it myself"}[say.language])
    seen = await giver.wait_for(RECEIVED[say.language], timeout_s=WAIT_S)
    assert shop.next_year(forma) in seen.text
    assert shop.said(giver, TAKEN[say.language]) == []


@pytest.mark.parametrize("pair", ["en"], indirect=True)
async def test_a_gift_that_nobody_took_goes_back_for_its_money_at_once(
    forma: Forma, pair: tuple[Person, Person, Tongue]
) -> None:
    giver, friend, say = pair
    ready = await give(giver, say, MONTH[say.language])
    await giver.start(payload(ready))
    back = {"ru": "Вернуть деньги", "en": "Get the money back"}[say.language]
    card = await giver.wait_for(lambda m: back in m.labels, timeout_s=WAIT_S)
    await giver.press(card, back)
    question = await giver.wait_for(lambda m: "600" in m.text and len(m.labels) == 1, timeout_s=WAIT_S)
    await giver.press(question, 0)
    await giver.wait_for(lambda m: GONE[say.language] in m.text and "600" in m.text, timeout_s=WAIT_S)
    assert await giver.stars() == 20_000
    await friend.start(payload(ready))
    await friend.wait_for({"ru": "отменили", "en": "was cancelled"}[say.language], timeout_s=WAIT_S)
    again = await giver.press(question.id, data=question.buttons[0]["callback_data"])
    assert (await giver.toast(again, timeout_s=WAIT_S))["show_alert"]
    assert await forma.violations() == []


async def test_the_refund_of_a_gift_that_was_taken_is_told_to_both(
    forma: Forma, pair: tuple[Person, Person, Tongue]
) -> None:
    giver, friend, say = pair
    ready = await give(giver, say, MONTH[say.language])
    await friend.start(payload(ready))
    await friend.wait_for(RECEIVED[say.language], timeout_s=WAIT_S)
    await giver.start(payload(ready))
    card = await giver.wait_for({"ru": "открыли", "en": "was opened"}[say.language], timeout_s=WAIT_S)
    assert card.labels == []
    async with forma.app.db.transaction() as tx:
        await purchase.request_refund(
            tx,
            payment_id=await forma.scalar(PAYMENT, id=giver.id),
            requested_by=None,
            reason="test",
            now=forma.app.clock.now(),
        )
    await friend.wait_for(GONE[say.language], timeout_s=WAIT_S, since=0)
    await giver.wait_for(lambda m: "600" in m.text and GONE[say.language] in m.text, timeout_s=WAIT_S, since=0)
    await shop.card(friend, {"ru": "Подписки нет", "en": "No subscription"}[say.language])
    assert await forma.violations() == []


@pytest.mark.parametrize("pair", ["en"], indirect=True)
async def test_a_gift_for_a_subscriber_waits_for_its_turn_and_says_so(
    forma: Forma, pair: tuple[Person, Person, Tongue]
) -> None:
    giver, friend, say = pair
    await shop.subscribe(friend, say)
    ready = await give(giver, say, MONTH[say.language])
    await friend.start(payload(ready))
    await friend.wait_for({"ru": "когда закончится то, что у вас есть", "en": "when what you have ends"}[say.language])
    await friend.wait_for({"ru": "Чтобы не платить дважды", "en": "To avoid paying twice"}[say.language], WAIT_S)
    card = await shop.card(friend, {"ru": "Дальше", "en": "Then Forma"}[say.language])
    assert {"ru": "дальше продлится за 600", "en": "then renews for 600"}[say.language] in card


@pytest.mark.parametrize(
    "data", ["gift:1", "gift:x", "gift:", "gift-to:²", "gift-back:1", "gift-back-yes:999999999999"]
)
async def test_a_button_of_somebody_elses_gift_does_nothing(forma: Forma, data: str) -> None:
    person = await forma.person("ru")
    await person.send("/plans")
    offer = await person.wait_for("Планы", timeout_s=WAIT_S)
    pressed = await person.press(offer.id, data=data)
    assert (await person.toast(pressed, timeout_s=WAIT_S))["text"]
    await person.start("gift_" + "x" * 40)
    await person.wait_for("Такого подарка нет", timeout_s=WAIT_S)
