"""What Telegram is told before it charges: each refusal comes in time, in the person's words, and costs nothing."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from tests.support import shop
from tests.support.forma import Forma, running
from tests.support.shop import RU, TONGUES, WAIT_S
from tests.support.telegram import Person
from tests.support.wire import Wire, wired

TELEGRAM_WAITS_S = 10.0


@pytest.fixture(scope="module")
async def through_wire(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[tuple[Forma, Wire]]:
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start()
    try:
        async with (
            wired(database_url) as (wire, url),
            running(url, redis_url, tg, model, start=("bot",)) as forma,
        ):
            yield forma, wire
    finally:
        await model.close()
        await tg.close()


@pytest.fixture(scope="module")
async def forma(through_wire: tuple[Forma, Wire]) -> Forma:
    return through_wire[0]


async def refused(person: Person, link: str, words: str) -> None:
    """The payment is refused with these words, and nothing is charged."""
    before = await person.stars()
    outcome = await person.pay(link)
    assert outcome["state"] == "refused", outcome
    assert words in outcome["error"]
    assert await person.stars() == before


async def link_of(forma: Forma, **invoice: Any) -> str:
    """An invoice link as somebody with the bot's token could make it: not what Forma would have made."""
    body = {"title": "x", "description": "x", "currency": "XTR", **invoice}
    return str(await shop.as_bot(forma, "createInvoiceLink", **body))


@pytest.mark.parametrize(("language", "words"), [("ru", "выставлен другому человеку"), ("en", "made for someone else")])
async def test_somebody_elses_invoice_is_refused_in_the_payers_language(
    forma: Forma, language: str, words: str
) -> None:
    owner = await forma.person("ru")
    other = await forma.person(language)
    link = shop.url_of(await shop.sheet(owner, RU, RU.pack))
    await refused(other, link, words)
    assert (await owner.pay(link))["state"] == "paid"


async def test_somebody_who_never_wrote_is_refused_as_well(forma: Forma) -> None:
    owner = await forma.person("ru")
    stranger = await forma.tg.person(first_name="Sam", language_code="en", stars=1_000)
    await refused(stranger, shop.url_of(await shop.sheet(owner, RU, RU.pack)), "made for someone else")


@pytest.mark.parametrize(("language", "words"), [("ru", "уже оплачено"), ("en", "paid")])
async def test_a_paid_order_is_not_paid_twice(forma: Forma, language: str, words: str) -> None:
    person, say = await forma.person(language), TONGUES[language]
    link = shop.url_of(await shop.sheet(person, say, say.pack))
    assert (await person.pay(link))["state"] == "paid"
    await person.wait_for(say.pack_bought, timeout_s=WAIT_S)
    await refused(person, link, words)


@pytest.mark.parametrize(
    ("language", "words"), [("ru", "Подписка у вас уже есть"), ("en", "have a subscription already")]
)
async def test_a_second_subscription_is_refused_at_the_sheet_and_before_it(
    forma: Forma, language: str, words: str
) -> None:
    person, say = await forma.person(language), TONGUES[language]
    lite = shop.url_of(await shop.sheet(person, say, say.lite))
    offer = await shop.offer(person, say)
    await shop.subscribe(person, say)
    await refused(person, lite, words)
    pressed = await person.press(offer, say.max)
    toast = await person.toast(pressed, timeout_s=WAIT_S)
    assert toast["show_alert"]
    assert {"ru": "«Форма»", "en": "Forma"}[language] in toast["text"]
    assert await forma.violations() == []


@pytest.mark.parametrize(("language", "words"), [("ru", "Цена изменилась"), ("en", "price has changed")])
async def test_an_invoice_with_another_amount_is_refused(forma: Forma, language: str, words: str) -> None:
    person, say = await forma.person(language), TONGUES[language]
    await shop.sheet(person, say, say.pack)
    payload = await forma.scalar("SELECT payload FROM orders WHERE person_id = :id", id=person.id)
    prices = [{"label": "x", "amount": 1}]
    await refused(person, await link_of(forma, payload=payload, prices=prices), words)


async def test_an_invoice_that_no_order_knows_is_refused(forma: Forma) -> None:
    person = await forma.person("en")
    link = await link_of(forma, payload="forma:nobody", prices=[{"label": "x", "amount": 150}])
    await refused(person, link, "/plans")


@pytest.mark.parametrize(("language", "words"), [("ru", "счёт устарел"), ("en", "has expired")])
async def test_an_expired_invoice_is_refused_and_a_new_one_is_sold(forma: Forma, language: str, words: str) -> None:
    person, say = await forma.person(language), TONGUES[language]
    sheet = await shop.sheet(person, say, say.pack)
    await forma.advance(days=8)
    await refused(person, shop.url_of(sheet), words)
    assert (await shop.buy(person, say, say.pack))["state"] == "paid"
    await person.wait_for(say.pack_bought, timeout_s=WAIT_S)


@pytest.mark.parametrize("trouble", ["cut", "silence"])
@pytest.mark.parametrize(("language", "words"), [("ru", "ничего не списано"), ("en", "nothing was charged")])
async def test_without_the_database_a_payment_is_refused_in_time_and_works_later(
    through_wire: tuple[Forma, Wire], trouble: str, language: str, words: str
) -> None:
    forma, wire = through_wire
    person, say = await forma.person(language), TONGUES[language]
    link = shop.url_of(await shop.sheet(person, say, say.pack))
    await shop.settled(forma)
    await getattr(wire, trouble)()
    began = time.monotonic()
    try:
        await refused(person, link, words)
        assert time.monotonic() - began < TELEGRAM_WAITS_S
    finally:
        await wire.mend()
    await person.send("/plans")
    await person.wait_for(say.plans, timeout_s=WAIT_S)
    assert (await person.pay(link))["state"] == "paid"
    await person.wait_for(say.pack_bought, timeout_s=WAIT_S)
    assert await person.stars() == 5_000 - 150
    assert await forma.violations() == []
