"""Forma itself on the chat page: what is bought through the sheet, and what the operator sees and gives."""

import re
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import ADMIN_GROUP
from tests.support.browser import Chromium, at, needs_chromium, phone, say
from tests.support.forma import Forma
from tests.support.telegram import Group, Person

pytestmark = needs_chromium


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person]:
    operator = await forma.tg.person(first_name="Ольга", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    return group, operator


def show(browser: Chromium, forma: Forma, who: Person, **options: Any) -> AbstractAsyncContextManager[Page]:
    return browser.page(forma.tg.base_url, at(who), **options)


async def open_sheet(column: Locator, command: str, choice: str) -> Locator:
    """Ask for the plans, choose one, and open its invoice."""
    await say(column, command)
    await column.get_by_role("button", name=re.compile(choice)).last.click()
    await column.get_by_role("button", name=re.compile("^(Pay|Оплатить)")).last.click()
    return column.get_by_role("dialog")


async def test_the_operator_sees_payments_looks_a_person_up_and_grants_tokens(
    browser: Chromium, forma: Forma, room: tuple[Group, Person]
) -> None:
    group, operator = room
    who = await forma.person("en", first_name="Bea", username="bea_b", stars=500)
    async with show(browser, forma, who) as page:
        await page.evaluate(f"location.hash = '{at(operator, group)}'")
        guest, admin = phone(page, who), phone(page, operator, group)
        sheet = await open_sheet(guest, "/plans", "^Pack 150")
        await sheet.get_by_role("button", name=re.compile("^Pay")).click()
        await sheet.get_by_role("button", name="Done").click()
        await expect(admin.locator(".row.peer .text", has_text=str(who.id))).to_contain_text("150", timeout=30_000)
        await say(admin, "/stats")
        await expect(admin.locator(".row.peer .text", has_text="За 1 день")).to_be_visible(timeout=30_000)
        await say(admin, "/user @bea_b")
        await expect(admin.locator(".row.peer .text", has_text="@bea_b")).to_be_visible(timeout=30_000)
        await say(admin, "/grant @bea_b 5000 за терпение")
        await admin.get_by_role("button", name="Начислить", exact=True).click(timeout=30_000)
        await expect(guest.locator(".row.peer .text").last).to_contain_text(re.compile("given 5,000"), timeout=30_000)
        await expect(admin.locator(".row.peer .text", has_text=re.compile(r"Начислено 5.?000"))).to_be_visible(
            timeout=30_000
        )
    assert await forma.scalar("SELECT count(*) FROM audit_log WHERE action = 'grant'") == 1


async def test_a_subscription_is_bought_through_the_sheet_and_cancelled_in_the_chat(
    browser: Chromium, forma: Forma
) -> None:
    who = await forma.person("en", first_name="Ada", stars=1000)
    async with show(browser, forma, who) as page:
        column = phone(page, who)
        sheet = await open_sheet(column, "/plans", "^Forma · 600")
        await expect(sheet).to_contain_text("every 30 days")
        await sheet.get_by_role("button", name="Cancel").click()
        await expect(sheet).to_have_count(0)
        await expect(column.locator(".stars-count")).to_have_text("1,000")
        assert await who.subscriptions() == []
        await column.get_by_role("button", name=re.compile("^Pay")).last.click()
        await sheet.get_by_role("button", name=re.compile("^Pay")).click()
        await expect(sheet.get_by_role("heading", name="Paid")).to_be_visible()
        await sheet.get_by_role("button", name="Done").click()
        await expect(column.locator(".stars-count")).to_have_text("400")
        await expect(column.locator(".key:disabled", has_text="✓")).to_be_visible()
        await expect(column.locator(".row.peer .text").last).to_contain_text("/subscription")
        await say(column, "/subscription")
        await column.get_by_role("button", name="Cancel subscription").click()
        await column.get_by_role("button", name="Yes, cancel").click()
        await expect(column.locator(".row.peer .text", has_text="No more charges. Access until")).to_be_visible()
        await column.get_by_role("button", name="Stars and subscriptions").click()
        await expect(sheet.locator(".sub")).to_contain_text("Canceled, runs until")
        await expect(sheet.locator(".wallet-total")).to_have_text("400")
    assert await forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=who.id) == "cancel_scheduled"
    assert await forma.violations() == []


async def test_who_is_short_of_stars_adds_some_and_buys_a_pack_in_russian(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("ru", first_name="Вера", stars=100)
    async with show(browser, forma, who, lang="ru-RU") as page:
        column = phone(page, who)
        sheet = await open_sheet(column, "/buy", "^Пакет 150")
        await expect(sheet).to_contain_text("Не хватает 50 звёзд")
        await expect(sheet.get_by_role("button", name=re.compile("^Оплатить"))).to_be_disabled()
        await sheet.get_by_role("button", name="+100").click()
        await sheet.get_by_role("button", name=re.compile("^Оплатить")).click()
        await expect(sheet.get_by_role("heading", name="Оплачено")).to_be_visible()
        await sheet.get_by_role("button", name="Готово").click()
        await expect(column.locator(".stars-count")).to_have_text("50")
        await expect(column.locator(".row.peer .text").last).to_contain_text(re.compile(r"300\s000"))
    assert await forma.violations() == []
