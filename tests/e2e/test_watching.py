"""Watching from outside: /health says what is wrong, /metrics counts from the start, logs hold no words of people."""

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from kit.observability import MULTIPROCESS_ENV
from tests.support.stack import Stack, stack

WAIT_S = 60.0
SECRET = "pelican-knee-4711"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("metrics")
    async with stack(
        database_url,
        redis_url,
        start=("web",),
        environment={MULTIPROCESS_ENV: str(folder)},
        http_port=free_port(),
        log_format="json",
    ) as running:
        yield running


async def get(forma: Stack, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{forma.environment['FORMA_HTTP_PORT']}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def health(forma: Stack) -> tuple[int, dict[str, Any]]:
    status, body = await get(forma, "/health")
    return status, json.loads(body)


async def write(forma: Stack, sql: str) -> None:
    async with forma.db.transaction() as tx:
        await tx.execute(sa.text(sql))


async def numbers(forma: Stack) -> dict[str, float]:
    """Every sample of /metrics by its name and labels."""
    status, body = await get(forma, "/metrics")
    assert status == 200
    lines = [line.rpartition(" ") for line in body.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_without_a_worker_health_is_degraded_and_says_which_part(forma: Stack) -> None:
    status, body = await health(forma)
    assert (status, body["status"]) == (200, "degraded")
    assert body["parts"]["worker"] == {"state": "bad", "detail": "none"}
    assert {name for name, part in body["parts"].items() if part["state"] == "good"} >= {
        "redis",
        "outbox",
        "queue chat",
        "model chat",
    }


async def test_what_is_counted_is_zero_before_it_grows_and_grows_in_whichever_process(forma: Stack) -> None:
    await forma.start("bot", "worker")
    before = await numbers(forma)
    for name in (
        'forma_turns_total{status="done"}',
        'forma_turns_total{status="failed"}',
        'forma_model_tokens_total{kind="output"}',
        "forma_first_token_seconds_count",
        "forma_turn_wait_seconds_count",
        "forma_turn_seconds_count",
        "forma_billed_tokens_total",
        'forma_sends_total{lane="final",outcome="sent"}',
        'forma_send_wait_seconds_count{lane="final"}',
        "forma_outbox_age_seconds",
        "forma_streams_open",
    ):
        assert before[name] == 0, name
    [person] = await forma.persons(1)
    await person.send(f"[[echo: {SECRET}]] What helps?")
    await person.wait_for(SECRET, timeout_s=WAIT_S)
    await forma.settled()
    after = await numbers(forma)
    assert after['forma_turns_total{status="done"}'] == 1
    assert after['forma_model_tokens_total{kind="output"}'] > 0
    assert after["forma_first_token_seconds_count"] == 1
    assert after["forma_turn_seconds_count"] == 1
    assert after['forma_sends_total{lane="final",outcome="sent"}'] == 1
    assert after['forma_updates_total{outcome="handled",type="message"}'] >= 2
    assert after["forma_streams_open"] == 0
    assert after["forma_outbox_age_seconds"] == 0
    body = (await get(forma, "/metrics"))[1]
    assert SECRET not in body
    assert str(person.id) not in body


async def test_all_parts_together_are_well(forma: Stack) -> None:
    found: dict[str, Any] = {}
    for _ in range(200):
        status, found = await health(forma)
        if found["status"] == "ok":
            break
        slow = {name for name, part in found["parts"].items() if part["state"] != "good"}
        assert slow <= {"postgres", "redis", "queue chat", "outbox", "worker"}, found
    assert (status, found["status"]) == (200, "ok"), found


async def test_a_model_that_is_away_degrades_and_does_not_take_the_webhook_down(forma: Stack) -> None:
    await forma.model.close()
    status, body = await health(forma)
    assert (status, body["status"]) == (200, "degraded")
    assert body["parts"]["model chat"]["state"] == "bad"
    assert "127.0.0.1" not in json.dumps(body)


async def test_an_outbox_that_stands_still_is_bad(forma: Stack) -> None:
    await forma.stop("bot")
    await write(
        forma,
        "INSERT INTO outbox (kind, chat_id, payload, created_at) VALUES"
        " ('notice', 1, '{\"notice\": \"expired\", \"args\": {}}', now() - interval '5 minutes')",
    )
    status, body = await health(forma)
    assert (status, body["status"]) == (503, "bad")
    assert body["parts"]["outbox"]["state"] == "bad"
    assert (await numbers(forma))["forma_outbox_age_seconds"] >= 300
    await write(forma, "DELETE FROM outbox WHERE chat_id = 1")


async def test_logs_follow_a_turn_and_hold_no_words_of_people(forma: Stack) -> None:
    logs = "".join(forma.log(name) for name in ("bot", "worker", "web"))
    assert SECRET not in logs
    events = [json.loads(line) for line in logs.splitlines() if line.startswith("{")]
    turn = await forma.scalar("SELECT max(id) FROM turns")
    followed = {event["event"] for event in events if event.get("turn") == turn}
    assert {"turn_accepted", "post_sent"} <= followed
    assert all(event.keys() >= {"event", "level", "timestamp", "process"} for event in events)


async def test_nothing_else_is_served(forma: Stack) -> None:
    for path in ("/", "/telegram/webhook", "/metrics/", "/.env", "/health/../metrics.db"):
        assert (await get(forma, path))[0] == 404, path
