"""What the sandbox's Bot API promises about messages, seen through the real aiogram client and a person's eyes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiogram.enums import ParseMode
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramServerError
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputRichMessage,
    MessageEntity,
    ReactionTypeEmoji,
    ReplyParameters,
)

from tests.support.sandbox_bot import Bench, sandbox_bot

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000002000000030806000000b9eade810000000049454e44ae426082")


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Bench]:
    async with sandbox_bot() as bench:
        yield bench


@pytest.fixture
async def bench(sandbox: Bench) -> Bench:
    """The module's sandbox with no update left over from another test."""
    await sandbox.updates(timeout_s=0)
    return sandbox


def keyboard(*labels: str) -> InlineKeyboardMarkup:
    row = [InlineKeyboardButton(text=label, callback_data=f"do:{label}") for label in labels]
    return InlineKeyboardMarkup(inline_keyboard=[row])


async def test_a_person_who_writes_is_heard_and_answered(bench: Bench) -> None:
    ada = await bench.tg.person(first_name="Ада", language_code="ru")
    await ada.start("src_site")
    message = await bench.update("message")
    assert message.text == "/start src_site"
    assert message.entities[0].type == "bot_command"
    assert message.from_user.language_code == "ru"
    await bench.bot.send_message(ada.id, "<b>Привет</b> 👋", parse_mode=ParseMode.HTML)
    answer = await ada.wait_for("Привет 👋")
    assert answer.raw["entities"] == [{"type": "bold", "offset": 0, "length": 6}]


async def test_a_text_over_4096_arrives_in_parts(bench: Bench) -> None:
    ada = await bench.tg.person()
    text = "слово " * 5000
    await ada.send(text)
    parts = [update.message.text for update in await bench.updates("message")]
    assert len(parts) == 8
    assert all(3500 <= len(part) <= 4096 for part in parts[:-1])
    assert "".join(parts).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("x" * 4097, {}, "message is too long"),
        ("   ", {}, "message text is empty"),
        ("<b>a</i>", {"parse_mode": "HTML"}, "can't parse entities: Unmatched end tag"),
        ("<blink>a</blink>", {"parse_mode": "HTML"}, 'can\'t parse entities: Unsupported start tag "blink"'),
        ("<b>a", {"parse_mode": "HTML"}, "can't parse entities: Can't find end tag"),
        ("ab", {"entities": [MessageEntity(type="bold", offset=0, length=3)]}, "ends after the end of the text"),
        ("😀", {"entities": [MessageEntity(type="bold", offset=1, length=1)]}, "in a middle of a UTF-16 symbol"),
        ("a", {"reply_markup": keyboard("x" * 62)}, "BUTTON_DATA_INVALID"),
        ("a", {"reply_parameters": ReplyParameters(message_id=999)}, "message to be replied not found"),
    ],
)
async def test_what_telegram_refuses_is_refused_in_its_words(
    bench: Bench, text: str, options: dict, words: str
) -> None:
    ada = await bench.tg.person(started=True)
    with pytest.raises(TelegramBadRequest) as refusal:
        await bench.bot.send_message(ada.id, text, **options)
    assert words in refusal.value.message
    assert ada.messages() == []


async def test_astral_characters_count_twice(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.bot.send_message(ada.id, "😀" * 2048)
    with pytest.raises(TelegramBadRequest, match="message is too long"):
        await bench.bot.send_message(ada.id, "😀" * 2049)


async def test_nobody_is_written_to_who_has_not_started_or_has_blocked(bench: Bench) -> None:
    stranger = await bench.tg.person()
    with pytest.raises(TelegramForbiddenError, match="can't initiate conversation"):
        await bench.bot.send_message(stranger.id, "hi")
    await stranger.start()
    await stranger.block()
    kicked = await bench.update("my_chat_member")
    assert kicked.new_chat_member.status == "kicked"
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bench.bot.send_message(stranger.id, "hi")
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bench.bot.send_message(987654, "hi")
    await stranger.unblock()
    await bench.bot.send_message(stranger.id, "hi again")


async def test_edits_change_the_message_and_say_when_nothing_changed(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    sent = await bench.bot.send_message(ada.id, "one", reply_markup=keyboard("A"))
    await bench.bot.edit_message_text("two", chat_id=ada.id, message_id=sent.message_id, reply_markup=keyboard("A"))
    await ada.wait_for("two")
    with pytest.raises(TelegramBadRequest, match="message is not modified: specified new message content"):
        await bench.bot.edit_message_text("two", chat_id=ada.id, message_id=sent.message_id, reply_markup=keyboard("A"))
    await bench.bot.edit_message_reply_markup(chat_id=ada.id, message_id=sent.message_id)
    seen = await ada.wait_for(lambda message: message.id == sent.message_id and not message.buttons)
    assert seen.text == "two"
    assert await bench.bot.delete_message(ada.id, sent.message_id)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bench.bot.edit_message_text("three", chat_id=ada.id, message_id=sent.message_id)
    with pytest.raises(TelegramBadRequest, match="message to delete not found"):
        await bench.bot.delete_message(ada.id, sent.message_id)


async def test_a_button_is_pressed_and_answered_once_it_is_stale_too(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.bot.send_message(ada.id, "choose", reply_markup=keyboard("Да", "Нет"))
    message = await ada.wait_for("choose")
    pressed = await ada.press(message, "Нет")
    query = await bench.update("callback_query")
    assert (query.data, query.from_user.id, query.message.message_id) == ("do:Нет", ada.id, message.id)
    await bench.bot.answer_callback_query(query.id, text="хорошо", show_alert=True)
    assert (await ada.toast(pressed))["text"] == "хорошо"
    await bench.bot.delete_message(ada.id, message.id)
    await ada.press(message.id, data="do:old")
    stale = await bench.update("callback_query")
    assert stale.data == "do:old"
    assert stale.message.date == 0
    with pytest.raises(
        TelegramBadRequest, match="query is too old and response timeout expired or query ID is invalid"
    ):
        await bench.bot.answer_callback_query("123")


async def test_a_draft_streams_and_goes_when_the_message_comes(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.bot.send_message_draft(ada.id, 7, text="", can_stop=True)
    assert (await ada.wait_draft())["text"] == ""
    await bench.bot.send_message_draft(ada.id, 7, text="Сон важен", can_stop=True)
    assert (await ada.wait_draft("важен"))["can_stop"] is True
    await bench.bot.send_message(ada.id, "Сон важен для роста")
    await ada.wait_for("для роста")
    assert ada.draft is None
    with pytest.raises(TelegramBadRequest):
        await bench.bot.send_message_draft(ada.id, 0, text="x")


async def test_the_stop_button_tells_the_bot_and_hides_the_draft(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.bot.send_message_draft(ada.id, 8, text="долго", can_stop=True)
    await ada.wait_draft("долго")
    assert await ada.stop() == 8
    stopped = await bench.update("stopped_message_generation")
    assert (stopped.chat.id, stopped.draft_id) == (ada.id, 8)
    await bench.bot.send_message_draft(ada.id, 8, text="ещё")
    await bench.bot.send_message(ada.id, "готово")
    await ada.wait_for("готово")
    assert not [e for e in bench.tg.events if e["type"] == "draft" and e["draft"]["text"] == "ещё"]


async def test_a_draft_vanishes_after_its_time(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.bot.send_message_draft(ada.id, 9, text="тихо")
    bench.server.world.drafts[ada.id].expires_at -= 30
    gone = await bench.tg.wait_event("draft_gone", lambda event: event["draft_id"] == 9)
    assert gone["reason"] == "expired"


async def test_drafts_are_for_private_chats(bench: Bench) -> None:
    ada = await bench.tg.person()
    group = await bench.tg.group(members=[ada])
    with pytest.raises(TelegramBadRequest):
        await bench.bot.send_message_draft(group.id, 1, text="x")


async def test_rich_messages_become_blocks_a_person_can_read(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    table = "| День | Вес |\n|:--|--:|\n| пн | 80 |"
    markdown = f"## План\n\n{table}\n\n$$E=mc^2$$\n\n<details><summary>Ещё</summary>\n\nтекст\n</details>"
    sent = await bench.bot.send_rich_message(ada.id, InputRichMessage(markdown=markdown))
    kinds = [block.type for block in sent.rich_message.blocks]
    assert kinds == ["heading", "table", "mathematical_expression", "details"]
    seen = await ada.wait_for("пн | 80")
    assert seen.is_rich
    html = "<h2>План</h2><p>новый <b>план</b></p>"
    await bench.bot.edit_message_text(
        chat_id=ada.id, message_id=sent.message_id, rich_message=InputRichMessage(html=html)
    )
    await ada.wait_for("новый план")
    await bench.bot.send_rich_message_draft(ada.id, 5, InputRichMessage(html="<tg-thinking>Думаю</tg-thinking>"))
    assert (await ada.wait_draft("Думаю"))["rich_message"]["blocks"][0]["type"] == "thinking"


@pytest.mark.parametrize(
    "rich",
    [
        InputRichMessage(markdown="a", html="b"),
        InputRichMessage(markdown="x" * 32_769),
        InputRichMessage(markdown="\n\n".join(["a"] * 501)),
        InputRichMessage(markdown="> " * 3000 + "a"),
        InputRichMessage(html="<p>a<b></p>"),
        InputRichMessage(html="<tg-thinking>a</tg-thinking>"),
        InputRichMessage(markdown="|" + "a|" * 21 + "\n|" + "-|" * 21),
    ],
)
async def test_rich_messages_beyond_the_limits_are_refused(bench: Bench, rich: InputRichMessage) -> None:
    ada = await bench.tg.person(started=True)
    with pytest.raises(TelegramBadRequest):
        await bench.bot.send_rich_message(ada.id, rich)


async def test_files_go_down_to_the_person_and_up_to_the_bot(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    sent = await bench.bot.send_photo(ada.id, BufferedInputFile(PNG, "chart.png"), caption="Неделя")
    assert (sent.photo[0].width, sent.photo[0].height) == (2, 3)
    await ada.wait_for("Неделя")
    await ada.upload("voice", b"OggS" + b"\0" * 1000, duration=42)
    voice = (await bench.update("message")).voice
    assert voice.duration == 42
    file = await bench.bot.get_file(voice.file_id)
    content = await bench.bot.download_file(file.file_path)
    assert content.read().startswith(b"OggS")


async def test_a_file_over_20_mb_is_announced_and_cannot_be_fetched(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await ada.upload("voice", size=21 * 1024 * 1024, duration=3000)
    voice = (await bench.update("message")).voice
    assert voice.file_size == 21 * 1024 * 1024
    with pytest.raises(TelegramBadRequest, match="file is too big"):
        await bench.bot.get_file(voice.file_id)


async def test_an_album_shares_a_media_group(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await ada.upload("photo", PNG, PNG, caption="анализы")
    messages = [update.message for update in await bench.updates("message")]
    assert len({message.media_group_id for message in messages}) == 1
    assert [message.caption for message in messages] == ["анализы", None]


@pytest.mark.parametrize("kind", ["sticker", "location", "contact", "poll", "dice"])
async def test_other_things_people_send_arrive_as_what_they_are(bench: Bench, kind: str) -> None:
    ada = await bench.tg.person(started=True)
    await ada.attach(kind)
    message = await bench.update("message")
    assert message.content_type == kind


async def test_a_person_edits_and_reacts(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.updates(timeout_s=0, allowed=["message", "edited_message", "message_reaction", "callback_query"])
    message_id = await ada.send("сколька белка?")
    await ada.edit(message_id, "сколько белка?")
    assert (await bench.update("edited_message")).text == "сколько белка?"
    sent = await bench.bot.send_message(ada.id, "80 г")
    await ada.react(sent.message_id, "👍")
    reaction = await bench.update("message_reaction")
    assert reaction.new_reaction[0].emoji == "👍"
    await bench.bot.set_message_reaction(ada.id, message_id, [ReactionTypeEmoji(emoji="👀")])
    await bench.tg.until(lambda: any(seen.reactions == ["👀"] for seen in ada.messages()))
    await bench.updates(timeout_s=0, allowed=[])


async def test_commands_and_descriptions_are_kept_by_scope_and_language(bench: Bench) -> None:
    ada = await bench.tg.person(language_code="ru")
    bob = await bench.tg.person(language_code="en")
    scope = BotCommandScopeAllPrivateChats()
    await bench.bot.set_my_commands([BotCommand(command="plans", description="Планы")], scope, "ru")
    await bench.bot.set_my_commands([BotCommand(command="plans", description="Plans")], scope)
    assert (await bench.bot.get_my_commands(scope, "ru"))[0].description == "Планы"
    for person, words in ((ada, "Планы"), (bob, "Plans")):
        menu = await bench.tg.control("GET", f"commands?person={person.id}")
        assert menu["commands"][0]["description"] == words
    await bench.bot.set_my_description("Тренер", "ru")
    assert (await bench.bot.get_my_description("ru")).description == "Тренер"
    assert (await bench.bot.get_my_description("en")).description == ""
    with pytest.raises(TelegramBadRequest, match="BOT_COMMAND_INVALID"):
        await bench.bot.set_my_commands([BotCommand(command="Bad Name", description="x")])


async def test_a_method_the_sandbox_lacks_says_so(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    with pytest.raises(TelegramServerError, match="does not simulate sendDice"):
        await bench.bot.send_dice(ada.id)


async def test_calls_are_logged_with_parameters_and_results(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.bot.send_message(ada.id, "записано")
    with pytest.raises(TelegramBadRequest):
        await bench.bot.send_message(ada.id, "x" * 5000)
    good, bad = await bench.tg.calls("sendMessage", ada.id)
    assert good["params"]["text"] == "записано"
    assert good["result"]["message_id"] == 1
    assert bad["error"]["error_code"] == 400
    assert bad["at_monotonic"] >= good["at_monotonic"]
    assert good["unknown_params"] == []


async def test_the_chat_shows_typing_until_the_answer(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    await bench.bot.send_chat_action(ada.id, "typing")
    assert (await bench.tg.control("GET", f"chats/{ada.id}/messages"))["action"] == "typing"
    await bench.bot.send_message(ada.id, "вот")
    assert (await bench.tg.control("GET", f"chats/{ada.id}/messages"))["action"] is None


async def test_two_pollers_conflict_and_the_newer_one_goes_on(bench: Bench) -> None:
    from aiogram.exceptions import TelegramConflictError

    await bench.updates(timeout_s=0)
    older = asyncio.create_task(bench.bot.get_updates(offset=bench.offset, timeout=20))
    await asyncio.sleep(0.2)
    newer = asyncio.create_task(bench.bot.get_updates(offset=bench.offset, timeout=20))
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
        await older
    ada = await bench.tg.person()
    await ada.send("кто слушает?")
    assert [update.message.text for update in await newer] == ["кто слушает?"]
