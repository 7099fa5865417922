"""The shop's checkout page, as a customer sees it on a phone and on a desk, in either language."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, expect

from sandbox.shop.cards import CARD_OF
from tests.support.browser import PHONE_WIDTH, Chromium, needs_chromium
from tests.support.shop_driver import RETURN_URL, ShopBench, shop_running

pytestmark = needs_chromium
PAYS, ASKS_3DS = "5555555555554444", "5555555555554477"


@pytest.fixture(scope="module")
async def bench() -> AsyncIterator[ShopBench]:
    async with shop_running() as bench:
        yield bench


@asynccontextmanager
async def checkout(
    browser: Chromium, bench: ShopBench, object_id: str, *, width: int = 1280, lang: str = "en-GB", query: str = ""
) -> AsyncIterator[Page]:
    """The page of a payment; the merchant's page it returns to is a blank one."""
    at = f"checkout/{object_id}{query}"
    async with browser.page(bench.server.base_url, at, width=width, lang=lang, tolerated=(RETURN_URL,)) as page:
        await page.route(f"{RETURN_URL}*", lambda route: route.fulfill(body="thanks", content_type="text/plain"))
        yield page
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def type_card(page: Page, number: str, *, expiry: str = "1240", csc: str = "123") -> None:
    """Type a card as a person does, digit by digit, and press Enter."""
    for name, digits in (("number", number), ("expiry", expiry), ("csc", csc)):
        await page.locator(f"#{name}").fill("")
        await page.locator(f"#{name}").press_sequentially(digits)
    await page.locator("#csc").press("Enter")


async def test_a_card_is_typed_paid_saved_and_the_customer_brought_back(browser: Chromium, bench: ShopBench) -> None:
    payment = await bench.merchant.pay_page("1234.50", save=True, description="<b>Forma</b>, a month")
    async with checkout(browser, bench, payment["id"]) as page:
        for words in ("This is a simulation", "Test shop", "1,234.50", "<b>Forma</b>, a month", "left to pay"):
            await expect(page.locator("main")).to_contain_text(words)
        await expect(page.get_by_label("Save the card")).to_be_checked()
        await type_card(page, "4000000000000002")
        await expect(page.get_by_text("Not a test card")).to_be_visible()
        await expect(page.get_by_label("Card number")).to_be_focused()
        await type_card(page, PAYS, expiry="0120")
        await expect(page.get_by_text("Needs a date in the future")).to_be_visible()
        await expect(page.locator("#number")).to_have_value("5555 5555 5555 4444")
        await type_card(page, PAYS)
        await expect(page.get_by_role("heading", name="Paid")).to_be_visible()
        await expect(page.get_by_text("Saved for automatic payments")).to_be_visible()
        await page.get_by_role("button", name="Back to the shop").click()
        await page.wait_for_url(RETURN_URL)
    paid = await bench.merchant.seen(f"payments/{payment['id']}")
    assert (paid["status"], paid["payment_method"]["saved"]) == ("succeeded", True)


async def test_on_a_phone_in_russian_a_decline_says_why_and_a_bank_asks_first(
    browser: Chromium, bench: ShopBench
) -> None:
    poor, asked = [await bench.merchant.pay_page("600.00", save=True) for _ in range(2)]
    async with checkout(browser, bench, poor["id"], width=PHONE_WIDTH, lang="ru-RU") as page:
        await expect(page.locator("main")).to_contain_text("Это симуляция")
        await page.get_by_text("Тестовые карты", exact=True).click()
        await page.get_by_role("button", name=re.compile("Не хватило денег")).click()
        await page.get_by_role("button", name="Оплатить 600 ₽").click()
        await expect(page.get_by_role("heading", name="Не хватило денег")).to_be_visible()
        await expect(page.locator("main")).to_contain_text("Деньги не списаны")
        words = await page.evaluate("async () => (await import('/page/js/words.js')).REASONS")
    for texts in zip(*(words[reason] for reason in CARD_OF), strict=True):
        assert all(texts)
    assert (
        len({words[reason][0] for reason in CARD_OF}) == len({words[reason][2] for reason in CARD_OF}) == len(CARD_OF)
    )
    async with checkout(browser, bench, asked["id"], width=PHONE_WIDTH, lang="en-GB", query="?lang=ru") as page:
        await page.get_by_label("Запомнить карту").uncheck()
        await type_card(page, ASKS_3DS)
        await expect(page.get_by_role("heading", name="Подтвердите оплату")).to_be_visible()
        await page.reload()
        await page.get_by_role("button", name="Это я, подтвердить").click()
        await expect(page.get_by_role("heading", name="Оплачено")).to_be_visible()
        await page.wait_for_url(RETURN_URL)
    paid = await bench.merchant.seen(f"payments/{asked['id']}")
    assert (paid["status"], paid["payment_method"]["saved"]) == ("succeeded", False)
    assert (await bench.merchant.seen(f"payments/{poor['id']}"))["cancellation_details"][
        "reason"
    ] == "insufficient_funds"


async def test_sbp_a_changed_mind_an_hour_too_late_and_a_card_bound_without_paying(
    browser: Chromium, bench: ShopBench
) -> None:
    payment = await bench.merchant.pay_page("600.00")
    async with checkout(browser, bench, payment["id"]) as page:
        await expect(page.get_by_role("checkbox")).to_have_count(0)
        await page.get_by_role("button", name="Back to the shop").click()
        await page.wait_for_url(RETURN_URL)
        await page.go_back()
        await page.get_by_role("button", name="SBP").click()
        await page.get_by_role("button", name="The bank confirms").click()
        await expect(page.get_by_role("heading", name="Paid")).to_be_visible()
    body = {"type": "bank_card", "confirmation": {"type": "redirect", "return_url": RETURN_URL}}
    binding = await bench.merchant.made("payment_methods", body)
    async with checkout(browser, bench, binding["id"]) as page:
        await expect(page.locator("main")).to_contain_text("No money is taken now")
        await type_card(page, PAYS)
        await expect(page.get_by_role("heading", name="The card is linked")).to_be_visible()
    late = await bench.merchant.pay_page("600.00")
    async with checkout(browser, bench, late["id"]) as page:
        await expect(page.get_by_role("heading", name="How to pay")).to_be_visible()
        await bench.shop.advance(3600)
        await expect(page.get_by_role("heading", name="The time to pay is over")).to_be_visible()
    assert (await bench.merchant.seen(f"payments/{payment['id']}"))["payment_method"]["type"] == "sbp"
    assert (await bench.merchant.seen(f"payment_methods/{binding['id']}"))["saved"] is True
