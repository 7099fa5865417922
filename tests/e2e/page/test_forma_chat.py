"""Forma itself on the chat page: a conversation with the real bot, as a person has it."""

import re
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import PHONE_WIDTH, Chromium, at, attach, needs_chromium, phone, say
from tests.support.forma import Forma
from tests.support.telegram import Person

pytestmark = needs_chromium

WORDS = {
    "ru": {
        "start": "Начать",
        "stop": "Остановить",
        "stopped": "Остановлено",
        "continue": "Продолжить",
        "question": "Как мне выспаться?",
        "quoted": "Вы написали: «",
        "lang": "ru-RU",
    },
    "en": {
        "start": "Start",
        "stop": "Stop",
        "stopped": "Stopped",
        "continue": "Continue",
        "question": "How do I sleep better?",
        "quoted": "You wrote: “",
        "lang": "en-GB",
    },
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc0500f"
    "0003860180a2d1a4b30000000049454e44ae426082"
)


def show(browser: Chromium, forma: Forma, who: Person, **options: Any) -> AbstractAsyncContextManager[Page]:
    return browser.page(forma.tg.base_url, at(who), **options)


async def ask(column: Locator, text: str) -> Locator:
    """Say it and wait until the answer stands; returns its row."""
    answers = column.locator(".row.peer:not(.draft-row)")
    known = await answers.count()
    await say(column, text)
    await expect(answers.nth(known)).to_be_visible(timeout=30_000)
    await expect(column.locator(".draft")).to_have_count(0, timeout=30_000)
    return answers.last


@pytest.mark.parametrize(("language", "width"), [("ru", PHONE_WIDTH), ("en", 1280)])
async def test_an_answer_streams_is_stopped_and_goes_on(
    browser: Chromium, forma: Forma, language: str, width: int
) -> None:
    words = WORDS[language]
    who = await forma.tg.person(first_name="Ada", language_code=language)
    async with show(browser, forma, who, lang=words["lang"], width=width) as page:
        column = phone(page, who)
        await column.get_by_role("button", name=words["start"], exact=True).click()
        await expect(column.locator(".row.peer .keys .key")).to_have_count(3)
        await say(column, f"[[tokens: 900]] {words['question']}")
        draft = column.locator(".draft .text")
        await expect(draft).to_contain_text(words["question"], timeout=30_000)
        early = len(await draft.inner_text())
        await expect(draft).to_have_text(re.compile(rf"^[\s\S]{{{early + 40},}}$"))
        await column.get_by_role("button", name=words["stop"], exact=True).click()
        note = column.locator(".row.peer", has_text=words["stopped"])
        await expect(note).to_be_visible(timeout=30_000)
        await expect(column.locator(".draft")).to_have_count(0)
        await expect(
            column.locator(".row.peer .text", has_text=f"{words['quoted']}{words['question']}")
        ).to_be_visible()
        messages = await column.locator(".row.peer").count()
        await note.get_by_role("button", name=words["continue"]).click()
        await expect(column.locator(".row.peer")).to_have_count(messages + 1, timeout=30_000)
        await expect(column.locator(".draft")).to_have_count(0)
    outcomes = await forma.scalar(
        "SELECT string_agg(status, ' ' ORDER BY id) FROM turns WHERE person_id = :id", id=who.id
    )
    assert outcomes == "stopped done"


async def test_markdown_is_shown_as_a_rich_message_and_an_old_client_is_told(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("en", first_name="Bea")
    async with show(browser, forma, who) as page:
        column = phone(page, who)
        rich = (await ask(column, "[[markdown]] a week")).locator(".rich")
        await expect(rich.get_by_role("heading")).to_have_text("A plan for the week")
        await expect(rich.locator("tr")).to_have_count(5)
        await expect(rich.locator("ol > li")).to_have_count(3)
        await expect(rich.locator("pre")).to_contain_text("def bmi")
        formula = await ask(column, "[[formula]]")
        await expect(formula.locator(".math-block")).to_contain_text("BMI")
        await expect(formula.locator(".math:not(.math-block)")).to_have_text(["m", "h"])
        await page.get_by_role("switch", name="As in an old Telegram").check()
        await expect(column.locator(".unsupported")).to_have_count(2)
        await expect(column.locator(".rich")).to_have_count(0)


async def test_buttons_under_a_short_answer_do_not_break_their_words(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("ru", first_name="Аня")
    async with show(browser, forma, who, width=PHONE_WIDTH, lang="ru-RU") as page:
        answer = await ask(phone(page, who), "[[echo: да]]")
        heights = [(await key.bounding_box() or {})["height"] for key in await answer.locator(".key").all()]
        assert heights
        assert set(heights) == {38}, "a key of one line"


async def test_in_a_group_a_balance_is_shown_alone_and_leads_to_the_private_chat(
    browser: Chromium, forma: Forma
) -> None:
    who = await forma.person("en", first_name="Joy")
    club = await forma.tg.group(title="Club", members=[who])
    async with browser.page(forma.tg.base_url, at(who, club)) as page:
        column = phone(page, who, club)
        await expect(column.locator(".row.peer")).to_have_count(1)
        await say(column, "/balance")
        alone = column.get_by_role("dialog", name="Club")
        await expect(alone).to_contain_text("Only you see this")
        await alone.get_by_role("button", name="Open the chat").click()
        await expect(phone(page, who).get_by_test_id("composer")).to_be_focused()
        await expect(column.locator(".row.peer")).to_have_count(1)


async def test_settings_are_changed_by_their_buttons_and_hold_for_the_next_answer(
    browser: Chromium, forma: Forma
) -> None:
    who = await forma.person("en", first_name="Cleo")
    async with show(browser, forma, who) as page:
        column = phone(page, who)
        sheet = await ask(column, "/settings")
        await expect(sheet.locator(".key")).to_have_count(4)
        look = sheet.locator(".key").first
        await look.click()
        await expect(column.locator(".key", has_text=re.compile("[Pp]lain"))).to_be_visible()
        plain = column.locator(".key", has_text=re.compile("[Pp]lain"))
        if "✓" not in await plain.inner_text() and await look.inner_text() != await plain.inner_text():
            await plain.click()
        await expect(column.locator(".key.busy")).to_have_count(0)
        answer = await ask(column, "[[table]]")
        await expect(answer.locator(".text")).to_contain_text("Easy run")
        await expect(column.locator(".rich")).to_have_count(0)


async def test_nothing_that_the_model_writes_becomes_markup_or_a_link(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("en", first_name="<b>Dan</b>")
    hostile = (
        "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'> "
        "[press me](javascript:window.broken=1) ![see](https://example.org/x.png) [here](https://example.org/y)"
    )
    async with show(browser, forma, who) as page:
        column = phone(page, who)
        answer = await ask(column, f"[[echo: {hostile}]]")
        await expect(answer.locator(".text")).to_contain_text("press me")
        await expect(answer.locator("a, img, script, iframe")).to_have_count(0)
        assert await page.evaluate("window.broken") is None


async def test_a_photo_and_a_voice_message_arrive_and_get_a_kind_word(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("en", first_name="Eli")
    async with show(browser, forma, who) as page:
        column = phone(page, who)
        await attach(column, "Photo", {"name": "meal.png", "mimeType": "image/png", "buffer": PNG})
        await say(column, "What is on my plate?")
        await expect(column.locator(".row.own .photo img")).to_be_visible()
        await expect(column.locator(".row.peer", has_text="You wrote: “What is on my plate?”")).to_be_visible(
            timeout=30_000
        )
        sound = {"name": "v.ogg", "mimeType": "audio/ogg", "buffer": b"OggS" * 90}
        await attach(column, "Voice message from a file", sound)
        await column.get_by_role("button", name="Send", exact=True).click()
        await expect(column.get_by_role("group", name="Voice message")).to_be_visible()
        await expect(column.locator(".row.peer .reply-quote", has_text="Voice message")).to_be_visible(timeout=30_000)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=who.id) == 1


async def test_a_message_while_an_answer_runs_gets_eyes_and_its_own_answer(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("en", first_name="Fay")
    async with show(browser, forma, who) as page:
        column = phone(page, who)
        await say(column, "[[tokens: 350]] first")
        await expect(column.locator(".draft .text")).to_contain_text("first", timeout=30_000)
        await say(column, "[[echo: the second answer]]")
        second = column.locator(".row.own").last
        await expect(second.locator(".reaction")).to_have_text("👀", timeout=30_000)
        await expect(column.locator(".row.peer .text").last).to_have_text("the second answer", timeout=30_000)
        answer = column.locator(".row.peer").last
        await answer.locator(".bubble").click(button="right")
        await page.get_by_role("menuitem", name="React 👍").click()
        await expect(answer.locator(".reaction")).to_have_text("👍")


async def test_a_failed_answer_shows_its_code_and_copies_it(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("en", first_name="Gus")
    async with show(browser, forma, who, permissions=["clipboard-read", "clipboard-write"]) as page:
        column = phone(page, who)
        failed = await ask(column, "[[fault: http_500]] hello?")
        code = re.search(r"Code (\w+)", await failed.locator(".text").inner_text())
        assert code is not None
        await failed.get_by_role("button", name=f"Code {code[1]}").click()
        assert await page.evaluate("navigator.clipboard.readText()") == code[1]
        await expect(failed.get_by_role("button", name="Try again")).to_be_enabled()


async def test_an_answer_comes_through_faults_from_the_tools(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("en", first_name="Hal")
    async with show(browser, forma, who) as page:
        await page.get_by_role("button", name="Tools").click()
        tools = page.get_by_role("complementary", name="Tools")
        await tools.get_by_role("button", name="Error 500 for 3 calls").click()
        await expect(tools.locator(".fault")).to_have_count(1)
        await ask(phone(page, who), "[[echo: through a bad line]]")
        await expect(phone(page, who).locator(".row.peer .text").last).to_have_text("through a bad line")
        await expect(tools.locator(".fault.spent")).to_contain_text("3 of 3")
        await expect(tools.locator(".call.failed", has_text="http_500").first).to_be_visible()
        await tools.locator(".fault").get_by_role("button").click()


async def test_who_blocks_the_bot_during_an_answer_can_come_back(browser: Chromium, forma: Forma) -> None:
    who = await forma.person("en", first_name="Ida")
    async with show(browser, forma, who) as page:
        column = phone(page, who)
        await say(column, "[[tokens: 300]] a long one")
        await expect(column.locator(".draft .text")).to_contain_text("a long one", timeout=30_000)
        await column.get_by_role("button", name="Chat menu").click()
        await page.get_by_role("menuitem", name="Block the bot").click()
        await expect(column.get_by_text("You blocked the bot")).to_be_visible()
        await expect(column.locator(".draft")).to_have_count(0)
        await column.get_by_role("button", name="Unblock").click()
        await expect(column.get_by_test_id("composer")).to_be_visible()
        await ask(column, "[[echo: good to see you]]")
        await expect(column.locator(".row.peer .text", has_text="good to see you")).to_be_visible(timeout=30_000)
