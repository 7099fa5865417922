"""Who is on the page: people and groups side by side, at a desk and on a phone, in both languages."""

import re

import pytest
from playwright.async_api import expect

from sandbox.telegram.server import start
from tests.support.browser import PHONE_WIDTH, Chromium, at, needs_chromium, phone, say
from tests.support.page_bot import Stand

pytestmark = needs_chromium


async def test_a_newcomer_adds_a_person_and_starts_the_bot(browser: Chromium) -> None:
    server = await start()
    try:
        async with browser.page(server.base_url) as page:
            await page.get_by_label("Name", exact=True).fill("Ada Byron")
            await page.get_by_role("button", name="Add", exact=True).click()
            await expect(page.locator(".column")).to_have_count(1)
            await page.get_by_role("button", name="Start", exact=True).click()
            await expect(page.locator(".row.own .text")).to_have_text("/start")
            assert "person=1001" in page.url
            await page.reload()
            await expect(page.locator(".row.own .text")).to_have_text("/start")
    finally:
        await server.close()


async def test_the_empty_chat_tells_what_the_bot_can_in_the_persons_language(stand: Stand) -> None:
    ru, en = await stand.person("Вера", language_code="ru"), await stand.person("Ann")
    async with stand.page(at(ru)) as page:
        await expect(phone(page, ru).locator(".intro-card")).to_contain_text("Тренирует вас")
        await page.get_by_role("button", name=re.compile("as Ann$")).click()
        await expect(phone(page, en).locator(".intro-card")).to_contain_text("Coaches you")
        await phone(page, en).get_by_role("button", name="Start", exact=True).click()
        await expect(phone(page, en).locator(".row.peer strong")).to_have_text("Forma")


async def test_blocking_closes_the_line_and_unblocking_opens_it(stand: Stand) -> None:
    who = await stand.person("Nat", started=True)
    await who.send("hi")
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await column.get_by_role("button", name="Chat menu").click()
        await page.get_by_role("menuitem", name="Block the bot").click()
        await expect(column.get_by_text("You blocked the bot")).to_be_visible()
        await expect(column.get_by_test_id("composer")).to_have_count(0)
        await column.get_by_role("button", name="Unblock").click()
        await expect(column.get_by_test_id("composer")).to_be_visible()


async def test_two_people_of_a_group_see_each_other_side_by_side(stand: Stand) -> None:
    ola, pat = await stand.person("Ola"), await stand.person("Pat")
    group = await stand.bench.tg.group("Operators", members=[ola, pat], admins=[ola], kind="group")
    async with stand.page(at(ola, group)) as page:
        await page.evaluate(f"location.hash = '{at(pat, group)}'")
        await expect(phone(page, pat, group)).to_be_visible()
        await say(phone(page, ola, group), "Who is on duty?")
        await expect(phone(page, pat, group).locator(".row.peer .sender")).to_have_text("Ola")
        await expect(phone(page, ola, group).locator(".row.own .text")).to_have_text("Who is on duty?")
        await group.migrate()
        await expect(page.locator(".chat-status", has_text="3 members")).to_have_count(2)
        await expect(phone(page, pat, group)).to_have_count(0)


async def test_at_phone_width_one_chat_is_shown_and_the_list_switches(stand: Stand) -> None:
    sol, tea = await stand.person("Sol", started=True), await stand.person("Tea", started=True)
    await sol.send("w" * 400)
    async with stand.page(at(sol), width=PHONE_WIDTH, has_touch=True, is_mobile=True) as page:
        await expect(phone(page, sol).locator(".row.own")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE_WIDTH
        await phone(page, sol).get_by_role("button", name="People and chats").tap()
        await page.get_by_role("button", name=re.compile("as Tea$")).tap()
        await expect(phone(page, tea)).to_be_visible()
        await expect(phone(page, sol)).to_be_hidden()
        await phone(page, tea).get_by_role("button", name="Tea: Switch person").tap()
        await page.get_by_role("menuitem", name=re.compile("^Sol")).tap()
        await expect(phone(page, sol)).to_be_visible()


async def test_the_page_speaks_russian_to_a_russian_browser_and_switches(stand: Stand) -> None:
    who = await stand.person("Яна", started=True)
    await who.send("привет")
    async with stand.page(at(who), lang="ru-RU") as page:
        await expect(page.get_by_role("button", name="Добавить человека")).to_be_visible()
        await expect(phone(page, who).get_by_placeholder("Сообщение")).to_be_visible()
        await page.get_by_role("button", name="Eng").click()
        await expect(page.get_by_role("button", name="Add a person")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("button", name="Add a person")).to_be_visible()
        assert await page.locator("html").get_attribute("lang") == "en"


# What sticks out of the list, the tools or the top of a phone, or leaves the window.
STICKS_OUT = """() => {
  const spills = [];
  for (const box of document.querySelectorAll(".rail, .tools-scroll, .who, .chat-head, .composer")) {
    const { left, right } = box.getBoundingClientRect();
    if (!box.offsetWidth || right < 0) continue;
    for (const node of box.querySelectorAll("*")) {
      const edge = node.getBoundingClientRect();
      const inside = edge.right <= right + 1 && edge.left >= left - 1;
      if (edge.width && !inside) spills.push(`${box.className} ${node.className}`);
    }
  }
  return document.documentElement.scrollWidth > innerWidth ? ["page", ...spills] : spills;
}"""


@pytest.mark.parametrize("lang", ["ru-RU", "en-GB"])
async def test_nothing_sticks_out_in_any_window_in_either_language(stand: Stand, lang: str) -> None:
    who = await stand.person("Владислава", started=True, stars=12_345)
    await stand.bench.tg.group("Операторская нашей команды", members=[who], admins=[who])
    await who.send("hi")
    async with stand.page(at(who), lang=lang) as page:
        await expect(phone(page, who).locator(".row.own")).to_be_visible()
        for width in (320, PHONE_WIDTH, 800, 1024, 1440):
            await page.set_viewport_size({"width": width, "height": 844})
            assert await page.evaluate(STICKS_OUT) == [], width
            await page.locator(".tools-button").dispatch_event("click")
            await expect(page.locator(".tools .call").first).to_be_attached()
            assert await page.evaluate(STICKS_OUT) == [], width
            await page.locator(".tools-head .icon-button").click()
