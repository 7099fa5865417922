"""Webhook mode: Telegram posts updates to the web process, which stores them; the bot process answers."""

import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from tests.support.forma import Forma, running
from tests.support.model import FAST
from web.server import SECRET_HEADER, WEBHOOK_PATH

SECRET = "not-guessed"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Forma]:
    """Forma behind a webhook, its web process included."""
    tg, model, port = await sandbox.telegram.server.start(), await sandbox.model.server.start(**FAST), free_port()
    try:
        async with running(
            database_url,
            redis_url,
            tg,
            model,
            start=("web", "bot", "worker"),
            telegram_mode="webhook",
            public_url=f"http://127.0.0.1:{port}",
            telegram_webhook_secret=SECRET,
            http_port=port,
        ) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


async def post(forma: Forma, body: object, secret: str | None) -> int:
    headers = {} if secret is None else {SECRET_HEADER: secret}
    url = f"{forma.settings.public_url}{WEBHOOK_PATH}"
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
        return response.status


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_a_question_is_answered_over_the_webhook(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    assert await forma.said(person, "[[echo: over the webhook]]") == ["over the webhook"]
    assert await forma.tg.calls("getUpdates") == []


async def test_buttons_and_the_stop_of_a_draft_come_over_the_webhook_too(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 900]] [[slow]] Расскажи о сне")
    await forma.growing(person)
    await person.stop()
    note = await person.wait_for("⏹ Остановлено")
    await person.press(note, "Продолжить")
    await forma.quiet(person)
    outcomes = (
        "SELECT string_agg(concat_ws(' ', status, instruction), ', ' ORDER BY id) FROM turns WHERE person_id = :id"
    )
    assert await forma.scalar(outcomes, id=person.id) == "stopped, done continue"


@pytest.mark.parametrize("secret", [None, "", "guessed", SECRET + "x", "секрет"])
async def test_who_does_not_know_the_secret_is_turned_away(forma: Forma, secret: str | None) -> None:
    before = await forma.scalar("SELECT count(*) FROM inbox")
    assert await post(forma, {"update_id": 987_654_321}, secret) == 401
    assert await forma.scalar("SELECT count(*) FROM inbox") == before


@pytest.mark.parametrize("body", [[], "text", {"message": {}}, {"update_id": "x"}, None])
async def test_what_is_no_update_is_refused_and_kept_nowhere(forma: Forma, body: object) -> None:
    before = await forma.scalar("SELECT count(*) FROM inbox")
    assert await post(forma, body, SECRET) == 400
    assert await forma.scalar("SELECT count(*) FROM inbox") == before


@pytest.mark.parametrize("kind", ["duplicate", "reorder"])
async def test_an_update_that_is_posted_twice_or_late_is_answered_once(forma: Forma, kind: str) -> None:
    person = await forma.person("ru")
    await forma.tg.fault("getUpdates", kind)
    for text in ("раз", "два"):
        await person.send(text)
    await forma.quiet(person)
    await forma.tg.clear_faults()
    told = [seen.text for seen in forma.answers(person)]
    assert len(told) == len(set(told))
    assert "два" in told[-1]  # the second may have joined the first
    asked = "SELECT count(*) FROM messages WHERE chat_id = :id AND role = 'user'"
    assert await forma.scalar(asked, id=person.id) == 2


async def test_parts_of_a_text_that_come_in_the_wrong_order_are_read_in_the_right_one(forma: Forma) -> None:
    person = await forma.person("ru")
    chat = {"id": person.id, "type": "private", "first_name": "Тест"}
    sender = {"id": person.id, "is_bot": False, "first_name": "Тест", "language_code": "ru"}
    for number, text in ((2, "вторая " * 520), (1, "первая " * 540)):
        message = {"message_id": 1_000 + number, "date": int(time.time()), "chat": chat, "from": sender, "text": text}
        assert await post(forma, {"update_id": 900_000_000 + number, "message": message}, SECRET) == 200
    await forma.quiet_until("SELECT count(*) = 2 FROM messages WHERE chat_id = :id AND role = 'user'", id=person.id)
    await forma.quiet(person)
    asked = (await forma.llm.requests())[-1]["body"]["messages"]
    words = " ".join(str(message["content"]) for message in asked if message["role"] == "user").split()
    assert (words.count("первая"), words.index("вторая")) == (540, 540)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1


async def test_updates_wait_for_a_web_process_that_is_away(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.stop("web")
    try:
        await person.send("[[echo: дождался]]")
        assert len((await forma.tg.state())["pending_updates"]) == 1
    finally:
        await forma.start("web")
    await person.wait_for("дождался", timeout_s=30)
