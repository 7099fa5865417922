"""The drawer of tools: time, faults, the log of calls, starting over."""

from playwright.async_api import expect

from sandbox.telegram.server import start
from tests.support.browser import Chromium, at, needs_chromium, phone
from tests.support.page_bot import MONTH_S, Stand

pytestmark = needs_chromium


async def test_tools_move_time_break_calls_and_show_them(stand: Stand) -> None:
    who = await stand.person("Uma", started=True)
    await who.send("hi")
    async with stand.page(at(who)) as page:
        await page.get_by_role("button", name="Tools").click()
        tools = page.get_by_role("complementary", name="Tools")
        before = stand.bench.server.world.now()
        await tools.get_by_role("button", name="+30 days").click()
        await expect(tools).to_contain_text("ahead by 30 days")
        assert stand.bench.server.world.now() - before >= MONTH_S
        await tools.get_by_role("button", name="Error 500 for 3 calls").click()
        await expect(tools.locator(".fault")).to_contain_text("0 of 3")
        assert [fault.kind for fault in stand.bench.server.world.faults.rules] == ["http_500"]
        await tools.locator(".fault").get_by_role("button").click()
        await expect(tools.locator(".fault")).to_have_count(0)
        await stand.bench.bot.send_chat_action(who.id, "upload_voice")
        await expect(phone(page, who).locator(".chat-status")).to_have_text("sending a file…")
        call = tools.locator(".call", has_text="sendChatAction")
        await call.click()
        await expect(call).to_contain_text('"action": "upload_voice"')


async def test_starting_over_keeps_people_and_groups(browser: Chromium) -> None:
    server = await start()
    try:
        async with browser.page(server.base_url) as page:
            await page.get_by_label("Name", exact=True).fill("Val")
            await page.get_by_role("button", name="Add", exact=True).click()
            await page.get_by_role("button", name="Start", exact=True).click()
            await expect(page.locator(".row.own")).to_have_count(1)
            await page.get_by_role("button", name="Tools").click()
            await page.get_by_role("button", name="Erase the simulation").click()
            await page.get_by_role("dialog").get_by_role("button", name="Erase", exact=True).click()
            await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
            await expect(page.locator(".row")).to_have_count(0)
            await expect(page.locator(".entry")).to_have_count(1)
    finally:
        await server.close()
