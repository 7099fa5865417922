"""Somebody who wants roubles' worth for less, and a shop that says strange things: nobody gains, nobody waits."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from yarl import URL

from billing import promos
from billing.promos import Terms
from tests.support import shop as chat
from tests.support.roubles import EMAIL, PACK, Market, market
from web.server import BODY_WITHIN_S

RU = chat.RU
BUTTON = "Пакет токенов · 199 ₽"
YEAR = "Форма на год · 7990 ₽"
BOUGHT = "Пакет ваш: 300 000 токенов"
UNDER_WAY = "ждёт начатой оплаты"


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    async with market(database_url, redis_url, yookassa_in_chat=True, yookassa_receipts="54fz") as made:
        yield made


@pytest.fixture(autouse=True)
async def good_days(mall: Market) -> AsyncIterator[None]:
    yield
    await mall.shop.clear_faults()
    await mall.heard()
    assert await mall.forma.violations() == []


async def code(mall: Market, name: str, percent: int) -> None:
    terms = Terms(kind="percent", percent=percent, uses_max=1)
    async with mall.forma.app.db.transaction() as tx:
        await promos.create(tx, code=name, terms=terms, created_by=1, now=mall.forma.app.clock.now())


async def test_one_percentage_makes_one_payment_cheaper_however_many_are_begun(mall: Market) -> None:
    await code(mall, "HALFOFF", 50)
    await code(mall, "TENOFF", 10)
    person = await mall.forma.person("ru")
    await person.send("/promo HALFOFF")
    await person.wait_for("50", timeout_s=chat.WAIT_S)
    first = await mall.link(person, RU, BUTTON)
    payment_id = await mall.begin(first)
    begun = len(await mall.payments())
    # The page of that payment stays open at the shop, so nothing else gets the same percentage meanwhile.
    year = await mall.link(person, RU, YEAR)
    page = await mall.browser.open(year)
    refused = await mall.browser.press(year, page, email=EMAIL)
    assert (refused.status, UNDER_WAY in refused.text) == (200, True), refused.text
    pressed = await person.press(await chat.offer(person, RU), RU.lite)
    assert UNDER_WAY in (await person.toast(pressed, timeout_s=chat.WAIT_S))["text"]
    await person.send("/promo TENOFF")
    await person.wait_for(UNDER_WAY, timeout_s=chat.WAIT_S)
    assert len(await mall.payments()) == begun
    # What was begun goes on, by another link as well.
    assert await mall.begin(await mall.link(person, RU, BUTTON)) == payment_id
    await mall.shop.pay(payment_id)
    await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert await mall.granted(person) == PACK
    assert "7990 ₽" in (await mall.browser.open(year)).text


async def test_a_percentage_is_free_again_once_what_was_begun_came_to_nothing(mall: Market) -> None:
    await code(mall, "THIRDOFF", 30)
    person = await mall.forma.person("ru")
    await person.send("/promo THIRDOFF")
    await person.wait_for("30", timeout_s=chat.WAIT_S)
    await mall.begin(await mall.link(person, RU, BUTTON))
    await mall.sweep(seconds=3_700)  # the shop closes its page after an hour
    assert await mall.status(person) == "canceled"
    year = await mall.begin(await mall.link(person, RU, YEAR))
    [made] = [one for one in await mall.payments() if one["id"] == year]
    assert made["amount"]["value"] == "5593.00"


async def test_one_answer_that_cannot_be_had_holds_up_no_other_notification(mall: Market) -> None:
    stuck, other = await mall.forma.person("ru"), await mall.forma.person("ru")
    broken = await mall.begin(await mall.link(stuck, RU, BUTTON))
    fine = await mall.begin(await mall.link(other, RU, BUTTON))
    await mall.shop.fault("http_500", method="GET", path=f"*{broken}")
    await mall.shop.pay(broken)
    await mall.shop.flush()
    await mall.shop.pay(fine)
    await other.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    shop = mall.forma.app.yookassa
    assert shop is not None
    body = f'{{"payment_id": "{fine}", "amount": {{"value": "199.00", "currency": "RUB"}}}}'
    await shop.create_refund(body, key="cabinet")
    await other.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)
    await mall.shop.clear_faults()
    await mall.sweep()
    await stuck.wait_for(BOUGHT, timeout_s=chat.WAIT_S)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nnot a part"),
        ("multipart/form-data", b""),
        ("application/x-www-form-urlencoded; charset=none-such", b"product=pack"),
        ("application/x-www-form-urlencoded", b"kopecks=%ff&email=%00&product=\xff" + b"&a=b" * 5_000),
        ("application/json", b"{"),
    ],
)
async def test_a_body_that_is_no_form_begins_nothing_and_breaks_nothing(mall: Market, kind: str, body: bytes) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    before = len(await mall.payments())
    assert await mall.browser.post(url, data=body, headers={"Content-Type": kind}) == 200
    assert await mall.browser.post(url, data=io.BytesIO(b"x" * 2_000_000)) == 413
    assert len(await mall.payments()) == before


async def test_a_body_that_never_comes_is_not_waited_for(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = URL(await mall.link(person, RU, BUTTON))
    assert url.host is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"POST {url.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nproduct=".encode())
    try:
        async with asyncio.timeout(BODY_WITHIN_S + 20):
            assert (await reader.readline()).split()[1] == b"408"
    finally:
        writer.close()
