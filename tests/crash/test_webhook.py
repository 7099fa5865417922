"""Webhook mode: web, which stores what Telegram brings, is killed and asked to stop; nothing is lost or doubled."""

import signal
import socket
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.crash.questions import QUICK_LEASE_S, STEADY, all_answered, ask, doubled, streaming
from tests.support.stack import Stack, stack


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    async with stack(
        database_url,
        redis_url,
        start=("bot", "worker", "web"),
        lease_s=QUICK_LEASE_S,
        model_options=STEADY,
        telegram_mode="webhook",
        telegram_webhook_secret="s3cret",
        public_url=f"http://127.0.0.1:{port}",
        http_port=port,
    ) as running:
        yield running


async def test_web_is_killed_between_an_updates_arrival_and_its_row(forma: Stack) -> None:
    persons = await forma.persons(2)
    async with forma.locked("inbox"):
        asked = await ask(forma, persons, "arrived")
        await forma.until_blocked("inbox")
        await forma.kill("web")
    await forma.start("web")
    await all_answered(forma, asked)
    assert doubled(forma, asked) == 0
    await forma.assert_sound()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "asked to stop"])
async def test_what_comes_while_web_is_away_is_answered_after_it(forma: Stack, signum: int) -> None:
    persons = await forma.persons(3)
    async with streaming(forma, persons, f"open-{signum}", tokens=60) as asked:
        await forma.kill("web", signum=signum)
    away = await ask(forma, persons, f"away-{signum}")
    await forma.start("web")
    await all_answered(forma, asked | away)
    assert doubled(forma, asked | away) == 0
    await forma.assert_sound()


async def test_the_bot_is_killed_while_web_goes_on_storing(forma: Stack) -> None:
    persons = await forma.persons(2)
    await forma.kill("bot")
    asked = await ask(forma, persons, "stored")
    await forma.until(
        "SELECT count(*) = 2 FROM inbox WHERE handled_at IS NULL AND body #>> '{message,text}' LIKE '%stored-%'"
    )
    await forma.start("bot")
    await all_answered(forma, asked)
    assert doubled(forma, asked) == 0
    await forma.assert_sound()
