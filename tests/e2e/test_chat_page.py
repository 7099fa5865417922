"""The chat page in a real browser, against the real sandbox Telegram and a small bot: what a person sees and does."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.filters import Command, CommandStart
from aiogram.types import (
    BotCommand,
    CallbackQuery,
    CopyTextButton,
    DisabledButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputRichMessage,
    KeyboardButton,
    KeyboardButtonRequestUsers,
    LabeledPrice,
    Message,
    MessageEntity,
    PreCheckoutQuery,
    ReplyKeyboardMarkup,
)
from playwright.async_api import Browser, Locator, Page, WebSocketRoute, async_playwright, expect

from sandbox.telegram import chats
from sandbox.telegram.server import Running, start
from tests.support.sandbox_bot import Bench, aiogram_bot, sandbox_bot
from tests.support.telegram import Group, Person

CHROMIUM = os.environ.get("FORMA_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc0500f0003860180a2d1a4b30000000049454e44ae426082"
)
GROWN = "Protein " + "and sleep " * 20
LONG = "long " * 60
MONTH_S = 30 * 24 * 3600
SLOW_MS = 8_000

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}; FORMA_TEST_CHROMIUM names one"),
]

RICH = """# Week

| Day | Minutes |
|:----|-------:|
| Mon | 55 |

$BMR = 10m + 6{,}25h$ and $x^{2}$

- [x] Warm up
- [ ] Sleep

> Stop when it hurts.

<details><summary>Instead of squats</summary>

Lunges

</details>

```python
print("hi")
```"""


def keys(*rows: list[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=list(rows))


@dataclass
class Script:
    """A bot with a fixed answer to everything; `seen` is what reached it."""

    bot: Bot
    seen: list[Message] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: str | None = None

    def dispatcher(self) -> Dispatcher:
        dispatcher = Dispatcher()
        dispatcher.message.register(self.greet, CommandStart())
        dispatcher.message.register(self.rich, Command("plan"))
        dispatcher.message.register(self.sell, Command("buy"))
        dispatcher.message.register(self.ask, Command("gift"))
        dispatcher.message.register(self.stream, F.text == "stream")
        dispatcher.message.register(self.note, ~F.successful_payment)
        dispatcher.callback_query.register(self.pressed)
        dispatcher.pre_checkout_query.register(self.checkout)
        dispatcher.stopped_message_generation.register(self.on_stop)
        return dispatcher

    async def greet(self, message: Message) -> None:
        self.seen.append(message)
        markup = keys(
            [InlineKeyboardButton(text="Toast", callback_data="toast", style="primary")],
            [InlineKeyboardButton(text="Alert", callback_data="alert")],
            [
                InlineKeyboardButton(text="Copy", copy_text=CopyTextButton(text="A1B2")),
                InlineKeyboardButton(text="Off", disabled=DisabledButton()),
            ],
        )
        await message.answer("Hello from <b>Forma</b>", parse_mode="HTML", reply_markup=markup)

    async def rich(self, message: Message) -> None:
        await self.bot.send_rich_message(message.chat.id, rich_message=InputRichMessage(markdown=RICH))

    async def sell(self, message: Message) -> None:
        link = await self.bot.create_invoice_link(
            title="Forma, a month",
            description="2,000 answers",
            payload=f"sub-{message.chat.id}",
            currency="XTR",
            prices=[LabeledPrice(label="month", amount=600)],
            subscription_period=MONTH_S,
        )
        await message.answer("Plans", reply_markup=keys([InlineKeyboardButton(text="Subscribe", url=link)]))

    async def ask(self, message: Message) -> None:
        wanted = KeyboardButtonRequestUsers(request_id=7)
        rows = [[KeyboardButton(text="Choose", request_users=wanted), KeyboardButton(text="Myself")]]
        await message.answer("For whom?", reply_markup=ReplyKeyboardMarkup(keyboard=rows))

    async def stream(self, message: Message) -> None:
        chat_id = message.chat.id
        self.stopped.clear()
        await self.bot.send_message_draft(chat_id=chat_id, draft_id=5, text="", can_stop=True)
        await asyncio.sleep(0.4)
        await self.bot.send_message_draft(chat_id=chat_id, draft_id=5, text=GROWN, can_stop=True)
        await asyncio.wait_for(self.stopped.wait(), 8)
        await message.answer("Stopped here")

    async def on_stop(self, _event: Any) -> None:
        self.stopped.set()

    async def note(self, message: Message) -> None:
        self.seen.append(message)

    async def pressed(self, query: CallbackQuery) -> None:
        await query.answer(f"You pressed {query.data}", show_alert=query.data == "alert")

    async def checkout(self, query: PreCheckoutQuery) -> None:
        await query.answer(ok=self.refusal is None, error_message=self.refusal)

    async def until_seen(self, what: str) -> Message:
        for _ in range(200):
            for message in self.seen:
                if getattr(message, what, None):
                    return message
            await asyncio.sleep(0.03)
        raise AssertionError(f"the bot saw no {what}")


@dataclass
class Stand:
    """Sandbox, bot and browser."""

    bench: Bench
    script: Script
    browser: Browser

    @asynccontextmanager
    async def page(
        self, url_hash: str = "", *, width: int = 1280, lang: str = "en-GB", url: str = "", **options: Any
    ) -> AsyncIterator[Page]:
        """A fresh browser profile on the page; fails on any script error or refused resource."""
        size = {"width": width, "height": 844 if width < 700 else 860}
        context = await self.browser.new_context(viewport=size, locale=lang, **options)
        context.set_default_timeout(SLOW_MS)
        page = await context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
        await page.goto(f"{url or self.bench.server.base_url}/{url_hash}")
        await expect(page.locator(".offline")).to_be_hidden()
        yield page
        await context.close()
        assert not faults

    async def person(self, name: str, **fields: Any) -> Person:
        return await self.bench.tg.person(first_name=name, **({"language_code": "en", "stars": 1000} | fields))


@pytest.fixture(scope="module")
async def stand() -> AsyncIterator[Stand]:
    async with sandbox_bot() as bench, async_playwright() as driver:
        script = Script(bench.bot)
        await bench.bot.set_my_commands([BotCommand(command="plan", description="A plan for the week")])
        await bench.bot.set_my_description("Coaches you")
        await bench.bot.set_my_description("Тренирует вас", language_code="ru")
        dispatcher = script.dispatcher()
        polling = asyncio.create_task(dispatcher.start_polling(bench.bot, handle_signals=False, polling_timeout=1))
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Stand(bench, script, browser)
        await browser.close()
        await dispatcher.stop_polling()
        await asyncio.gather(polling, return_exceptions=True)


def phone(page: Page, who: Person, chat: Group | None = None) -> Locator:
    return page.locator(f'.column[data-key="{who.id}:{chat.id if chat else who.id}"]')


def at(who: Person, chat: Group | None = None) -> str:
    return f"#person={who.id}&chat={chat.id if chat else who.id}"


async def say(column: Locator, text: str) -> None:
    await column.get_by_test_id("composer").fill(text)
    await column.get_by_test_id("composer").press("Enter")


async def test_a_newcomer_adds_a_person_and_starts_the_bot(stand: Stand) -> None:
    server = await start()
    try:
        async with stand.page(url=server.base_url) as page:
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


async def test_a_draft_thinks_grows_and_is_stopped(stand: Stand) -> None:
    who = await stand.person("Dora", started=True)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await say(column, "stream")
        await expect(column.locator(".draft")).to_contain_text("Thinking")
        await expect(column.locator(".draft")).to_contain_text("Protein")
        part = len(await column.locator(".draft .text").inner_text())
        await expect(column.locator(".draft")).to_contain_text("and sleep " * 19)
        assert part < len(GROWN)
        await column.get_by_role("button", name="Stop", exact=True).click()
        await expect(column.locator(".draft")).to_have_count(0)
        await expect(column.locator(".row.peer .text").last).to_have_text("Stopped here")


async def test_buttons_answer_with_a_note_an_alert_or_a_copy(stand: Stand) -> None:
    who = await stand.person("Eve")
    await who.start()
    await who.wait_for("Hello")
    async with stand.page(at(who), permissions=["clipboard-read", "clipboard-write"]) as page:
        column = phone(page, who)
        await column.get_by_role("button", name="Toast").click()
        await expect(column.locator(".toast")).to_have_text("You pressed toast")
        await expect(column.locator(".key.busy")).to_have_count(0)
        await column.get_by_role("button", name="Alert").click()
        await expect(column.get_by_role("dialog")).to_contain_text("You pressed alert")
        await page.keyboard.press("Escape")
        await expect(column.get_by_role("dialog")).to_have_count(0)
        await column.get_by_role("button", name="Copy").click()
        await expect(column.locator(".toast")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == "A1B2"
        await expect(column.get_by_role("button", name="Off")).to_be_disabled()


async def test_a_rich_message_is_rendered_and_an_old_client_sees_a_placeholder(stand: Stand) -> None:
    who = await stand.person("Fay", started=True)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await say(column, "/plan")
        rich = column.locator(".rich")
        await expect(rich.get_by_role("heading", name="Week")).to_be_visible()
        await expect(rich.locator("td.al-right")).to_have_text("55")
        await expect(rich.locator(".math").first).to_have_text("BMR = 10m + 6,25h")
        await expect(rich.locator(".math sup")).to_have_text("2")
        await expect(rich.locator(".tick.on")).to_have_count(1)
        await expect(rich.locator("blockquote")).to_contain_text("Stop when it hurts.")
        await expect(rich.locator("pre")).to_contain_text('print("hi")')
        await expect(rich.get_by_text("Lunges")).to_be_hidden()
        await rich.get_by_text("Instead of squats").click()
        await expect(rich.get_by_text("Lunges")).to_be_visible()
        await page.get_by_role("switch", name="As in an old Telegram").check()
        await expect(column.locator(".unsupported")).to_contain_text("not supported by your version of Telegram")
        await expect(rich).to_have_count(0)


async def test_formatting_is_shown_and_data_never_becomes_markup(stand: Stand) -> None:
    who = await stand.person("<img src=x onerror=alert(1)>", started=True)
    hostile = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        bot, chat = stand.bench.bot, who.id
        await bot.send_message(chat, hostile)
        await expect(column.locator(".row.peer .text").last).to_have_text(hostile)
        html = (
            "<b>bold</b> <i>it</i> <u>un</u> <s>st</s> <tg-spoiler>secret</tg-spoiler> <code>x=1</code>\n"
            "<pre><code class='language-python'>pass</code></pre>\n<blockquote expandable>" + LONG + "</blockquote>"
        )
        await bot.send_message(chat, html, parse_mode="HTML")
        text = column.locator(".row.peer .text").last
        for tag, words in {"strong": "bold", "em": "it", "u": "un", "s": "st"}.items():
            await expect(text.locator(tag)).to_have_text(words)
        await expect(text.locator(".pre-head span")).to_have_text("python")
        await expect(text.get_by_text("secret")).to_be_hidden()
        await text.get_by_role("button", name="Hidden text, reveal").click()
        await expect(text.get_by_text("secret")).to_be_visible()
        await text.get_by_role("button", name="Show more").click()
        await expect(text.locator("blockquote")).not_to_have_class(re.compile("folded"))
        links = [MessageEntity(type="text_link", offset=0, length=3, url="javascript:window.broken=1")]
        await bot.send_message(chat, "bad", entities=links)
        await expect(column.locator(".row.peer .text").last).to_have_text("bad")
        await expect(column.locator(".row.peer .text").last.locator("a")).to_have_count(0)
        links = [MessageEntity(type="text_link", offset=0, length=4, url="https://example.org/there")]
        await bot.send_message(chat, "here", entities=links)
        await column.get_by_role("link", name="here").click()
        await expect(column.get_by_role("dialog")).to_contain_text("https://example.org/there")
        overlapping = [
            MessageEntity(type="bold", offset=0, length=5),
            MessageEntity(type="italic", offset=3, length=5),
            MessageEntity(type="date_time", offset=9, length=3, unix_time=0, date_time_format="D"),
        ]
        await bot.send_message(chat, "😀a bcdef at?", entities=overlapping)
        last = column.locator(".row.peer .text").last
        await expect(last.locator("time")).to_have_text("1 January 1970")
        assert await last.locator("strong").inner_text() == "😀a b"
        assert await last.locator("em").all_inner_texts() == [" b", "cde"]
        assert await page.evaluate("window.broken") is None


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
        await column.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await expect(column.get_by_role("dialog")).to_have_count(0)
        await column.locator(".key-pay").click()
        await column.get_by_role("dialog").get_by_role("button", name=re.compile("^Pay")).click()
        await column.get_by_role("dialog").get_by_role("button", name="Done").click()
        await expect(column.locator(".key-pay")).to_contain_text("Paid")
        assert await who.stars() == 850


async def test_photos_make_an_album_and_a_sound_file_is_a_voice_message(stand: Stand) -> None:
    who = await stand.person("Ida", started=True)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": PNG} for n in range(2)]
        await column.get_by_role("button", name="Attach").click()
        async with page.expect_file_chooser() as chooser:
            await page.get_by_role("menuitem", name="Photo").click()
        await (await chooser.value).set_files(files)
        await expect(column.locator(".tray-item")).to_have_count(2)
        await say(column, "Breakfast")
        await expect(column.locator(".album img")).to_have_count(2)
        await expect(column.locator(".row.own .text")).to_have_text("Breakfast")
        assert (await stand.script.until_seen("media_group_id")).caption == "Breakfast"
        await column.get_by_role("button", name="Attach").click()
        async with page.expect_file_chooser() as chooser:
            await page.get_by_role("menuitem", name="Voice message from a file").click()
        await (await chooser.value).set_files([{"name": "v.ogg", "mimeType": "audio/ogg", "buffer": b"OggS" * 90}])
        await column.get_by_role("button", name="Send", exact=True).click()
        await expect(column.get_by_role("group", name="Voice message")).to_be_visible()
        assert (await stand.script.until_seen("voice")).voice is not None


async def test_a_voice_message_is_recorded_and_small_things_are_sent_from_the_menu(stand: Stand) -> None:
    who = await stand.person("Jan", started=True)
    async with stand.page(at(who), permissions=["microphone"]) as page:
        column = phone(page, who)
        await column.get_by_role("button", name="Record a voice message").click()
        await expect(column.locator(".record-bar")).to_be_visible()
        await page.wait_for_timeout(600)
        await column.locator(".record-bar").get_by_role("button", name="Send").click()
        await expect(column.get_by_role("group", name="Voice message")).to_be_visible()
        for item, shown in {"Sticker": ".sticker", "Location": ".place", "Poll": ".poll"}.items():
            await column.get_by_role("button", name="Attach").click()
            await page.get_by_role("menuitem", name=item).click()
            await expect(column.locator(shown)).to_be_visible()


async def test_own_words_are_edited_answered_and_reacted_to(stand: Stand) -> None:
    who = await stand.person("Kit", started=True)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await say(column, "frist")
        await column.get_by_test_id("composer").press("ArrowUp")
        await say(column, "first")
        await expect(column.locator(".row.own .text")).to_have_text("first")
        await expect(column.locator(".row.own .meta")).to_contain_text("edited")
        await stand.bench.bot.send_message(who.id, "Answer")
        row = column.locator(".row.peer").last
        await row.locator(".bubble").click(button="right")
        await page.get_by_role("menuitem", name="React 👍").click()
        await expect(row.locator(".reaction")).to_have_text("👍")
        await row.hover()
        await row.get_by_role("button", name="Message actions").click()
        await page.get_by_role("menuitem", name="Reply").click()
        await say(column, "second\nline")
        await expect(column.locator(".row.own .reply-quote")).to_contain_text("Answer")
        assert stand.script.seen[-1].reply_to_message is not None
        await say(column, "word " * 1200)
        await expect(column.locator(".row.own")).to_have_count(4)


async def test_commands_and_a_reply_keyboard_are_offered(stand: Stand) -> None:
    who, friend = await stand.person("Lev", started=True), await stand.person("Mia")
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await column.get_by_role("button", name="Bot commands").click()
        await expect(column.get_by_role("option")).to_contain_text("A plan for the week")
        await page.keyboard.press("Enter")
        await expect(column.locator(".rich")).to_be_visible()
        await say(column, "/gift")
        await column.get_by_role("button", name="Choose").click()
        await column.get_by_role("dialog").get_by_label("Mia").check()
        await column.get_by_role("button", name="Share").click()
        await expect(column.locator(".service-line").last).to_have_text("Shared: Mia")
        shared = (await stand.script.until_seen("users_shared")).users_shared
        assert shared is not None
        assert [user.user_id for user in shared.users] == [friend.id]


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


async def test_the_page_goes_on_after_the_server_was_away(stand: Stand, tmp_path: Path) -> None:
    server = await start(data=tmp_path)
    port = int(server.base_url.rpartition(":")[2])
    bot = aiogram_bot(server.base_url, server.token)
    running: Running = server
    try:
        async with stand.page(url=server.base_url) as page:
            await page.get_by_label("Name", exact=True).fill("Rae")
            await page.get_by_role("button", name="Add", exact=True).click()
            await page.get_by_role("button", name="Start", exact=True).click()
            await expect(page.locator(".row.own .text")).to_have_text("/start")
            await page.get_by_test_id("composer").fill("half a thought")
            await server.close()
            await expect(page.locator(".offline")).to_be_visible()
            running = await start(port=port, data=tmp_path)
            await bot.send_message(1001, "While you were away")
            await expect(page.locator(".row.peer .text")).to_have_text("While you were away", timeout=SLOW_MS)
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

    async with stand.page(at(who)) as page:
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


async def test_at_phone_width_one_chat_is_shown_and_the_list_switches(stand: Stand) -> None:
    sol, tea = await stand.person("Sol", started=True), await stand.person("Tea", started=True)
    await sol.send("w" * 400)
    async with stand.page(at(sol), width=390, has_touch=True, is_mobile=True) as page:
        await expect(phone(page, sol).locator(".row.own")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await phone(page, sol).get_by_role("button", name="People and chats").tap()
        await page.get_by_role("button", name=re.compile("as Tea$")).tap()
        await expect(phone(page, tea)).to_be_visible()
        await expect(phone(page, sol)).to_be_hidden()
        await phone(page, tea).get_by_role("button", name="Tea: Switch person").tap()
        await page.get_by_role("menuitem", name=re.compile("^Sol")).tap()
        await expect(phone(page, sol)).to_be_visible()


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


async def test_starting_over_keeps_people_and_groups(stand: Stand) -> None:
    server = await start()
    try:
        async with stand.page(url=server.base_url) as page:
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
