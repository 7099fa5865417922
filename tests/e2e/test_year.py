"""A year in the life of many subscribers: the books of Forma, of the simulated Telegram and of its shop agree.

`make test` lives a week with a few persons; `make test-money` a year with a thousand. The seed is printed, and
FORMA_TEST_SEED repeats it.
"""

import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from tests.support import figures, shop
from tests.support.life import ADMIN_GROUP, Crowd
from tests.support.roubles import Market, market
from tests.support.shop import RU

YEAR_TIMEOUT_S = 6 * 3_600
AUDIT_EVERY_DAYS = 7


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    async with market(database_url, redis_url, yookassa_in_chat=True, admin_chat_id=ADMIN_GROUP) as made:
        yield made


async def test_a_week_of_a_few_subscribers(mall: Market, record_property: Callable[[str, object], None]) -> None:
    record_property("seed", seed := _seed())
    await live(mall, seed, people=8, days=7, share=0.4)


async def test_the_auditor_sees_what_forma_has_not_heard_of(mall: Market) -> None:
    forma = mall.forma
    crowd, person = Crowd(mall, seed=1), await forma.person("ru")
    charge = (await shop.buy(person, RU, RU.pack))["charge_id"]
    await crowd.quiet()
    assert await crowd.audit() == []
    await forma.stop("bot")
    await shop.as_bot(forma, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=charge)
    assert {found.what for found in await crowd.audit()} == {f"refund of {charge}", "all Stars"}
    await forma.start("bot")
    await crowd.quiet()
    assert await crowd.audit() == []


async def test_the_auditor_sees_what_the_shop_took_and_forma_was_not_told(mall: Market) -> None:
    crowd, person = Crowd(mall, seed=1), await mall.forma.person("ru")
    payment_id = await mall.begin(await mall.link(person, RU, "Пакет токенов · 199 ₽"))
    await mall.shop.fault("drop", event="payment.*")
    await mall.shop.pay(payment_id)
    assert {found.what for found in await crowd.audit()} == {f"payment {payment_id}", "all kopecks"}
    await crowd.calm()
    assert await crowd.audit() == []


@pytest.mark.money
@pytest.mark.timeout(YEAR_TIMEOUT_S)
async def test_a_year_of_a_thousand_subscribers(mall: Market) -> None:
    people, days = int(os.environ.get("FORMA_TEST_PEOPLE", "1000")), int(os.environ.get("FORMA_TEST_DAYS", "365"))
    violations, differences = await live(mall, _seed(), people=people, days=days, share=0.03, tell=True)
    figures.add(people=people, days=days, invariant_violations=violations, books_differences=differences)


def _seed() -> int:
    return int(os.environ.get("FORMA_TEST_SEED") or random.SystemRandom().randrange(1_000_000))


async def live(mall: Market, seed: int, *, people: int, days: int, share: float, tell: bool = False) -> tuple[int, int]:
    """Live so many days; returns what broke an invariant and what the three books disagree on, which is nothing."""
    crowd, began = Crowd(mall, seed), time.monotonic()
    await crowd.come(people)
    await crowd.trouble()
    for day in range(1, days + 1):
        await crowd.day(share)
        if day % AUDIT_EVERY_DAYS == 0 or day == days:
            await crowd.calm()
            violations, differences = await mall.forma.violations(), await crowd.audit()
            if tell and sys.__stdout__:  # `pytest --capture=sys` shows how far a long life has come
                books = (await mall.shop.totals())["payments"]
                line = f"day {day}, {time.monotonic() - began:.0f} s, {dict(crowd.acts)}, at the shop {books}"
                print(line, file=sys.__stdout__, flush=True)
            assert (violations, differences) == ([], []), f"seed {seed}, day {day}, so far {crowd.acts}"
            await crowd.trouble()
    await crowd.calm()
    assert (await mall.forma.tg.state())["payments"], f"seed {seed}: nobody bought anything"
    return len(violations), len(differences)
