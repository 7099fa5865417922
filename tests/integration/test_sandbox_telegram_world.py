"""Groups, what persists, the control API, and that one sandbox carries a hundred people."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiogram.exceptions import TelegramForbiddenError, TelegramMigrateToChat
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from sandbox.telegram.bot_api import HANDLERS
from sandbox.telegram.calls import METHODS
from sandbox.telegram.server import make_app
from sandbox.telegram.world import World
from tests.support.sandbox_bot import Bench, aiogram_bot, sandbox_bot
from tests.support.telegram import ControlError, SandboxTelegram


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Bench]:
    async with sandbox_bot() as bench:
        yield bench


@pytest.fixture
async def bench(sandbox: Bench) -> Bench:
    """The module's sandbox, emptied."""
    await sandbox.tg.reset()
    return sandbox


async def test_privacy_mode_lets_commands_mentions_and_replies_through(bench: Bench) -> None:
    ada, bob = await bench.tg.person(), await bench.tg.person(first_name="Bob")
    group = await bench.tg.group("Зал", members=[ada, bob])
    added = await bench.update("my_chat_member")
    assert (added.chat.title, added.new_chat_member.status) == ("Зал", "member")
    await bench.updates(timeout_s=0)
    sent = await bench.bot.send_message(group.id, "я тут")
    await ada.send("просто болтаем", chat=group)
    await ada.send("/stats", chat=group)
    await ada.send("/stats@other_bot", chat=group)
    await bob.send("@forma_sandbox_bot привет", chat=group)
    await bob.send("и тебе", chat=group, reply_to_message_id=sent.message_id)
    heard = [update.message.text for update in await bench.updates("message")]
    assert heard == ["/stats", "@forma_sandbox_bot привет", "и тебе"]
    await group.set_member(bench.tg.bot_id, "administrator")
    await ada.send("просто болтаем", chat=group)
    assert (await bench.update("message")).text == "просто болтаем"


async def test_an_anonymous_admin_writes_as_the_group(bench: Bench) -> None:
    ada = await bench.tg.person()
    group = await bench.tg.group(admins=[ada])
    await bench.updates(timeout_s=0)
    await ada.send("/stats", chat=group, anonymous=True)
    message = await bench.update("message")
    assert message.sender_chat.id == group.id
    assert message.from_user.id != ada.id


async def test_a_group_that_is_upgraded_names_its_new_id(bench: Bench) -> None:
    ada = await bench.tg.person()
    group = await bench.tg.group(admins=[ada], kind="group", bot="administrator")
    await bench.updates(timeout_s=0)
    new = await group.migrate()
    assert (await bench.update("message")).migrate_to_chat_id == new.id
    assert (await bench.update("message")).migrate_from_chat_id == group.id
    with pytest.raises(TelegramMigrateToChat) as refusal:
        await bench.bot.send_message(group.id, "x")
    assert refusal.value.migrate_to_chat_id == new.id
    await bench.bot.send_message(new.id, "x")
    assert (await ada.wait_for("x", chat=new)).chat_id == new.id


async def test_membership_is_told_as_it_is(bench: Bench) -> None:
    ada, bob, eve = [await bench.tg.person() for _ in range(3)]
    group = await bench.tg.group(admins=[ada], members=[bob], bot="administrator")
    status = {p.id: (await bench.bot.get_chat_member(group.id, p.id)).status for p in (ada, bob, eve)}
    assert status == {ada.id: "creator", bob.id: "member", eve.id: "left"}
    admins = {admin.user.id for admin in await bench.bot.get_chat_administrators(group.id)}
    assert admins == {ada.id, bench.tg.bot_id}
    assert await bench.bot.get_chat_member_count(group.id) == 3
    assert (await bench.bot.get_chat(group.id)).type == "supergroup"
    await bench.bot.leave_chat(group.id)
    with pytest.raises(TelegramForbiddenError, match="bot is not a member of the supergroup chat"):
        await bench.bot.send_message(group.id, "x")


async def test_the_control_api_says_what_is_wrong(bench: Bench) -> None:
    ada = await bench.tg.person()
    for status, act in (
        (404, bench.tg.control("POST", "persons/999/send", {"text": "x"})),
        (400, ada.send("  ")),
        (404, ada.press(5, 0)),
        (409, ada.stop()),
        (400, bench.tg.fault("x", "earthquake")),
        (400, bench.tg.control("PATCH", "limits", {"speed": 1})),
    ):
        with pytest.raises(ControlError) as refusal:
            await act
        assert refusal.value.status == status
    await ada.block()
    with pytest.raises(ControlError, match="blocked the bot"):
        await ada.send("x")


async def test_buttons_that_are_not_callbacks_do_not_reach_the_bot(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    row = [
        InlineKeyboardButton(text="Сайт", url="https://example.com"),
        InlineKeyboardButton(text="Код", copy_text={"text": "A1B2"}),
        InlineKeyboardButton(text="✓", disabled={}, callback_data=None),
    ]
    await bench.bot.send_message(ada.id, "код", reply_markup=InlineKeyboardMarkup(inline_keyboard=[row]))
    message = await ada.wait_for("код")
    assert [(await ada.press(message, index))["kind"] for index in range(3)] == ["url", "copy", "disabled"]
    assert await bench.updates(timeout_s=0) == []


async def test_events_can_be_read_again_from_any_number(bench: Bench) -> None:
    ada = await bench.tg.person()
    before = (await bench.tg.state())["last_seq"]
    await ada.send("раз")
    replay = await bench.tg.control("GET", f"events?since={before}&types=message")
    assert [event["message"]["text"] for event in replay["events"]] == ["раз"]
    late = await bench.tg.control("GET", f"events?since={replay['last_seq']}&timeout_s=0.05")
    assert late["events"] == []


async def test_a_second_start_goes_on_with_the_same_data(tmp_path: Path) -> None:
    async with sandbox_bot(data=tmp_path) as bench:
        ada = await bench.tg.person(first_name="Ада", stars=77)
        await ada.send("вопрос")
        await bench.bot.send_message(ada.id, "ответ")
        await ada.upload("voice", b"OggS-voice", duration=3)
        await bench.tg.group("Admins", admins=[ada])
        await bench.tg.advance(days=3)
        await ada.send("после")
    async with sandbox_bot(data=tmp_path) as bench:
        ada = await bench.tg.known(ada.id)
        assert [seen.text for seen in ada.messages()] == ["вопрос", "ответ", "", "после"]
        assert await ada.stars() == 77
        pending = await bench.updates()
        assert [update.message.text for update in pending if update.message] == ["после"]
        state = await bench.tg.state()
        assert state["clock"]["offset_s"] == 3 * 86400
        assert [group["title"] for group in state["groups"]] == ["Admins"]
        voice = ada.messages()[2].raw["voice"]
        file = await bench.bot.get_file(voice["file_id"])
        assert (await bench.bot.download_file(file.file_path)).read() == b"OggS-voice"


def launch(port: int, data: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sandbox", "telegram", "--port", str(port), "--data", str(data)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_the_command_serves_keeps_data_on_sigterm_and_names_a_taken_port(tmp_path: Path) -> None:
    first = launch(0, tmp_path)
    try:
        assert first.stdout is not None
        line = await asyncio.to_thread(first.stdout.readline)
        base_url = line.split()[-1]
        async with SandboxTelegram(base_url) as tg:
            ada = await tg.person(first_name="Ада")
            await ada.send("сохрани")
        port = int(base_url.rpartition(":")[2])
        second = launch(port, tmp_path)
        _, words = await asyncio.to_thread(second.communicate)
        assert second.returncode == 1
        assert "address already in use" in words.lower()
        os.kill(first.pid, signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.to_thread(first.wait, 10) == 0
        assert time.monotonic() - began < 5
        assert "сохрани" in (tmp_path / "telegram.json").read_text()
    finally:
        first.kill()
        first.communicate()


async def test_a_closing_server_lets_a_waiting_poll_go() -> None:
    async with sandbox_bot() as bench:
        poll = asyncio.create_task(bench.bot.get_updates(timeout=30))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await bench.server.close()
        assert await poll == []
        assert time.monotonic() - began < 5


async def test_a_reset_leaves_the_running_bot_its_set_up(bench: Bench) -> None:
    ada = await bench.tg.person()
    await ada.send("до")
    await bench.bot.set_my_description("Тренер")
    await bench.updates()
    await bench.tg.reset()
    eve = await bench.tg.person()
    await eve.send("после")
    assert eve.id > ada.id
    assert (await bench.update("message")).text == "после"
    assert (await bench.bot.get_my_description()).description == "Тренер"


def test_every_simulated_method_and_control_path_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    for name in HANDLERS:
        assert re.search(rf"\b{METHODS[name].__api_method__}\b", page), METHODS[name].__api_method__
    for route in make_app(World()).router.resources():
        last = route.canonical.rpartition("/")[2]
        if route.canonical.startswith("/_control") and not last.startswith("{"):
            assert f"/{last}" in page, route.canonical


async def test_a_broken_snapshot_is_named_and_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "telegram.json").write_text("{")
    with pytest.raises(ValueError, match=r"telegram\.json does not hold a sandbox state"):
        async with sandbox_bot(data=tmp_path):
            pass
    assert (tmp_path / "telegram.json").read_text() == "{"


async def test_a_hundred_people_stream_at_once(bench: Bench) -> None:
    """200 calls and more a second through one event loop that the client shares."""
    people = [await bench.tg.person(started=True) for _ in range(100)]
    await bench.tg.limits(enabled=False)
    url = f"{bench.server.base_url}/bot{bench.server.token}/sendMessageDraft"
    connector = aiohttp.TCPConnector(limit=100)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def stream(person_id: int) -> None:
            for number in range(10):
                body = {"chat_id": person_id, "draft_id": 1, "text": "слово " * (number + 1)}
                async with session.post(url, json=body) as response:
                    assert (await response.json())["ok"]

        began = time.monotonic()
        await asyncio.gather(*(stream(person.id) for person in people))
        rate = 1000 / (time.monotonic() - began)
    assert rate > 200
    bot = aiogram_bot(bench.server.base_url, bench.server.token)
    await bot.send_message(people[0].id, "готово")
    await bot.session.close()
