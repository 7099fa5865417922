"""What a bot sends, as a person sees it: text, rich messages, drafts, buttons, and text that means harm."""

import re

from aiogram.types import InlineKeyboardButton, InputRichMessage, MessageEntity, ReactionTypeEmoji
from playwright.async_api import expect

from tests.support.browser import PHONE_WIDTH, at, needs_chromium, phone, say
from tests.support.page_bot import GROWN, Stand, keys

pytestmark = needs_chromium

LONG = "long " * 60


async def test_a_draft_thinks_grows_and_is_stopped(stand: Stand) -> None:
    who = await stand.person("Dora", started=True)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await say(column, "stream")
        await expect(column.locator(".draft")).to_contain_text("Thinking")
        stand.script.thought.set()
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
        await expect(column.locator(".toast")).to_have_count(0)
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


WIDE_TABLE = (
    f"| {' | '.join(f'day {n}' for n in range(12))} |\n|{'---|' * 12}\n| {' | '.join(['minutes'] * 12)} |\n\n"
    f"$$\\frac{{a}}{{b}} = \\sqrt{{{'x + ' * 60}1}}$$\n\n`{'c' * 200}`\n\n1. one\n   - two\n     - {'w' * 120}"
)
# Shown at the edge of the chat, beside what may be scrolled by itself.
SPILLED = """chat => {
  const edge = chat.getBoundingClientRect().right + 1;
  const held = ".table-frame, .math-block, pre, .row-more";
  return [...chat.querySelectorAll("*")]
    .filter((node) => !node.closest(held) && node.getBoundingClientRect().right > edge)
    .map((node) => `${node.className}: ${node.textContent.slice(0, 40)}`);
}"""


async def test_the_widest_and_longest_content_stays_inside_the_chat(stand: Stand) -> None:
    who = await stand.person("W" * 40, last_name="Ы" * 20, started=True, stars=12_345_678)
    bot = stand.bench.bot
    buttons = [InlineKeyboardButton(text=str(n), callback_data=str(n)) for n in range(8)]
    label = InlineKeyboardButton(text="A label that is far too long for a button " * 3, callback_data="long")
    await bot.send_message(who.id, "A" * 600)
    await bot.send_message(who.id, "https://example.org/" + "path/" * 80)
    await bot.send_message(who.id, f"<pre>{'x' * 300}</pre><code>{'y' * 300}</code>", parse_mode="HTML")
    await bot.send_message(who.id, "keys", reply_markup=keys([label], buttons))
    await bot.send_rich_message(who.id, rich_message=InputRichMessage(markdown=WIDE_TABLE))
    await bot.send_message(who.id, ("Ten words of text that stand for many others. " * 90)[:4096])
    for width in (1280, PHONE_WIDTH):
        async with stand.page(at(who), width=width) as page:
            column = phone(page, who)
            await expect(column.locator(".row")).to_have_count(6)
            await expect(column.locator(".row .text").last).to_have_text(re.compile("^Ten words"))
            assert await column.locator(".scroll").evaluate(SPILLED) == []
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            await expect(column.locator(".stars-pill")).to_be_in_viewport(ratio=1)


async def test_right_to_left_text_begins_at_the_right(stand: Stand) -> None:
    who = await stand.person("Noa", started=True)
    bot = stand.bench.bot
    await bot.send_message(who.id, "מה לאכול היום לפני אימון ארוך בפארק עם חברים ומה לאכול אחרי האימון הזה?\nסלט!")
    await bot.send_message(who.id, "A line from the left that is long enough for a whole bubble of its own.\nShort!")
    async with stand.page(at(who), width=PHONE_WIDTH) as page:
        texts = phone(page, who).locator(".row.peer .text")
        await expect(texts).to_have_count(2)
        gaps = [await texts.nth(number).evaluate(LAST_LINE) for number in range(2)]
        assert gaps[0]["left"] > 100
        assert gaps[1]["left"] < 1


# How far the last line of a text begins from the left edge of its widest line.
LAST_LINE = """node => {
  const range = document.createRange();
  range.selectNodeContents(node);
  const lines = [...range.getClientRects()];
  return { left: lines.at(-1).left - Math.min(...lines.map((line) => line.left)) };
}"""


async def test_the_keyboard_keeps_its_place_when_a_message_changes(stand: Stand) -> None:
    who = await stand.person("Kay")
    await who.start()
    await who.wait_for("Hello")
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await column.get_by_role("button", name="Change", exact=True).focus()
        await page.keyboard.press("Enter")
        await expect(column.get_by_role("button", name="Changed")).to_be_focused()
        await expect(column.locator(".toast")).to_have_text("You pressed change")


async def test_what_a_reader_opened_stays_open_when_somebody_reacts(stand: Stand) -> None:
    who = await stand.person("Rea", started=True)
    html = f"<tg-spoiler>secret</tg-spoiler>\n<blockquote expandable>{LONG}</blockquote>"
    sent = await stand.bench.bot.send_message(who.id, html, parse_mode="HTML")
    async with stand.page(at(who)) as page:
        row = phone(page, who).locator(".row.peer")
        await row.get_by_role("button", name="Hidden text, reveal").click()
        await row.get_by_role("button", name="Show more").click()
        await stand.bench.bot.set_message_reaction(who.id, sent.message_id, [ReactionTypeEmoji(emoji="🔥")])
        await expect(row.locator(".reaction")).to_have_text("🔥")
        await expect(row.get_by_text("secret")).to_be_visible()
        await expect(row.get_by_role("button", name="Show less")).to_be_visible()


async def test_a_growing_draft_stays_in_view_and_never_shrinks(stand: Stand) -> None:
    who = await stand.person("Gro", started=True)
    bot, words = stand.bench.bot, "One more line about sleep and training.\n"
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await page.evaluate(FOLLOW, f"{who.id}:{who.id}")
        for lines in (8, 32, 48):
            await bot.send_message_draft(chat_id=who.id, draft_id=1, text=words * lines, can_stop=True)
            await expect(column.locator(".draft .text")).to_have_text(words * lines)
        await bot.send_message(who.id, words * 48)
        await expect(column.locator(".row.peer .meta")).to_be_in_viewport()
        await expect(column.locator(".draft")).to_have_count(0)
        await expect(column.locator(".row.peer")).to_have_count(1)
        seen = await page.evaluate("seen")
        assert seen["drafts"] > 6
        assert seen["shrunk"] == []
        assert seen["lost"] == 0


# Looks at every frame after it was laid out: did the draft get lower, did its end leave the view.
FOLLOW = """key => {
  const column = document.querySelector(`.column[data-key="${key}"]`);
  const scroll = column.querySelector(".scroll");
  window.seen = { drafts: 0, shrunk: [], lost: 0 };
  let before = 0;
  const look = () => {
    const draft = column.querySelector(".draft");
    if (!draft) return;
    const tall = draft.getBoundingClientRect().height;
    seen.drafts += 1;
    if (tall < before - 1) seen.shrunk.push([before, tall, draft.textContent.slice(-40)]);
    if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight > 2) seen.lost += 1;
    before = tall;
  };
  const afterLayout = new MessageChannel();
  afterLayout.port1.onmessage = look;
  const frame = () => {
    afterLayout.port2.postMessage(0);
    requestAnimationFrame(frame);
  };
  frame();
}"""
