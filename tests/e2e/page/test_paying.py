"""The invoice sheet and the sheet of Stars: bought, refused, cancelled, renewed again."""

import re

from aiogram.types import LabeledPrice
from playwright.async_api import expect

from tests.support.browser import at, needs_chromium, phone, say
from tests.support.page_bot import Stand

pytestmark = needs_chromium


async def test_a_subscription_is_bought_with_added_stars_and_canceled(stand: Stand) -> None:
    who = await stand.person("Gus", started=True, stars=550)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await say(column, "/buy")
        await column.get_by_role("button", name="Subscribe").click()
        sheet = column.get_by_role("dialog")
        for words in ("Forma, a month", "2,000 answers", "600", "every 30 days", "50 Stars short"):
            await expect(sheet).to_contain_text(words)
        await expect(sheet.get_by_role("button", name=re.compile("^Pay"))).to_be_disabled()
        await sheet.get_by_role("button", name="+100").click()
        stand.script.refusal = "Sold out today"
        await sheet.get_by_role("button", name=re.compile("^Pay")).click()
        await expect(sheet).to_contain_text("Sold out today")
        stand.script.refusal = None
        await sheet.get_by_role("button", name="Try again").click()
        await sheet.get_by_role("button", name=re.compile("^Pay")).click()
        await expect(sheet.get_by_role("heading", name="Paid")).to_be_visible()
        await sheet.get_by_role("button", name="Done").click()
        await expect(column.locator(".stars-count")).to_have_text("50")
        await expect(column.locator(".service-line").last).to_have_text("Paid 600 Stars")
        await column.get_by_role("button", name="Stars and subscriptions").click()
        await expect(sheet.locator(".sub")).to_contain_text("Renews on")
        await sheet.locator(".sub").get_by_role("button", name="Cancel").click()
        await expect(sheet.locator(".sub")).to_contain_text("Canceled, runs until")
        await sheet.get_by_role("button", name="Resume").click()
        await expect(sheet.locator(".sub")).to_contain_text("Renews on")
        assert (await who.subscriptions())[0]["state"] == "active"


async def test_an_invoice_message_is_paid_once_and_says_so(stand: Stand) -> None:
    who = await stand.person("Hal", started=True)
    prices = [LabeledPrice(label="pack", amount=150)]
    await stand.bench.bot.send_invoice(who.id, "Pack", "300 answers", f"pack-{who.id}", "XTR", prices)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await expect(column.locator(".invoice")).to_contain_text("300 answers")
        await column.locator(".key-pay").click()
        await expect(column.get_by_role("dialog").get_by_role("button", name=re.compile("^Pay"))).to_be_focused()
        for _ in range(3):
            await page.keyboard.press("Tab")
        await expect(column.get_by_role("dialog").get_by_role("button", name=re.compile("^Pay"))).to_be_focused()
        await column.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await expect(column.get_by_role("dialog")).to_have_count(0)
        await expect(column.locator(".key-pay")).to_be_focused()
        await column.locator(".key-pay").click()
        await column.get_by_role("dialog").get_by_role("button", name=re.compile("^Pay")).click()
        await column.get_by_role("dialog").get_by_role("button", name="Done").click()
        await expect(column.locator(".key-pay")).to_contain_text("Paid")
        assert await who.stars() == 850
