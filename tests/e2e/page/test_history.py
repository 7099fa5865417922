"""What was said before, and what is said while the line is cut."""

import re
from pathlib import Path

from playwright.async_api import WebSocketRoute, expect

from sandbox.telegram import chats
from sandbox.telegram.server import Running, start
from tests.support.browser import Chromium, at, needs_chromium, phone
from tests.support.page_bot import Stand
from tests.support.sandbox_bot import aiogram_bot

pytestmark = needs_chromium

# What Chromium writes into the console while a server is away.
AWAY = ("ERR_CONNECTION", "WebSocket connection", "ERR_EMPTY_RESPONSE", "ERR_SOCKET")


async def test_two_thousand_messages_open_at_the_end_and_scroll_back(stand: Stand) -> None:
    who = await stand.person("Quin", started=True)
    world = stand.bench.server.world
    person = world.state.persons[who.id]
    for number in range(2000):
        sender = world.state.bot.user() if number % 2 else person.user()
        chats.post(world, person, sender, {"text": f"message {number} " + "words " * (number % 30)})
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await expect(column.get_by_text("message 1999 ")).to_be_in_viewport()
        assert await column.locator(".row").count() < 150
        await column.get_by_text("message 1950 ").scroll_into_view_if_needed()
        spent = await page.evaluate(
            """async (key) => {
              const scroll = document.querySelector(`.column[data-key="${key}"] .scroll`);
              const began = performance.now();
              while (!scroll.textContent.includes("message 0 ") && performance.now() - began < 8000) {
                scroll.scrollTop = 0;
                await new Promise((next) => setTimeout(next, 10));
              }
              return performance.now() - began;
            }""",
            f"{who.id}:{who.id}",
        )
        assert spent < 8000
        await stand.bench.bot.send_message(who.id, "the newest")
        await column.get_by_role("button", name="To the latest messages").click()
        await expect(column.get_by_text("the newest")).to_be_in_viewport()


async def test_the_page_goes_on_after_the_server_was_away(browser: Chromium, tmp_path: Path) -> None:
    server = await start(data=tmp_path)
    port = int(server.base_url.rpartition(":")[2])
    bot = aiogram_bot(server.base_url, server.token)
    running: Running = server
    try:
        async with browser.page(server.base_url, tolerated=AWAY) as page:
            await page.get_by_label("Name", exact=True).fill("Rae")
            await page.get_by_role("button", name="Add", exact=True).click()
            await page.get_by_role("button", name="Start", exact=True).click()
            await expect(page.locator(".row.own .text")).to_have_text("/start")
            await page.get_by_test_id("composer").fill("half a thought")
            await server.close()
            await expect(page.locator(".offline")).to_be_visible()
            running = await start(port=port, data=tmp_path)
            await bot.send_message(1001, "While you were away")
            await expect(page.locator(".row.peer .text")).to_have_text("While you were away")
            await expect(page.locator(".offline")).to_be_hidden()
            await expect(page.get_by_test_id("composer")).to_have_value("half a thought")
            for socket in list(running.world.events.listeners):
                socket.lagging = True  # what a cut would lose is read anew
            await bot.send_message(1001, "And again")
            await expect(page.locator(".row.peer .text").last).to_have_text("And again")
            await expect(page.locator(".row")).to_have_count(3)
    finally:
        await bot.session.close()
        await running.close()


async def test_a_cut_socket_is_resumed_without_reading_everything_again(stand: Stand) -> None:
    who = await stand.person("Ron", started=True)
    await who.send("before")
    sockets: list[WebSocketRoute] = []
    reads: list[str] = []

    def connect(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    async with stand.page(at(who), tolerated=AWAY) as page:
        await page.route_web_socket(re.compile("/_control/events"), connect)
        await page.reload()
        column = phone(page, who)
        await expect(page.locator(".offline")).to_be_hidden()
        await stand.bench.bot.send_message(who.id, "first")
        await expect(column.locator(".row.peer .text")).to_have_text("first")
        page.on("request", lambda request: reads.append(request.url) if "/messages" in request.url else None)
        await sockets[0].close()
        await stand.bench.bot.send_message(who.id, "second")
        await expect(column.locator(".row.peer .text").last).to_have_text("second")
        await expect(column.locator(".row")).to_have_count(3)
        assert len(sockets) == 2
        assert not reads


async def test_an_answer_that_streams_while_the_socket_is_cut_is_shown_once_and_whole(stand: Stand) -> None:
    who = await stand.person("Sid", started=True)
    bot, words = stand.bench.bot, "A line about sleep.\n"
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    async with stand.page(at(who), tolerated=AWAY) as page:
        await page.route_web_socket(re.compile("/_control/events"), connect)
        await page.reload()
        column = phone(page, who)
        await expect(page.locator(".offline")).to_be_hidden()
        await bot.send_message_draft(chat_id=who.id, draft_id=3, text=words * 2, can_stop=True)
        await expect(column.locator(".draft .text")).to_have_text(words * 2)
        await sockets[-1].close()
        await bot.send_message_draft(chat_id=who.id, draft_id=3, text=words * 6, can_stop=True)
        await expect(column.locator(".draft .text")).to_have_text(words * 6)
        await sockets[-1].close()
        await bot.send_message(who.id, words * 8)
        await expect(column.locator(".row.peer .text")).to_have_text([words * 8])
        await expect(column.locator(".draft")).to_have_count(0)


async def test_a_reader_who_scrolled_back_is_left_there_while_an_answer_grows(stand: Stand) -> None:
    who = await stand.person("Tim", started=True)
    bot = stand.bench.bot
    for number in range(30):
        await bot.send_message(who.id, f"message {number}\n" + "line\n" * 3)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await column.get_by_text("message 29").wait_for()
        await column.locator(".scroll").hover()
        await page.mouse.wheel(0, -1500)
        end = column.get_by_role("button", name="To the latest messages")
        await expect(end).to_be_visible()
        place = await column.locator(".scroll").evaluate("node => node.scrollTop")
        await bot.send_message_draft(chat_id=who.id, draft_id=4, text="line\n" * 40, can_stop=True)
        await expect(column.locator(".draft .text")).to_have_text("line\n" * 40)
        await bot.send_message(who.id, "line\n" * 40 + "the end")
        await expect(column.locator(".to-end-count")).to_have_text("1")
        assert await column.locator(".scroll").evaluate("node => node.scrollTop") == place
        await end.click()
        await expect(column.locator(".row.peer .meta").last).to_be_in_viewport()
        await expect(end).to_be_hidden()
