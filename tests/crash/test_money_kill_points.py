"""The process is killed at a commit or an outbound call of a flow of money, one point a run.

After the restart the books are sound, each charge is credited exactly once, and its person was told. `make test` takes
a few of the points, others each time (FORMA_TEST_SEED repeats a choice); `make test-money` takes all of them.
"""

import os
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.crash.questions import QUICK_LEASE_S, STEADY
from tests.support import figures
from tests.support.kill_points import KILL_DIR_ENV, kill_file, killed_file
from tests.support.stack import Stack, stack
from tests.support.telegram import Person, Seen

WAIT_S = 40.0
# The schedules run once a minute; the one that was killed runs again in the next.
SCHEDULE_S = 150.0
PAY_TRIES_MAX = 3
# A flow has some dozen points; a longer one has lost its way.
POINTS_MAX = 200
SAMPLE = 1
ALL_TIMEOUT_S = 3_600
PACK, PLAN = "Пакет 150 ⭐", "Форма · 600 ⭐"
TOLD = {PACK: "Пакет ваш", PLAN: "≈ 2000 ответов"}
CREDITS = """
    SELECT count(l.id) AS lots, count(DISTINCT p.id) AS payments, coalesce(sum(p.amount), 0) AS stars
    FROM payments p LEFT JOIN lots l ON l.payment_id = p.id
    WHERE p.payer_id = :id AND p.status = 'succeeded' AND p.quarantine_reason IS NULL
"""

Flow = Callable[[Stack, Person], Awaitable[None]]


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="forma-kill-") as home:
        async with stack(
            database_url,
            redis_url,
            lease_s=QUICK_LEASE_S,
            model_options=STEADY,
            module="tests.support.kill_points",
            environment={KILL_DIR_ENV: home},
        ) as running:
            running.keep()
            yield running


async def buy(forma: Stack, person: Person, product: str) -> None:
    """/plans, the product's button, the payment: as somebody does who tries again when nothing happens."""
    await person.send("/plans")
    offer = await person.wait_for("Планы", timeout_s=WAIT_S)
    await person.press(offer, product)
    sheet = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    for _ in range(PAY_TRIES_MAX):
        outcome = await person.pay(next(button["url"] for button in sheet.buttons if button.get("url")))
        if outcome["state"] == "paid":
            break
        assert outcome["state"] in {"timeout", "refused"}, outcome
    else:
        raise AssertionError("nobody let this person pay")
    await person.wait_for(TOLD[product], timeout_s=WAIT_S)


async def buy_pack(forma: Stack, person: Person) -> None:
    await buy(forma, person, PACK)


async def buy_plan(forma: Stack, person: Person) -> None:
    await buy(forma, person, PLAN)


async def renew(forma: Stack, person: Person) -> None:
    """Telegram charges for the next month."""
    mark = forma.tg.seq
    await forma.advance(days=30, hours=1)
    await person.wait_for("Списано 600 ⭐", timeout_s=WAIT_S, since=mark)


async def reminded(forma: Stack, person: Person) -> None:
    """A charge is three days away, and the worker says so."""
    mark = forma.tg.seq
    await forma.advance(days=27, hours=1)
    await person.wait_for("спишется 600 ⭐", timeout_s=SCHEDULE_S, since=mark)


async def nothing(forma: Stack, person: Person) -> None:
    """What comes before the flow: nothing."""


def said(forma: Stack, person: Person, words: str) -> list[Seen]:
    return [seen for seen in person.messages() if seen.sender_id == forma.tg.bot_id and words in seen.text]


async def one_run(forma: Stack, flow: Flow, before: Flow, process: str, number: int, charges: int) -> str:
    """Run a flow in which the process is killed at its point `number`; returns what it was, '' if there are fewer."""
    [person] = await forma.persons(1, "ru")
    await before(forma, person)
    await forma.settled()
    home = Path(forma.environment[KILL_DIR_ENV])
    killed_file(home, process).unlink(missing_ok=True)
    kill_file(home, process).write_text(str(number))
    try:
        await flow(forma, person)
        await forma.settled(timeout_s=60)
    except TimeoutError as error:
        raise AssertionError(f"point {number}: {error}; open: {await forma.open_work()}\n{forma.tails()}") from None
    kill_file(home, process).unlink(missing_ok=True)
    where = killed_file(home, process).read_text() if killed_file(home, process).exists() else ""
    await forma.assert_sound()
    [credited] = await forma.rows(CREDITS, id=person.id)
    assert (credited.lots, credited.payments) == (charges, charges), (number, where)
    assert credited.stars == 5_000 - await person.stars(), (number, where)
    for one in await person.subscriptions():
        if one["state"] == "active":
            await person.cancel_subscription(one["id"])
    await forma.settled()
    return where


FLOWS = [
    pytest.param(buy_pack, nothing, "bot", 1, id="a pack"),
    pytest.param(buy_plan, nothing, "bot", 1, id="a subscription"),
    pytest.param(renew, buy_plan, "bot", 2, id="a renewal"),
]
# The worker's schedules come once a minute: too slow for `make test`.
SLOW_FLOWS = [*FLOWS, pytest.param(reminded, buy_plan, "worker", 1, id="a reminder")]


@pytest.mark.parametrize(("flow", "before", "process", "charges"), FLOWS)
async def test_some_points(
    forma: Stack, flow: Flow, before: Flow, process: str, charges: int, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("FORMA_TEST_SEED") or random.SystemRandom().randrange(1_000_000))
    record_property("seed", seed)
    # Every flow passes at least so many points; which one it is shows in a failure.
    for number in random.Random(seed).sample(range(1, 9), SAMPLE):
        assert await one_run(forma, flow, before, process, number, charges), f"seed {seed}: no point {number}"


@pytest.mark.money
@pytest.mark.timeout(ALL_TIMEOUT_S)
@pytest.mark.parametrize(("flow", "before", "process", "charges"), SLOW_FLOWS)
async def test_all_points(forma: Stack, flow: Flow, before: Flow, process: str, charges: int) -> None:
    passed = []
    for number in range(1, POINTS_MAX):
        where = await one_run(forma, flow, before, process, number, charges)
        if not where:
            break
        passed.append(where)
    else:
        raise AssertionError(f"more than {POINTS_MAX} points: {passed}")
    assert passed
    figures.add(kill_points=len(passed))
