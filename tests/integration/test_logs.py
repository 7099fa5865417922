"""What the logs hold: one turn can be followed from update to delivery, and nobody's words are in them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from tests.support.stack import Stack, stack

# Long enough to be cut in two by nothing, and in no other text.
SECRET = "zanzibar-whispers-1749"
EVENTS_OF_A_TURN = {
    "turn_accepted": "bot",
    "turn_closed": "worker",
    "post_sent": "bot",
}


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    async with stack(
        database_url, redis_url, start=("bot", "worker", "web"), log_format="json", log_level="DEBUG", http_port=_port()
    ) as running:
        yield running


def _port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lines(forma: Stack) -> list[dict[str, Any]]:
    """Every line that any process has written, each of them JSON."""
    return [json.loads(line) for name in forma.children for line in forma.log(name).splitlines() if line.strip()]


def assert_nobodys_words(forma: Stack) -> None:
    for name in forma.children:
        for line in forma.log(name).splitlines():
            assert SECRET not in line, line


async def test_a_turn_is_followed_by_its_id_from_update_to_delivery(forma: Stack) -> None:
    [person] = await forma.persons(1)
    await person.send(f"[[echo: {SECRET}]]")
    await forma.answered(person, SECRET)
    await forma.settled()
    turn_id = await forma.scalar("SELECT id FROM turns WHERE person_id = :id", id=person.id)
    mine = {line["event"]: line for line in lines(forma) if line.get("turn") == turn_id}
    for event, process in EVENTS_OF_A_TURN.items():
        assert event in mine, sorted(mine)
        assert mine[event]["process"] == process
        assert mine[event]["timestamp"]
        assert mine[event]["level"] == "info"
    update = await forma.scalar(
        "SELECT dedup_key FROM inbox WHERE body #>> '{message,text}' LIKE '%' || :secret || '%'", secret=SECRET
    )
    assert mine["turn_accepted"]["update"] == update, "the turn leads back to Telegram's update"
    assert_nobodys_words(forma)


async def test_nobodys_words_are_logged_when_telegram_and_the_model_fail(forma: Stack) -> None:
    [person] = await forma.persons(1)
    await forma.tg.fault("sendMessage", "http_500", count=2)
    await forma.tg.fault("sendMessageDraft", "http_500", count=2)
    await person.send(f"[[echo: {SECRET} failing]]")
    await forma.answered(person, f"{SECRET} failing")
    await forma.tg.clear_faults()
    await person.send(f"/nonsense {SECRET}")
    await person.send(f"{SECRET} " * 20, chat=None)
    await person.edit(await person.send(f"[[echo: {SECRET} before]]"), f"{SECRET} after")
    await forma.settled()
    assert_nobodys_words(forma)


async def test_nobodys_words_are_logged_when_the_database_refuses(forma: Stack) -> None:
    [person] = await forma.persons(1)
    async with forma.db.transaction() as tx:
        await tx.execute(sa.text(f"ALTER TABLE messages ADD CONSTRAINT refused CHECK (text NOT LIKE '%{SECRET} no%')"))
    try:
        await person.send(f"{SECRET} no")
        await forma.tg.until(lambda: "update_set_aside" in forma.log("bot"), timeout_s=40)
    finally:
        async with forma.db.transaction() as tx:
            await tx.execute(sa.text("ALTER TABLE messages DROP CONSTRAINT refused"))
    assert_nobodys_words(forma)
