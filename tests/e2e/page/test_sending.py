"""What a person sends: words, edits, replies, reactions, photos, voice, and what the reply keyboard asks for."""

from playwright.async_api import expect

from tests.support.browser import at, attach, needs_chromium, phone, say
from tests.support.page_bot import Stand, greeting

pytestmark = needs_chromium

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc0500f"
    "0003860180a2d1a4b30000000049454e44ae426082"
)


async def test_photos_make_an_album_and_a_sound_file_is_a_voice_message(stand: Stand) -> None:
    who = await stand.person("Ida", started=True)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": PNG} for n in range(2)]
        await attach(column, "Photo", *files)
        await expect(column.locator(".tray-item")).to_have_count(2)
        await say(column, "Breakfast")
        await expect(column.locator(".album img")).to_have_count(2)
        await expect(column.locator(".row.own .text")).to_have_text("Breakfast")
        assert (await stand.script.until_seen("media_group_id")).caption == "Breakfast"
        sound = {"name": "v.ogg", "mimeType": "audio/ogg", "buffer": b"OggS" * 90}
        await attach(column, "Voice message from a file", sound)
        await column.get_by_role("button", name="Send", exact=True).click()
        await expect(column.get_by_role("group", name="Voice message")).to_be_visible()
        assert (await stand.script.until_seen("voice")).voice is not None


async def test_a_voice_message_is_recorded_and_small_things_are_sent_from_the_menu(stand: Stand) -> None:
    who = await stand.person("Jan", started=True)
    async with stand.page(at(who), permissions=["microphone"]) as page:
        column = phone(page, who)
        await column.get_by_role("button", name="Record a voice message").click()
        await expect(column.locator(".record-bar")).to_be_visible()
        await expect(column.locator(".record-time")).to_have_text("0:01")
        await column.locator(".record-bar").get_by_role("button", name="Send").click()
        await expect(column.get_by_role("group", name="Voice message")).to_be_visible()
        for item, shown in {"Sticker": ".sticker", "Location": ".place", "Poll": ".poll"}.items():
            await attach(column, item)
            await expect(column.locator(shown)).to_be_visible()


async def test_own_words_are_edited_answered_and_reacted_to(stand: Stand) -> None:
    who = await stand.person("Kit", started=True)
    async with stand.page(at(who)) as page:
        column = phone(page, who)
        await say(column, "frist")
        await expect(column.locator(".row.own .text")).to_have_text("frist")  # only what was sent can be edited
        await column.get_by_test_id("composer").press("ArrowUp")
        await say(column, "first")
        await expect(column.locator(".row.own .text")).to_have_text("first")
        await expect(column.locator(".row.own .meta")).to_contain_text("edited")
        answer = await stand.bench.bot.send_message(who.id, "Answer", reply_markup=greeting("Keys"))
        await stand.bench.bot.edit_message_reply_markup(chat_id=who.id, message_id=answer.message_id)
        await expect(column.locator(".row.peer .key")).to_have_count(0)
        await expect(column.locator(".row.peer .meta").last).not_to_contain_text("edited")
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
        chosen = await column.get_by_role("option").get_attribute("id")
        await expect(column.get_by_test_id("composer")).to_have_attribute("aria-activedescendant", chosen or "none")
        await page.keyboard.press("Enter")
        await expect(column.locator(".rich")).to_be_visible()
        await say(column, "/gift")
        keyboard = column.get_by_role("button", name="Bot keyboard")
        await expect(keyboard).to_have_attribute("aria-expanded", "true")
        await keyboard.click()
        await expect(column.get_by_role("button", name="Choose")).to_be_hidden()
        await keyboard.click()
        await column.get_by_role("button", name="Choose").click()
        await column.get_by_role("dialog").get_by_label("Mia").check()
        await column.get_by_role("button", name="Share").click()
        await expect(column.locator(".service-line").last).to_have_text("Shared: Mia")
        shared = (await stand.script.until_seen("users_shared")).users_shared
        assert shared is not None
        assert [user.user_id for user in shared.users] == [friend.id]
