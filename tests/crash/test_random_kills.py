"""kill -9 at random moments under light load. The seed is printed; FORMA_TEST_SEED repeats it."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from tests.crash.questions import QUICK_LEASE_S, STEADY, doubled, question
from tests.support.stack import Stack, stack
from tests.support.telegram import Person

# The worker is in two of them: a turn has three tries, and the third loss in a row would rightly end it.
KILLS = ("bot", "bot", "bot", "bot", "worker", "bot worker")
PERSONS, QUESTIONS = 10, 3
# The long variant, for a night: as many rounds, each with a seed of its own.
SOAK_ROUNDS, SOAK_TIMEOUT_S = 20, 2_400


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    async with stack(database_url, redis_url, lease_s=QUICK_LEASE_S, model_options=STEADY) as running:
        yield running


async def test_every_question_is_answered_whatever_is_killed(
    forma: Stack, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("FORMA_TEST_SEED") or random.SystemRandom().randrange(1_000_000))
    record_property("seed", seed)
    await kill_at_random(forma, seed)


@pytest.mark.slow
@pytest.mark.timeout(SOAK_TIMEOUT_S)
async def test_every_question_is_answered_through_many_rounds_of_kills(forma: Stack) -> None:
    first = int(os.environ.get("FORMA_TEST_SEED") or random.SystemRandom().randrange(1_000_000))
    for seed in range(first, first + SOAK_ROUNDS):
        await kill_at_random(forma, seed)


async def kill_at_random(forma: Stack, seed: int) -> None:
    """One round: everybody asks, and each of KILLS happens once, in an order and at moments that the seed decides."""
    dice = random.Random(seed)
    persons = await forma.persons(PERSONS)
    asked: dict[str, Person] = {}

    async def chat(person: Person) -> None:
        for number in range(QUESTIONS):
            mark = f"random-{seed}-{person.id}-{number}"
            asked[mark] = person
            await person.send(question(mark, dice.randrange(5, 60)))
            await forma.answered(person, mark, timeout_s=60)

    before = forma.kills
    async with asyncio.TaskGroup() as group:
        for person in persons:
            group.create_task(chat(person))
        for names in dice.sample(KILLS, len(KILLS)):
            await asyncio.sleep(dice.uniform(0.2, 2.0))
            await forma.restart(*names.split())
    assert len(asked) == PERSONS * QUESTIONS
    assert doubled(forma, asked) <= forma.kills - before, f"seed {seed}"
    await forma.assert_sound()
