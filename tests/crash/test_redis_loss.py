"""The loss of all of Redis: a delay, never an answer or a token, and no answer given by two workers."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from cli.embedded import Valkey, prepare_data_dir
from cli.owner import server_owner
from tests.crash.questions import STEADY, all_answered, ask, doubled
from tests.support.stack import Stack, stack
from tests.support.telegram import Person

# Two workers with two places each: of six questions four run and two wait.
PLACES = 2


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    owner = server_owner()
    home = Path(tempfile.mkdtemp(prefix="forma-redis-", dir="/tmp" if owner else None))
    server = Valkey(prepare_data_dir(home, owner), owner)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
async def forma(database_url: str, valkey: Valkey) -> AsyncIterator[Stack]:
    parts = ("bot", "worker", "worker-2")
    async with stack(database_url, valkey.url(), start=parts, model_options=STEADY, worker_slots=PLACES) as running:
        yield running


async def test_redis_is_emptied_while_turns_run_and_wait(forma: Stack) -> None:
    persons = await forma.persons(6)
    asked = await ask(forma, persons, "flushed", tokens=150)
    await forma.until("SELECT count(*) >= 4 FROM turns WHERE started_at IS NOT NULL")
    await _until_somebody_reads(forma, persons)
    await _until_waiting(forma, 2)
    await forma.redis.flushall()
    await all_answered(forma, asked)
    assert doubled(forma, asked) == 0
    # The running ones were taken up again by their own workers, and nobody began any turn twice.
    assert await forma.scalar("SELECT max(attempts) FROM turns") == 1
    await forma.assert_sound()


async def test_redis_is_killed_and_comes_back_empty(forma: Stack, valkey: Valkey) -> None:
    persons = await forma.persons(8)
    asked = await ask(forma, persons[:6], "killed", tokens=150)
    await _until_somebody_reads(forma, persons)
    os.kill(valkey.pid, signal.SIGKILL)
    await asyncio.to_thread(valkey.stop)
    away = await ask(forma, persons[6:], "away")
    await forma.until(
        "SELECT count(*) = 2 FROM turns WHERE person_id = ANY (CAST(:ids AS bigint[]))",
        ids=[person.id for person in persons[6:]],
    )
    shutil.rmtree(valkey.data_dir / "valkey")
    await asyncio.to_thread(valkey.start)
    await _until_redis(forma)
    await all_answered(forma, asked | away)
    assert doubled(forma, asked | away) == 0
    assert await forma.scalar("SELECT max(attempts) FROM turns") == 1
    await forma.assert_sound()


async def _until_somebody_reads(forma: Stack, persons: list[Person]) -> None:
    """Wait for the first text of any answer: whose turn comes first among equals is the queue's to choose."""
    await forma.tg.until(lambda: any("word" in str((one.draft or {}).get("text")) for one in persons), timeout_s=30)


async def _until_waiting(forma: Stack, count: int) -> None:
    """Wait until the queue holds so many tickets: a turn that was asked for last may not have reached it yet."""
    async with asyncio.timeout(10):
        while (await forma.queue().snapshot()).waiting != count:
            await asyncio.sleep(0.005)


async def _until_redis(forma: Stack) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            assert await forma.redis.dbsize() >= 0
            return
        except (RedisError, OSError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
