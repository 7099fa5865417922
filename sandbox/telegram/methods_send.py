"""Methods that send: messages, rich messages, drafts, files, chat actions."""

import time
from collections.abc import Callable
from typing import Any

from aiogram import methods as m
from aiogram.types import InlineKeyboardMarkup

from sandbox.telegram import chats
from sandbox.telegram.calls import Upload
from sandbox.telegram.entities import CAPTION_MAX, formatted
from sandbox.telegram.errors import bad_request
from sandbox.telegram.files import PHOTO_BYTES_MAX, as_media, image_size
from sandbox.telegram.rich import plain_text, rich_message
from sandbox.telegram.state import File, Group, Json, Person
from sandbox.telegram.world import ACTION_LIVES_S, DRAFT_LIVES_S, Draft, World

BUTTONS_MAX = 100
CALLBACK_BYTES_MAX = 64
COPY_TEXT_MAX = 256
STOPPED_MAX = 1_000
Uploads = dict[str, Upload]
Handler = Callable[[World, Any, Uploads], Any]


def dumped(model: Any) -> Json:
    """A validated part of a call as the JSON that was given."""
    result: Json = model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    return result


def inline_keyboard(markup: InlineKeyboardMarkup | None) -> Json | None:
    """The keyboard as JSON, checked; None for none or an empty one."""
    if markup is None:
        return None
    count = 0
    for row in markup.inline_keyboard:
        for button in row:
            count += 1
            actions = button.model_dump(exclude_none=True).keys() - {"text", "style", "icon_custom_emoji_id"}
            if not button.text:
                raise bad_request("can't parse inline keyboard button: Button text must be non-empty")
            if not actions:
                raise bad_request(
                    "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
                )
            if len(actions) > 1:
                raise bad_request("can't parse inline keyboard button: exactly one action must be used")
            data = button.callback_data
            if data is not None and not 1 <= len(data.encode()) <= CALLBACK_BYTES_MAX:
                raise bad_request("BUTTON_DATA_INVALID")
            if button.url is not None and not button.url.startswith(("http://", "https://", "tg://")):
                raise bad_request(f"inline keyboard button URL '{button.url}' is invalid: Wrong HTTP URL")
            if button.copy_text is not None and not 1 <= len(button.copy_text.text) <= COPY_TEXT_MAX:
                raise bad_request("BUTTON_COPY_TEXT_INVALID")
    if count > BUTTONS_MAX:
        raise bad_request("reply markup is too long")
    return dumped(markup) if count else None


def _markup(call: Any) -> tuple[Json, Json | None]:
    """(fields of the message, a reply keyboard that people see) from reply_markup."""
    markup = call.reply_markup
    if markup is None:
        return {}, None
    if isinstance(markup, InlineKeyboardMarkup):
        keyboard = inline_keyboard(markup)
        return ({"reply_markup": keyboard} if keyboard else {}), None
    return {}, dumped(markup)


def reply_fields(world: World, call: Any, chat_id: int) -> Json:
    """reply_to_message, from reply_parameters or the older parameter."""
    given = call.reply_parameters
    message_id = given.message_id if given is not None else getattr(call, "reply_to_message_id", None)
    if not message_id:
        return {}
    stored = chats.find(world, chat_id, message_id)
    if stored is not None:
        return {"reply_to_message": chats.quoted(stored)}
    lenient = given is not None and given.allow_sending_without_reply is True
    if lenient or getattr(call, "allow_sending_without_reply", None):
        return {}
    raise bad_request("message to be replied not found")


def dumped_entities(given: Any) -> list[Json] | None:
    """MessageEntity list as JSON."""
    return None if given is None else [dumped(entity) for entity in given]


def _send(world: World, call: Any, content: Json, **kept: Any) -> Json:
    target = chats.writable(world, call.chat_id)
    fields, keyboard = _markup(call)
    content |= fields | reply_fields(world, call, target.id)
    if call.message_thread_id:
        if target.id > 0:
            raise bad_request("message thread not found")
        content |= {"message_thread_id": call.message_thread_id, "is_topic_message": True}
    if call.protect_content is True:
        content["has_protected_content"] = True
    if call.message_effect_id:
        if target.id < 0:
            raise bad_request("message effects are allowed only in private chats")
        content["effect_id"] = call.message_effect_id
    return chats.post(world, target, world.state.bot.user(), content, keyboard=keyboard, **kept).body


def send_message(world: World, call: m.SendMessage, _: Uploads) -> Json:
    """sendMessage."""
    chats.writable(world, call.chat_id)
    text, entities = formatted(call.text, call.parse_mode, dumped_entities(call.entities))
    content = {"text": text} | ({"entities": entities} if entities else {})
    if call.ephemeral_message_parameters is not None:
        return whispered(world, call, content)
    return _send(world, call, content)


def whispered(world: World, call: m.SendMessage, content: Json) -> Json:
    """An ephemeral message: one member of a group sees it, and the chat's history does not hold it.

    Source: https://core.telegram.org/bots/api#ephemeral-messages-and-commands
    """
    target = chats.writable(world, call.chat_id)
    assert call.ephemeral_message_parameters is not None
    receiver_id = call.ephemeral_message_parameters.receiver_user_id
    receiver = world.person(receiver_id)
    if not isinstance(target, Group):
        raise bad_request("ephemeral messages can be sent only to groups")
    if receiver is None or target.members.get(receiver_id, "left") not in chats.PRESENT:
        raise bad_request("USER_NOT_PARTICIPANT")
    fields, _ = _markup(call)
    world.whispers += 1
    body: Json = {
        "message_id": 0,
        "date": int(world.now()),
        "chat": target.chat(),
        "from": world.state.bot.user(),
        "receiver_user": receiver.user(),
        "ephemeral_message_id": world.whispers,
        **content,
        **fields,
    }
    world.events.publish("ephemeral", target.id, user_id=receiver_id, message=body)
    return body


def send_rich_message(world: World, call: m.SendRichMessage, _: Uploads) -> Json:
    """sendRichMessage."""
    chats.writable(world, call.chat_id)
    rich, source = rich_message(call.rich_message)
    return _send(world, call, {"rich_message": rich}, rich_source=source)


def _draft(world: World, call: Any, content: Json) -> bool:
    person = chats.writable(world, call.chat_id)
    if not isinstance(person, Person):
        raise bad_request("message drafts can be sent only to private chats")
    if call.draft_id == 0:
        raise bad_request("draft_id must be non-zero")
    key = (person.id, call.draft_id)
    if key in world.stopped_drafts:
        return True
    current = world.drafts.get(person.id)
    if current is not None and current.draft_id != call.draft_id:
        world.drop_draft(person.id, "replaced")
    until = time.monotonic() + DRAFT_LIVES_S
    draft = Draft(call.draft_id, content, bool(call.can_stop), bool(call.keep_on_stop), until)
    world.drafts[person.id] = draft
    world.events.publish("draft", person.id, draft=draft.view())
    return True


def send_message_draft(world: World, call: m.SendMessageDraft, _: Uploads) -> bool:
    """sendMessageDraft: an empty text shows a placeholder."""
    text, entities = formatted(call.text or "", call.parse_mode, dumped_entities(call.entities), empty_ok=True)
    return _draft(world, call, {"text": text, "entities": entities})


def send_rich_message_draft(world: World, call: m.SendRichMessageDraft, _: Uploads) -> bool:
    """sendRichMessageDraft."""
    rich, _source = rich_message(call.rich_message, draft=True)
    return _draft(world, call, {"rich_message": rich, "text": plain_text(rich["blocks"])})


def send_chat_action(world: World, call: m.SendChatAction, _: Uploads) -> bool:
    """sendChatAction: shown for 5 s or until the bot's next message."""
    target = chats.writable(world, call.chat_id)
    world.actions[target.id] = (call.action, time.monotonic() + ACTION_LIVES_S)
    world.events.publish("chat_action", target.id, action=call.action)
    return True


def _file(world: World, kind: str, given: Any, uploads: Uploads) -> File:
    if not isinstance(given, str) or not given:
        raise bad_request(f"there is no {kind} in the request")
    if not given.startswith("attach://"):
        if given.startswith(("http://", "https://")):
            raise bad_request("failed to get HTTP URL content")
        return world.files.find(given)
    upload = uploads.get(given.removeprefix("attach://"))
    if upload is None:
        raise bad_request(f"there is no {kind} in the request")
    if not upload.content:
        raise bad_request("file must be non-empty")
    if kind == "photo":
        if len(upload.content) > PHOTO_BYTES_MAX:
            raise bad_request("file is too big")
        if image_size(upload.content) is None:
            raise bad_request("IMAGE_PROCESS_FAILED")
    size = len(upload.content)
    return world.files.put(kind, upload.content, size=size, name=upload.name, mime_type=upload.mime_type)


def _send_file(world: World, kind: str, call: Any, given: Any, uploads: Uploads) -> Json:
    chats.writable(world, call.chat_id)
    content = as_media(kind, _file(world, kind, given, uploads), getattr(call, "duration", None) or 0)
    caption, entities = formatted(
        call.caption or "", call.parse_mode, dumped_entities(call.caption_entities), text_max=CAPTION_MAX, empty_ok=True
    )
    if caption:
        content |= {"caption": caption} | ({"caption_entities": entities} if entities else {})
    return _send(world, call, content)


def send_photo(world: World, call: m.SendPhoto, uploads: Uploads) -> Json:
    """sendPhoto: PNG, JPEG or GIF up to 10 MB, or a file_id."""
    return _send_file(world, "photo", call, call.photo, uploads)


def send_voice(world: World, call: m.SendVoice, uploads: Uploads) -> Json:
    """sendVoice."""
    return _send_file(world, "voice", call, call.voice, uploads)


def send_document(world: World, call: m.SendDocument, uploads: Uploads) -> Json:
    """sendDocument."""
    return _send_file(world, "document", call, call.document, uploads)


HANDLERS: dict[str, Handler] = {
    "sendmessage": send_message,
    "sendrichmessage": send_rich_message,
    "sendmessagedraft": send_message_draft,
    "sendrichmessagedraft": send_rich_message_draft,
    "sendchataction": send_chat_action,
    "sendphoto": send_photo,
    "sendvoice": send_voice,
    "senddocument": send_document,
}
