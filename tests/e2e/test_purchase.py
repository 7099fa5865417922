"""Buying with Stars through the front door: what is offered, what is paid, what the person has then."""

import pytest

from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, Tongue
from tests.support.telegram import Person

WAIT_S = shop.WAIT_S


@pytest.fixture(params=["ru", "en"])
async def buyer(request: pytest.FixtureRequest, forma: Forma) -> tuple[Person, Tongue]:
    return await forma.person(request.param), TONGUES[request.param]


async def tokens_of(forma: Forma, person: Person) -> int:
    return int(
        await forma.scalar(
            "SELECT coalesce(sum(posted - reserved), 0) FROM accounts WHERE person_id = :id AND kind = 'wallet'",
            id=person.id,
        )
    )


async def shown(person: Person, command: str, words: str) -> str:
    """What a command answers, with ordinary spaces."""
    await person.send(command)
    seen = await person.wait_for(words, timeout_s=WAIT_S)
    return seen.text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize("command", ["/plans", "/buy"])
async def test_the_offer_compares_plans_in_answers_and_says_the_refund_rule(
    buyer: tuple[Person, Tongue], command: str
) -> None:
    person, say = buyer
    seen = await shop.offer(person, say, command)
    text = seen.text.replace("\u00a0", " ")
    where = {"ru": "Где взять звёзды", "en": "Where to get Stars"}[say.language]
    labels = [label.replace("\u00a0", " ") for label in seen.labels]
    assert labels == [say.lite, say.forma, say.max, say.year, say.pack, say.give, where]
    amounts = {
        "ru": ("≈ 5 ответов каждый день", "≈ 600 ответов", "≈ 2000 ответов", "≈ 6000 ответов", "≈ 300 ответов"),
        "en": ("≈ 5 answers every day", "≈ 600 answers", "≈ 2,000 answers", "≈ 6,000 answers", "≈ 300 answers"),
    }[say.language]
    rule = {
        "ru": "не больше 72 ч и потрачено не больше 20 %",
        "en": "within 72 h if no more than 20 % is spent",
    }[say.language]
    for words in (*amounts, rule, say.free):
        assert words in text, words
    await person.press(seen, where)
    await person.wait_for("@PremiumBot", timeout_s=WAIT_S)


async def test_the_payment_sheet_says_what_is_bought_before_it_is_paid(buyer: tuple[Person, Tongue]) -> None:
    person, say = buyer
    sheet = await shop.sheet(person, say, say.forma)
    assert any(label.startswith(say.pay) for label in sheet.labels)
    assert "72" in sheet.text
    invoice = await person.act("invoice", {"link": shop.url_of(sheet)})
    assert (invoice["amount"], invoice["currency"], invoice["subscription_period"]) == (600, "XTR", 30 * 86_400)
    assert "/subscription" in invoice["description"]
    assert "72" in invoice["description"]
    closed = await person.pay(shop.url_of(sheet), cancel=True)
    assert closed["state"] == "canceled"
    assert await person.stars() == 5_000
    assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"


async def test_a_subscription_that_is_bought_is_told_and_every_command_agrees(
    forma: Forma, buyer: tuple[Person, Tongue]
) -> None:
    person, say = buyer
    none = {"ru": "Подписки нет", "en": "No subscription"}[say.language]
    assert "/plans" in await shown(person, "/subscription", none)
    await shop.subscribe(person, say)
    await forma.tg.until(lambda: any(say.connected in m.labels for m in person.messages()), timeout_s=WAIT_S)
    paid = next(m for m in person.messages() if say.connected in m.labels)
    assert not any(b.get("url") or b.get("callback_data") for b in paid.buttons)
    title = {"ru": "Форма", "en": "Forma"}[say.language]
    until = {"ru": "24 дек.", "en": "Dec 24"}[say.language]
    has = await tokens_of(forma, person)
    number = f"{has:,}".replace(",", {"ru": " ", "en": ","}[say.language])
    card = await shown(person, "/subscription", title)
    assert until in card
    assert number in card
    assert "600 ⭐" in card
    balance = await shown(person, "/balance", number)
    assert title in balance
    assert has == await forma.scalar(
        "SELECT sum(remaining) FROM lots l JOIN accounts a ON a.id = l.account_id WHERE a.person_id = :id",
        id=person.id,
    )
    again = await shop.offer(person, say)
    assert say.connected in again.labels
    assert until in again.text.replace("\u00a0", " ")
    assert await person.stars() == 4_400
    assert await forma.violations() == []


async def test_a_pack_that_is_bought_is_there_at_once_and_may_be_bought_again(
    forma: Forma, buyer: tuple[Person, Tongue]
) -> None:
    person, say = buyer
    for times in (1, 2):
        assert (await shop.buy(person, say, say.pack))["state"] == "paid"
        await person.wait_for(say.pack_bought, timeout_s=WAIT_S)
        paid = [m for m in person.messages() if say.paid in m.labels]
        await forma.tg.until(lambda: [m for m in person.messages() if say.paid in m.labels], timeout_s=WAIT_S)
        assert len(paid) <= times
        assert await forma.scalar(shop.PACK_TOKENS, id=person.id) == times * 300_000
        assert await person.stars() == 5_000 - times * 150
    lot = {"ru": "пакет: 300 000", "en": "pack: 300,000"}[say.language]
    assert (await shown(person, "/balance", lot)).count(lot) == 2
    assert await forma.violations() == []


async def test_a_pack_and_a_plan_add_up(forma: Forma) -> None:
    person = await forma.person("en")
    await shop.buy(person, shop.EN, shop.EN.pack)
    await person.wait_for(shop.EN.pack_bought, timeout_s=WAIT_S)
    await shop.subscribe(person, shop.EN)
    before = await tokens_of(forma, person)
    assert 2_300_000 <= before <= 2_335_000
    await person.send("What is a good warm-up?")
    await forma.quiet(person)
    billed = await forma.scalar("SELECT sum(billed_tokens) FROM turns WHERE person_id = :id", id=person.id)
    assert billed > 0
    assert await tokens_of(forma, person) == before - billed
    number = f"{before - billed:,}"
    assert number in await shown(person, "/balance", number)
    assert await forma.violations() == []


async def test_too_few_stars_buy_nothing_and_the_sheet_still_stands(forma: Forma) -> None:
    person = await forma.person("ru", stars=599)
    sheet = await shop.sheet(person, shop.RU, shop.RU.forma)
    assert (await person.pay(shop.url_of(sheet)))["state"] == "insufficient"
    await person.change(stars=600)
    assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"
    await person.wait_for(shop.RU.bought, timeout_s=WAIT_S)
    assert await person.stars() == 0


async def test_the_way_back_from_the_sheet_leads_to_the_plans(forma: Forma) -> None:
    person = await forma.person("ru")
    sheet = await shop.sheet(person, shop.RU, shop.RU.lite)
    await person.press(sheet, "Планы")
    seen = await person.wait_for(shop.RU.plans, timeout_s=WAIT_S)
    await person.press(seen, shop.RU.max)
    other = await person.wait_for(lambda m: "1500" in m.text and any(b.get("url") for b in m.buttons), timeout_s=WAIT_S)
    assert (await person.pay(shop.url_of(other)))["state"] == "paid"
    await person.wait_for("≈ 6000 ответов. Отмена: /subscription", timeout_s=WAIT_S)
    assert await person.stars() == 3_500
