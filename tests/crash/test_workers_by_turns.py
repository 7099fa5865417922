"""Two workers, of which one after the other is killed, while people chat and the model server has bad moments.

Every accepted question ends once: in its answer, or in words with a code, free of charge. FORMA_TEST_SEED repeats one.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from sandbox.model.faults import Fault
from tests.crash.questions import QUICK_LEASE_S, STEADY, question
from tests.support import figures, shop
from tests.support.shop import EN
from tests.support.stack import Stack, stack
from tests.support.telegram import Person

PERSONS = 20
WORKERS = ("worker", "worker-2")
MINUTES, SAMPLE_S = 10.0, 15.0
# A killed worker comes back after as long; the other serves alone meanwhile.
AWAY_S, BETWEEN_S = (0.5, 4.0), (3.0, 12.0)
ENDED_S = 120.0
FAULT_SHARE = 0.01
# A plan allows fifteen questions a minute.
PAUSE_S = (4.0, 8.0)
FAULTS = (
    "error",
    "busy",
    "reset",
    "reset_after",
    "half_stream",
    "invalid_json",
    "wrong_usage",
    "no_usage",
    "engine_dead",
)
FAILED = "no tokens were charged"
# Each turn: what it says of itself, what its hold says, and how often the ledger took tokens for it.
ENDS = """
    SELECT t.status, t.error_code, t.billed_tokens, h.status AS hold, h.settled,
        (SELECT count(*) FROM ledger_tx x
         WHERE x.kind = 'usage' AND x.ref_type = 'hold' AND split_part(x.ref_id, ':', 1) = CAST(t.id AS text)
        ) AS charges
    FROM turns t JOIN holds h ON h.turn_id = t.id WHERE t.person_id = :id ORDER BY t.id
"""


@pytest.fixture
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    async with stack(
        database_url, redis_url, start=("bot", *WORKERS), lease_s=QUICK_LEASE_S, model_options=STEADY
    ) as running:
        yield running


async def test_workers_are_killed_by_turns(forma: Stack) -> None:
    await live(forma, SAMPLE_S)


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 300)
async def test_workers_are_killed_by_turns_for_ten_minutes(forma: Stack) -> None:
    await live(forma, MINUTES * 60)


async def live(forma: Stack, seconds: float) -> None:
    seed = int(os.environ.get("FORMA_TEST_SEED") or random.SystemRandom().randrange(1_000_000))
    dice = random.Random(seed)
    persons = await forma.persons(PERSONS)
    for person in persons:
        await shop.subscribe(person, EN)
    for kind in FAULTS:
        forma.model.server.faults.add(Fault(kind, count=None, probability=FAULT_SHARE, seed=seed))
    deadline = time.monotonic() + seconds
    asked: dict[Person, list[str]] = {person: [] for person in persons}
    waited: list[float] = []

    async def chat(person: Person) -> None:
        while time.monotonic() < deadline:
            mark = f"turns-{person.id}-{len(asked[person])}-"
            asked[person].append(mark)
            began, failures = time.monotonic(), forma.shown(person, FAILED)
            await person.send(question(mark, dice.randrange(5, 60)))
            await forma.tg.until(
                lambda: forma.shown(person, mark) or forma.shown(person, FAILED) > failures,  # noqa: B023
                timeout_s=ENDED_S,
                what=f"end of {mark}, seed {seed}",
            )
            waited.append(time.monotonic() - began)
            await asyncio.sleep(dice.uniform(*PAUSE_S))

    async with asyncio.TaskGroup() as group:
        for person in persons:
            group.create_task(chat(person))
        group.create_task(kill_by_turns(forma, dice, deadline))
    forma.model.server.faults.clear()
    await forma.assert_sound(may_fail=True)
    outcomes = sum([await ended_once(forma, person, marks, seed) for person, marks in asked.items()], Counter[str]())
    assert outcomes.total() == len(waited)
    waited.sort()
    figures.tell(
        questions=len(waited),
        **outcomes,
        kills=forma.kills,
        wait_s_p50=round(waited[len(waited) // 2], 1),
        wait_s_p95=round(waited[len(waited) * 95 // 100], 1),
        wait_s_max=round(waited[-1], 1),
        seed=seed,
    )


async def kill_by_turns(forma: Stack, dice: random.Random, deadline: float) -> None:
    """One worker dies at any moment and comes back; then it is the other's turn."""
    while time.monotonic() < deadline:
        for name in WORKERS:
            await asyncio.sleep(dice.uniform(*BETWEEN_S))
            await forma.kill(name)
            await asyncio.sleep(dice.uniform(*AWAY_S))
            await forma.start(name)


async def ended_once(forma: Stack, person: Person, marks: list[str], seed: int) -> Counter[str]:
    """How this person's questions ended, after looking that each ended once and was paid for at most once."""
    ends = await forma.rows(ENDS, id=person.id)
    assert len(ends) == len(marks), f"seed {seed}"
    for mark, end in zip(marks, ends, strict=True):
        where = f"{mark}, seed {seed}: {end}"
        if end.status == "done":
            assert forma.shown(person, mark) == 1, where
            assert (end.hold, end.charges) == ("settled", 1), where
            assert end.settled > 0, where
        else:
            assert (end.status, end.hold, end.charges, end.billed_tokens or 0) == ("failed", "released", 0, 0), where
            assert forma.shown(person, mark) == 0, where
            assert forma.shown(person, end.error_code) == 1, where
    return Counter("answered" if end.status == "done" else "failed" for end in ends)
