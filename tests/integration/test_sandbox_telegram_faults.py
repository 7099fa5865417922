"""How the sandbox's Telegram refuses, limits, breaks on purpose, and delivers updates."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiohttp import web

from sandbox.telegram.limits import Rates
from tests.support.sandbox_bot import Bench, aiogram_bot, sandbox_bot


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Bench]:
    async with sandbox_bot() as bench:
        yield bench


@pytest.fixture
async def bench(sandbox: Bench) -> AsyncIterator[Bench]:
    """The module's sandbox, emptied."""
    await sandbox.tg.reset()
    yield sandbox
    await sandbox.tg.clear_faults()


async def test_a_bad_token_is_401_and_an_unknown_method_404(bench: Bench) -> None:
    stranger = aiogram_bot(bench.server.base_url, "43:OTHER")
    with pytest.raises(TelegramUnauthorizedError):
        await stranger.get_me()
    await stranger.session.close()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{bench.server.base_url}/bot{bench.server.token}/makeCoffee") as response,
    ):
        assert response.status == 404
        assert await response.json() == {"ok": False, "error_code": 404, "description": "Not Found"}


@pytest.mark.parametrize("style", ["query", "json", "form", "multipart"])
async def test_a_call_may_come_as_get_json_form_or_multipart_with_the_name_in_any_case(
    bench: Bench, style: str
) -> None:
    ada = await bench.tg.person(started=True)
    url = f"{bench.server.base_url}/bot{bench.server.token}/SENDmessage"
    fields = {"chat_id": str(ada.id), "text": "[1, 2]"}
    markup = '{"inline_keyboard": [[{"text": "A", "callback_data": "a"}]]}'
    async with aiohttp.ClientSession() as session:
        if style == "query":
            response = await session.get(url, params=fields | {"reply_markup": markup})
        elif style == "json":
            buttons = {"inline_keyboard": [[{"text": "A", "callback_data": "a"}]]}
            response = await session.post(url, json={"chat_id": ada.id, "text": "[1, 2]", "reply_markup": buttons})
        elif style == "form":
            response = await session.post(url, data=fields | {"reply_markup": markup})
        else:
            form = aiohttp.FormData(fields | {"reply_markup": markup}, default_to_multipart=True)
            response = await session.post(url, data=form)
        assert (await response.json())["ok"]
    assert (await ada.wait_for("[1, 2]")).labels == ["A"]


async def test_one_chat_takes_a_burst_and_then_one_message_a_second() -> None:
    async with sandbox_bot(rates=Rates()) as bench:
        ada = await bench.tg.person(started=True)
        for number in range(5):
            await bench.bot.send_message(ada.id, str(number))
        with pytest.raises(TelegramRetryAfter) as refusal:
            await bench.bot.send_message(ada.id, "5")
        assert refusal.value.retry_after == 1
        await asyncio.sleep(refusal.value.retry_after)
        sent = await bench.bot.send_message(ada.id, "5")
        with pytest.raises(TelegramRetryAfter):
            await bench.bot.edit_message_text("6", chat_id=ada.id, message_id=sent.message_id)
        bob = await bench.tg.person(started=True)
        await bench.bot.send_message(bob.id, "not limited by Ada's chat")


async def test_a_group_takes_twenty_a_minute_and_all_chats_thirty_a_second() -> None:
    async with sandbox_bot(rates=Rates()) as bench:
        group = await bench.tg.group(members=[await bench.tg.person()])
        for number in range(20):
            await bench.bot.send_message(group.id, str(number))
        with pytest.raises(TelegramRetryAfter) as refusal:
            await bench.bot.send_message(group.id, "21")
        assert 1 <= refusal.value.retry_after <= 3
        await bench.tg.limits(chat_per_s=1000, all_per_s=0.5, all_burst=3)
        ada = await bench.tg.person(started=True)
        for number in range(3):
            await bench.bot.send_message(ada.id, str(number))
        with pytest.raises(TelegramRetryAfter) as refusal:
            await bench.bot.send_message_draft(ada.id, 1, text="x")
        assert refusal.value.retry_after == 2
        await bench.tg.limits(enabled=False)
        await bench.bot.send_message(ada.id, "free")


@pytest.mark.parametrize(
    ("kind", "error", "arrives"),
    [
        ("http_500", TelegramServerError, False),
        ("rate_limit", TelegramRetryAfter, False),
        ("reset", TelegramNetworkError, False),
        ("drop_response", TelegramNetworkError, True),
        ("malformed", ClientDecodeError, True),
    ],
)
async def test_a_fault_strikes_as_often_as_it_was_told(
    bench: Bench, kind: str, error: type[Exception], arrives: bool
) -> None:
    ada = await bench.tg.person(started=True)
    await bench.tg.fault("sendMessage", kind, count=1, chat_id=ada.id)
    with pytest.raises(error):
        await bench.bot.send_message(ada.id, "first")
    await bench.bot.send_message(ada.id, "second")
    await ada.wait_for("second")
    assert [seen.text for seen in ada.messages()] == (["first", "second"] if arrives else ["second"])
    assert [call["fault"] for call in await bench.tg.calls("sendMessage", ada.id)] == [kind, None]


async def test_a_delay_holds_a_call_back(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.tg.fault("send*", "delay", delay_s=0.3)
    began = time.monotonic()
    await bench.bot.send_message(ada.id, "late")
    assert time.monotonic() - began >= 0.3


async def test_faults_with_a_seed_strike_the_same_calls_again(bench: Bench) -> None:
    struck = []
    for _ in range(2):
        await bench.tg.clear_faults()
        await bench.tg.fault("getMe", "http_500", probability=0.5, seed=7)
        outcome = []
        for _ in range(12):
            try:
                await bench.bot.get_me()
                outcome.append(True)
            except TelegramServerError:
                outcome.append(False)
        struck.append(outcome)
    assert struck[0] == struck[1]
    assert len(set(struck[0])) == 2


async def test_updates_grow_by_one_and_are_kept_until_confirmed(bench: Bench) -> None:
    ada = await bench.tg.person()
    for number in range(3):
        await ada.send(str(number))
    first = await bench.bot.get_updates()
    again = await bench.bot.get_updates(offset=first[1].update_id)
    assert [update.update_id - first[0].update_id for update in first] == [0, 1, 2]
    assert [update.message.text for update in again] == ["1", "2"]
    assert [update.message.text for update in await bench.bot.get_updates(offset=-1)] == ["2"]


async def test_updates_come_twice_reversed_or_are_lost_on_the_way_but_stay(bench: Bench) -> None:
    ada = await bench.tg.person()
    await ada.send("a")
    await ada.send("b")
    await bench.tg.fault("getUpdates", "duplicate", count=1)
    assert [update.message.text for update in await bench.bot.get_updates()] == ["a", "a", "b", "b"]
    await bench.tg.fault("getUpdates", "reorder", count=1)
    assert [update.message.text for update in await bench.bot.get_updates()] == ["b", "a"]
    await bench.tg.fault("getUpdates", "drop_response", count=1)
    with pytest.raises(TelegramNetworkError):
        await bench.bot.get_updates()
    assert [update.message.text for update in await bench.bot.get_updates()] == ["a", "b"]


async def test_only_allowed_updates_are_queued(bench: Bench) -> None:
    ada = await bench.tg.person()
    await bench.updates(timeout_s=0, allowed=["callback_query"])
    await ada.send("unheard")
    assert await bench.updates(timeout_s=0) == []
    await bench.updates(timeout_s=0, allowed=["message"])
    await ada.send("heard")
    assert (await bench.update("message")).text == "heard"
    await bench.updates(timeout_s=0, allowed=[])


async def test_updates_older_than_a_day_are_gone(bench: Bench) -> None:
    ada = await bench.tg.person()
    await ada.send("old")
    await bench.tg.advance(hours=25)
    await ada.send("new")
    assert [update.message.text for update in await bench.updates()] == ["new"]


class Hook:
    """A webhook that answers what it is told and keeps what it got."""

    def __init__(self) -> None:
        self.answers = [500, 200]
        self.got: list[tuple[str | None, int, str]] = []

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.json()
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
        status = self.answers.pop(0) if self.answers else 200
        self.got.append((secret, status, body["message"]["text"]))
        return web.Response(status=status)


async def test_a_webhook_gets_updates_in_order_with_its_secret_and_again_after_a_failure(bench: Bench) -> None:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/hook", hook.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        await bench.bot.set_webhook(url, secret_token="s3cret")
        with pytest.raises(TelegramConflictError, match="while webhook is active"):
            await bench.bot.get_updates()
        ada = await bench.tg.person()
        await ada.send("one")
        await ada.send("two")
        async with asyncio.timeout(10):
            while len(hook.got) < 3:
                await asyncio.sleep(0.02)
        assert hook.got == [("s3cret", 500, "one"), ("s3cret", 200, "one"), ("s3cret", 200, "two")]
        info = await bench.bot.get_webhook_info()
        assert info.url == url
        assert "500" in (info.last_error_message or "")
    finally:
        await bench.bot.delete_webhook()
        await runner.cleanup()
    assert await bench.updates(timeout_s=0) == []


async def test_a_webhook_must_be_https_beyond_this_machine(bench: Bench) -> None:
    with pytest.raises(TelegramBadRequest, match="An HTTPS URL must be provided"):
        await bench.bot.set_webhook("http://example.com/hook")
