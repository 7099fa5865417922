"""Methods that change what was sent: edits, deletions, reactions, answers to presses."""

import time
from typing import Any

from aiogram import methods as m

from sandbox.telegram import chats
from sandbox.telegram.entities import formatted
from sandbox.telegram.errors import bad_request
from sandbox.telegram.methods_send import Handler, Uploads, dumped, dumped_entities, inline_keyboard
from sandbox.telegram.rich import rich_message
from sandbox.telegram.state import Json, Stored
from sandbox.telegram.world import World

DELETE_WITHIN_S = 48 * 3600
DELETE_BATCH_MAX = 100
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


def _own(world: World, call: Any) -> Stored:
    if call.chat_id is None or call.message_id is None:
        raise bad_request("message identifier is not specified")
    target = chats.writable(world, call.chat_id)
    stored = chats.find(world, target.id, call.message_id)
    if stored is None:
        raise bad_request("message to edit not found")
    if stored.body["from"]["id"] != world.state.bot.id:
        raise bad_request("message can't be edited")
    return stored


def _replace(world: World, stored: Stored, content: Json, markup: Json | None) -> Json:
    """Gives the message new content fields and keyboard; raises "message is not modified"."""
    fields = ("text", "entities", "rich_message", "reply_markup")
    old = {name: stored.body.get(name) for name in fields}
    new = {name: content.get(name) for name in fields} | {"reply_markup": markup}
    if old == new:
        raise bad_request(NOT_MODIFIED)
    body = {name: value for name, value in stored.body.items() if name not in fields}
    body |= {name: value for name, value in new.items() if value is not None}
    body["edit_date"] = int(world.now())
    stored.body = body
    stored.edited |= any(old[name] != new[name] for name in fields if name != "reply_markup")
    chats.changed(world, stored)
    return body


def edit_message_text(world: World, call: m.EditMessageText, _: Uploads) -> Json:
    """editMessageText, with text or with a rich message; a keyboard that is not given again goes away."""
    stored = _own(world, call)
    if "text" not in stored.body and "rich_message" not in stored.body:
        raise bad_request("there is no text in the message to edit")
    markup = inline_keyboard(call.reply_markup)
    if call.rich_message is not None:
        rich, source = rich_message(call.rich_message)
        body = _replace(world, stored, {"rich_message": rich}, markup)
        stored.rich_source = source
        return body
    text, entities = formatted(call.text or "", call.parse_mode, dumped_entities(call.entities))
    stored_source, stored.rich_source = stored.rich_source, None
    try:
        return _replace(world, stored, {"text": text, "entities": entities or None}, markup)
    except Exception:
        stored.rich_source = stored_source
        raise


def edit_message_reply_markup(world: World, call: m.EditMessageReplyMarkup, _: Uploads) -> Json:
    """editMessageReplyMarkup; without a markup the keyboard goes away."""
    stored = _own(world, call)
    return _replace(world, stored, stored.body, inline_keyboard(call.reply_markup))


def _delete(world: World, chat_id: int, message_id: int) -> None:
    stored = chats.find(world, chat_id, message_id)
    if stored is None:
        raise bad_request("message to delete not found")
    group = world.state.groups.get(chat_id)
    bot_id = world.state.bot.id
    if world.now() - stored.body["date"] > DELETE_WITHIN_S:
        raise bad_request("message can't be deleted for everyone")
    if group is not None and stored.body["from"]["id"] != bot_id and group.members.get(bot_id) not in chats.ADMINS:
        raise bad_request("message can't be deleted")
    del world.state.chats[chat_id].messages[message_id]
    world.events.publish("message_deleted", chat_id, message_id=message_id)
    world.changed()


def delete_message(world: World, call: m.DeleteMessage, _: Uploads) -> bool:
    """deleteMessage: within 48 h of the sandbox's clock."""
    _delete(world, chats.writable(world, call.chat_id).id, call.message_id)
    return True


def delete_messages(world: World, call: m.DeleteMessages, _: Uploads) -> bool:
    """deleteMessages: those that cannot be deleted are skipped."""
    target = chats.writable(world, call.chat_id)
    if not 1 <= len(call.message_ids) <= DELETE_BATCH_MAX:
        raise bad_request("message identifiers are not specified")
    for message_id in call.message_ids:
        if chats.find(world, target.id, message_id) is not None:
            _delete(world, target.id, message_id)
    return True


def set_message_reaction(world: World, call: m.SetMessageReaction, _: Uploads) -> bool:
    """setMessageReaction: a bot may set one emoji."""
    target = chats.writable(world, call.chat_id)
    stored = chats.find(world, target.id, call.message_id)
    if stored is None:
        raise bad_request("message to react not found")
    reaction = [dumped(item) for item in call.reaction or ()]
    if len(reaction) > 1:
        raise bad_request("REACTIONS_TOO_MANY")
    if reaction and not reaction[0].get("emoji"):
        raise bad_request("REACTION_INVALID")
    stored.reactions.pop(world.state.bot.id, None)
    if reaction:
        stored.reactions[world.state.bot.id] = reaction[0]["emoji"]
    publish_reactions(world, stored)
    return True


def publish_reactions(world: World, stored: Stored) -> None:
    """Shows people the reactions of a message."""
    body = stored.body
    reactions = [{"user_id": user_id, "emoji": emoji} for user_id, emoji in stored.reactions.items()]
    world.events.publish("reaction", body["chat"]["id"], message_id=body["message_id"], reactions=reactions)
    world.changed()


def answer_callback_query(world: World, call: m.AnswerCallbackQuery, _: Uploads) -> bool:
    """answerCallbackQuery: the text is at most 200 characters."""
    query = world.queries.get(call.callback_query_id)
    if query is None or query.until < time.monotonic():
        raise bad_request(QUERY_TOO_OLD)
    if len(call.text or "") > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    world.events.publish(
        "callback_answer",
        query.chat_id,
        query_id=call.callback_query_id,
        person_id=query.person_id,
        text=call.text,
        show_alert=bool(call.show_alert),
        url=call.url,
    )
    return True


HANDLERS: dict[str, Handler] = {
    "editmessagetext": edit_message_text,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "deletemessages": delete_messages,
    "setmessagereaction": set_message_reaction,
    "answercallbackquery": answer_callback_query,
}
