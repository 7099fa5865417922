"""A year in the life of many subscribers: the books of Forma and of the simulated Telegram agree to the Star.

`make test` lives a few weeks with a few persons; `make test-money` a year with a thousand. The seed is printed, and
FORMA_TEST_SEED repeats it.
"""

import os
import random
from collections.abc import Callable

import pytest

from tests.support import figures, shop
from tests.support.forma import Forma
from tests.support.life import Crowd
from tests.support.shop import RU

YEAR_TIMEOUT_S = 6 * 3_600
AUDIT_EVERY_DAYS = 7


async def test_some_weeks_of_a_few_subscribers(forma: Forma, record_property: Callable[[str, object], None]) -> None:
    record_property("seed", seed := _seed())
    await live(forma, seed, people=8, days=35, share=0.2)


async def test_the_auditor_sees_what_forma_has_not_heard_of(forma: Forma) -> None:
    crowd, person = Crowd(forma, seed=1), await forma.person("ru")
    charge = (await shop.buy(person, RU, RU.pack))["charge_id"]
    await crowd.quiet()
    assert await crowd.audit() == []
    await forma.stop("bot")
    await shop.as_bot(forma, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=charge)
    assert {found.what for found in await crowd.audit()} == {f"refund of {charge}", "all Stars"}
    await forma.start("bot")
    await crowd.quiet()
    assert await crowd.audit() == []


@pytest.mark.money
@pytest.mark.timeout(YEAR_TIMEOUT_S)
async def test_a_year_of_a_thousand_subscribers(forma: Forma) -> None:
    people, days = int(os.environ.get("FORMA_TEST_PEOPLE", "1000")), int(os.environ.get("FORMA_TEST_DAYS", "365"))
    violations, differences = await live(forma, _seed(), people=people, days=days, share=0.03)
    figures.add(people=people, days=days, invariant_violations=violations, books_differences=differences)


def _seed() -> int:
    return int(os.environ.get("FORMA_TEST_SEED") or random.SystemRandom().randrange(1_000_000))


async def live(forma: Forma, seed: int, *, people: int, days: int, share: float) -> tuple[int, int]:
    """Live so many days; returns what broke an invariant and what the two books disagree on, which is nothing."""
    crowd = Crowd(forma, seed)
    await crowd.come(people)
    for day in range(1, days + 1):
        await crowd.day(share)
        if day % AUDIT_EVERY_DAYS == 0 or day == days:
            violations, differences = await forma.violations(), await crowd.audit()
            assert (violations, differences) == ([], []), f"seed {seed}, day {day}, so far {crowd.acts}"
    assert (await forma.tg.state())["payments"], f"seed {seed}: nobody bought anything"
    return len(violations), len(differences)
