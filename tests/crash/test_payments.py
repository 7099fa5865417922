"""A payment is credited exactly once and its payer told, whatever is killed, doubled, reordered or dropped."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.crash.questions import QUICK_LEASE_S, STEADY, all_answered, ask
from tests.support.stack import Stack, stack
from tests.support.telegram import Person

PACK_STARS, PACK_TOKENS = 150, 300_000
ARRIVED = "SELECT count(*) FROM inbox WHERE body #> '{message,successful_payment}' IS NOT NULL AND handled_at IS NULL"


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    async with stack(database_url, redis_url, lease_s=QUICK_LEASE_S, model_options=STEADY) as running:
        yield running


async def sheet(person: Person) -> str:
    """/plans, the pack's button; answers the link that pays."""
    await person.send("/plans")
    offer = await person.wait_for("Планы", timeout_s=20)
    await person.press(offer, "Пакет 150 ⭐")
    shown = await person.wait_for("Оплата внутри", timeout_s=20)
    return str(next(button["url"] for button in shown.buttons if button.get("url")))


async def assert_paid_once(forma: Stack, person: Person) -> None:
    await person.wait_for("300", timeout_s=30)
    assert await person.stars() == 5_000 - PACK_STARS
    granted: list[Any] = await forma.rows(
        "SELECT l.granted FROM lots l JOIN accounts a ON a.id = l.account_id"
        " WHERE a.person_id = :id AND l.kind = 'pack'",
        id=person.id,
    )
    assert [row.granted for row in granted] == [PACK_TOKENS]


async def test_the_bot_is_killed_between_a_payments_arrival_and_its_handling(forma: Stack) -> None:
    [person] = await forma.persons(1, "ru")
    link = await sheet(person)
    async with forma.locked("payments"):
        assert (await person.pay(link))["state"] == "paid"
        await forma.until(ARRIVED)
        await forma.until_blocked("payments")
        await forma.kill("bot")
    await forma.start("bot")
    await assert_paid_once(forma, person)
    await forma.assert_sound()


async def test_the_bot_is_killed_before_a_payment_is_fetched(forma: Stack) -> None:
    [person] = await forma.persons(1, "ru")
    link = await sheet(person)
    # The answer to the checkout goes out; the report of the payment stays with Telegram.
    await forma.tg.fault("getUpdates", "delay", delay_s=1.0)
    assert (await person.pay(link))["state"] == "paid"
    await forma.kill("bot")
    await forma.tg.clear_faults()
    assert (await forma.tg.state())["pending_updates"]
    await forma.start("bot")
    await assert_paid_once(forma, person)
    await forma.assert_sound()


@pytest.mark.parametrize("kind", ["duplicate", "reorder", "drop_response", "malformed", "http_500"])
async def test_batches_of_updates_come_badly(forma: Stack, kind: str) -> None:
    buyers = await forma.persons(3, "ru")
    links = [await sheet(person) for person in buyers]
    share = 1.0 if kind in {"duplicate", "reorder"} else 0.6
    await forma.tg.fault("getUpdates", kind, probability=share, seed=7, count=3)
    try:
        asked = await ask(forma, buyers, kind)
        for person, link in zip(buyers, links, strict=True):
            assert (await person.pay(link))["state"] == "paid"
        await all_answered(forma, asked)
        for person in buyers:
            await assert_paid_once(forma, person)
    finally:
        await forma.tg.clear_faults()
    assert all(forma.shown(person, mark) == 1 for mark, person in asked.items())
    await forma.assert_sound()
