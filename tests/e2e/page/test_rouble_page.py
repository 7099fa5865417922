"""Paying in roubles as a person does it: from the chat to the operator's page, to the shop's, and back to the chat."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from tests.support import shop as chat
from tests.support.browser import PHONE_WIDTH, Chromium, Watch, at, faint_texts, needs_chromium, phone, say
from tests.support.roubles import EMAIL, Market, free_port, market
from tests.support.telegram import Person

pytestmark = needs_chromium

POOR, ASKS_3DS = "5555 5555 5555 4600", "5555 5555 5555 4477"
PLANS = {"ru": "Планы на 30 дней", "en": "Plans for 30 days"}
ELSEWHERE = {"ru": "Другие способы оплаты", "en": "Other ways to pay"}
OPEN = {"ru": "Открыть страницу", "en": "Open the page"}
CARDS = {"ru": "Тестовые карты", "en": "Test cards"}


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    """The chat names no price in roubles, as an operator has it who changes nothing."""
    port = free_port()
    back = f"http://127.0.0.1:{port}"
    async with market(database_url, redis_url, telegram_port=port, chat_url=back, yookassa_receipts="54fz") as made:
        yield made
        assert await made.forma.violations() == []


@asynccontextmanager
async def at_the_page(
    browser: Chromium, mall: Market, who: Person, language: str, *, tolerated: tuple[str, ...] = (), **options: Any
) -> AsyncIterator[Page]:
    """From the chat's plans by its button to the operator's page, which opens in a tab of its own."""
    lang = {"ru": "ru-RU", "en": "en-GB"}[language]
    async with browser.page(mall.forma.tg.base_url, at(who), lang=lang, **options) as page:
        column = phone(page, who)
        await say(column, "/plans")
        await expect(column.locator(".row.peer .text").last).to_contain_text(PLANS[language], timeout=30_000)
        await expect(column).not_to_contain_text("₽")
        await column.get_by_role("button", name=ELSEWHERE[language]).last.click()
        await column.get_by_role("button", name=OPEN[language]).click()
        async with page.context.expect_page() as opening:
            await page.get_by_role("dialog").get_by_role("button", name=re.compile("^(Open|Открыть)$")).click()
        opened = await opening.value
        elsewhere = (mall.server.base_url.partition(":")[2], mall.forma.tg.base_url.partition(":")[2])
        watch = Watch(mall.forma.app.settings.site_url, tolerated=(*elsewhere, *tolerated))
        watch.attach(opened)
        await expect(opened.locator("html")).to_have_attribute("lang", language)
        yield opened
        watch.check()


async def choose(page: Page, *, label: str, pay: str) -> None:
    """On the operator's page: the pack, the e-mail, and on to the shop."""
    await page.get_by_role("link", name=label).click()
    await page.get_by_role("textbox").fill(EMAIL)
    await page.get_by_role("textbox").press("Enter")
    await page.wait_for_url("**/checkout/**")
    await expect(page.get_by_role("button", name=pay)).to_be_visible()


async def fits(page: Page) -> None:
    """Nothing is cut off, and everything can be read."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await faint_texts(page) == []


async def _paid_by_card_and_back_to_the_chat(browser: Chromium, mall: Market) -> None:
    who = await mall.forma.person("ru", first_name="Вера")
    options = {"width": PHONE_WIDTH, "color_scheme": "dark"}
    async with at_the_page(browser, mall, who, "ru", **options) as page:
        await expect(page.get_by_role("heading", name="Что купить")).to_be_visible()
        await fits(page)
        await page.get_by_role("link", name="Выбрать: Пакет токенов").click()
        await expect(page.locator("main")).to_contain_text("199 ₽")
        await fits(page)
        await page.get_by_label("Почта для чека").fill("нет")
        await page.get_by_role("button", name="Оплатить 199 ₽").click()
        assert await page.evaluate("document.activeElement.id") == "email", "the browser says what is wrong with it"
        await page.get_by_label("Почта для чека").fill(EMAIL)
        await page.get_by_role("button", name="Оплатить 199 ₽").click()
        await page.wait_for_url("**/checkout/**")
        await page.get_by_text(CARDS["ru"], exact=True).click()
        await fits(page)
        await page.get_by_role("button", name=re.compile("Оплата пройдёт")).first.click()
        await page.get_by_role("button", name="Оплатить 199 ₽").click()
        await expect(page.get_by_role("heading", name="Оплачено")).to_be_visible()
        await fits(page)
        await page.get_by_role("button", name="Вернуться в магазин").click()
        await expect(page.get_by_role("heading", name="Оплачено, спасибо")).to_be_visible()
        await fits(page)
        await page.get_by_role("link", name="Вернуться в чат").click()
        assert page.url.startswith(mall.forma.tg.base_url)
        await who.wait_for("Пакет ваш", timeout_s=chat.WAIT_S)


async def _declined_then_asked(browser: Chromium, mall: Market) -> None:
    who = await mall.forma.person("en", first_name="Ada")
    async with at_the_page(browser, mall, who, "en") as page:
        await choose(page, label="Choose: Token pack", pay="Pay 199 ₽")
        await page.get_by_text(CARDS["en"], exact=True).click()
        await page.get_by_role("button", name=re.compile(POOR)).click()
        await page.get_by_role("button", name="Pay 199 ₽").click()
        await expect(page.get_by_role("heading", name="Not enough money")).to_be_visible()
        await page.get_by_role("button", name="Back to the shop").click()
        await expect(page.get_by_role("alert")).to_contain_text("Not enough money on the card", timeout=30_000)
        await expect(page.get_by_role("alert")).to_contain_text("Nothing was charged")
        await expect(page.get_by_label("E-mail")).to_have_value(EMAIL)
        await fits(page)
        await page.get_by_role("button", name="Pay 199 ₽").click()
        await page.wait_for_url("**/checkout/**")
        await page.get_by_text(CARDS["en"], exact=True).click()
        await page.get_by_role("button", name=re.compile(ASKS_3DS)).click()
        await page.get_by_role("button", name="Pay 199 ₽").click()
        await page.get_by_role("button", name="It is me, confirm").click()
        await expect(page.get_by_role("heading", name="Paid, thank you")).to_be_visible(timeout=30_000)
    await who.wait_for("300,000 tokens", timeout_s=chat.WAIT_S)


async def _left_then_paid_by_sbp(browser: Chromium, mall: Market) -> None:
    who = await mall.forma.person("ru", first_name="Лев")
    async with at_the_page(browser, mall, who, "ru", color_scheme="dark", reduced_motion="reduce") as page:
        await choose(page, label="Выбрать: Пакет токенов", pay="Оплатить 199 ₽")
        await page.get_by_role("button", name="Вернуться в магазин").click()
        await expect(page.get_by_role("heading", name="Ждём оплату: 199 ₽")).to_be_visible()
        assert await page.evaluate("document.getAnimations().length") == 0
        await fits(page)
        await page.get_by_role("link", name="Перейти к оплате").click()
        await page.wait_for_url("**/checkout/**")
        await page.get_by_role("button", name="СБП").click()
        await page.get_by_role("button", name="Банк подтверждает").click()
        await expect(page.get_by_role("heading", name="Оплачено, спасибо")).to_be_visible(timeout=30_000)
    begun = "SELECT count(*) FROM payments WHERE payer_id = :id"
    assert await mall.forma.scalar(begun, id=who.id) == 1, "whoever comes back goes on with the same payment"
    await who.wait_for("Пакет ваш", timeout_s=chat.WAIT_S)


async def _refused_at_the_bank(browser: Chromium, mall: Market) -> None:
    who = await mall.forma.person("en", first_name="Bea")
    async with at_the_page(browser, mall, who, "en", width=PHONE_WIDTH, tolerated=("404",)) as page:
        await choose(page, label="Choose: Token pack", pay="Pay 199 ₽")
        await page.get_by_text(CARDS["en"], exact=True).click()
        await page.get_by_role("button", name=re.compile(ASKS_3DS)).click()
        await page.get_by_role("button", name="Pay 199 ₽").click()
        await page.get_by_role("button", name="Refuse").click()
        await page.get_by_role("button", name="Back to the shop").click()
        await expect(page.get_by_role("alert")).to_contain_text("Your bank got no confirmation", timeout=30_000)
        await fits(page)
        await page.goto(f"{page.url}x")
        await expect(page.get_by_role("heading", name="There is no such link")).to_be_visible()
        await fits(page)
    assert await mall.granted(who) == 0


async def test_a_card_a_decline_a_question_of_the_bank_sbp_and_a_changed_mind_each_find_their_end(
    browser: Chromium, mall: Market
) -> None:
    ways = (_paid_by_card_and_back_to_the_chat, _declined_then_asked, _left_then_paid_by_sbp, _refused_at_the_bank)
    await asyncio.gather(*(way(browser, mall) for way in ways))
