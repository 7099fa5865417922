"""Two bots: one works, the other waits by the lock of Postgres and takes over when the first is gone."""

import signal
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.crash.questions import QUICK_LEASE_S, STEADY, all_answered, ask, doubled, streaming
from tests.support.stack import Stack, stack

CONFLICT = "terminated by other getUpdates"


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    async with stack(
        database_url, redis_url, lease_s=QUICK_LEASE_S, model_options=STEADY, log_format="json"
    ) as running:
        await running.start("bot-2")
        yield running


async def test_the_second_bot_waits_and_touches_nothing(forma: Stack) -> None:
    assert '"standby"' in forma.log("bot-2")
    asked = await ask(forma, await forma.persons(2), "first")
    await all_answered(forma, asked)
    assert doubled(forma, asked) == 0
    assert "bot_ready" not in forma.log("bot-2")


@pytest.mark.parametrize(
    ("signum", "first", "second"),
    [(signal.SIGKILL, "bot", "bot-2"), (signal.SIGTERM, "bot-2", "bot")],
    ids=["killed", "asked to stop"],
)
async def test_it_takes_over_when_the_first_is_gone(forma: Stack, signum: int, first: str, second: str) -> None:
    persons = await forma.persons(3)
    async with streaming(forma, persons, f"running-{first}") as asked:
        await forma.kill(first, signum=signum)
    late = await ask(forma, persons[:2], f"late-{first}")
    await all_answered(forma, asked | late)
    assert doubled(forma, asked | late) <= (1 if signum == signal.SIGKILL else 0)
    await forma.assert_sound()
    await forma.start(first)
    assert forma.children[second].alive
    assert not any(CONFLICT in forma.log(name) for name in ("bot", "bot-2")), "two bots fetched at once"
