"""Every connection to Postgres is cut during load: everything recovers, nothing is doubled, nothing is lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.crash.questions import STEADY, all_answered, ask, doubled
from tests.crash.test_database import cut
from tests.support.stack import Stack, stack

CUTS, CUT_EVERY_S = 4, 0.9


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    async with stack(database_url, redis_url, model_options=STEADY) as running:
        running.keep()
        yield running


async def test_all_connections_are_cut_again_and_again(forma: Stack, database_url: str) -> None:
    persons = await forma.persons(12)
    asked = {}
    for number in range(CUTS):
        # Answers of 0.4 s to 3 s: some are being accepted, some settled and some delivered when it happens.
        asked |= await ask(forma, persons[number * 3 : number * 3 + 3], f"cut-{number}", tokens=20 + 30 * number)
        await asyncio.sleep(CUT_EVERY_S)
        assert await cut(database_url) >= 2
    await all_answered(forma, asked)
    await forma.assert_sound()
    assert doubled(forma, asked) == 0
