"""Posts: what a row of the outbox becomes — the messages that are sent for it, in its reader's language."""

from typing import Any

import aiogram.methods
from aiogram.methods import SendMessage, SendRichMessage, TelegramMethod
from aiogram.types import ReplyParameters

from app import free_access, persons, preferences
from bot import answers, notices, whispers
from bot.answers import Message
from bot.context import Room
from inference import dialogs, turns
from inference.turns import Turn
from kit import outbox
from kit.errors import InsufficientTokens
from kit.outbox import Post
from kit.words import words


async def messages(room: Room, post: Post) -> tuple[list[Message], Turn | None]:
    """Return what is to be sent for a post, in order, and the turn that it belongs to."""
    app, payload = room.app, post.payload
    if "method" in payload:
        method = getattr(aiogram.methods, payload["method"][0].upper() + payload["method"][1:])
        return [_with_private(method.model_validate(payload["data"]))], None
    async with app.db.read() as connection:
        turn = await turns.find(connection, post.turn_id) if post.turn_id else None
        reader_id = turn.person_id if turn else payload.get("person_id", post.chat_id)
        person = await persons.find(connection, person_id=reader_id)
        answer = await dialogs.answer_of(connection, post.turn_id) if post.turn_id else None
        trial = _runs_low(post) and bool(await free_access.offered(app, connection, person_id=reader_id))
    say = words(person.language if person else app.settings.admin_language)
    in_group = post.chat_id < 0 and turn is not None
    if post.kind != outbox.ANSWER:
        notice = notices.message(
            post.chat_id, say, payload, post.turn_id, app.plans, username=room.username, trial=trial
        )
        if "person_id" in payload:  # of one person of a group, and nobody else's business
            keyboard = whispers.to_private_chat(say, room.username)
            thread_id = payload.get("thread_id", 0)
            return [
                _with_private(whispers.ephemeral(post.chat_id, reader_id, notice.text, keyboard, thread_id=thread_id))
            ], turn
        return [_in_thread(Message(notice), turn, first=True) if in_group else Message(notice)], turn
    assert post.turn_id is not None
    if answer is None:  # its dialog was deleted, or the question is being answered anew
        return [], turn
    text, thoughts = answer
    wanted = preferences.of(person.settings if person else {})
    found = answers.messages(
        chat_id=post.chat_id,
        turn_id=post.turn_id,
        text=text,
        payload=payload,
        words=say,
        style="rich" if wanted.text == "rich" else "plain-entities",
        allowed_hosts=app.settings.allowed_hosts,
        catalog=app.plans,
        trial=trial,
        thoughts=thoughts,
        can_think=app.chat_model().reasons,
        in_group=in_group,
    )
    if turn is None or not in_group:
        return found, turn
    placed = [_in_thread(message, turn, first=number == 0) for number, message in enumerate(found)]
    note = answers.wallet_note(say, payload)
    if note:
        keyboard = whispers.to_private_chat(say, room.username)
        placed.append(
            _with_private(whispers.ephemeral(post.chat_id, turn.person_id, note, keyboard, thread_id=turn.thread_id))
        )
    return placed, turn


def _with_private(call: TelegramMethod[Any]) -> Message:
    private = whispers.in_private(call) if isinstance(call, SendMessage) else None
    return Message(call, (private,) if private else ())


def _in_thread(message: Message, turn: Turn | None, *, first: bool) -> Message:
    """Return a message for a group: in its turn's topic, the first one as a reply to what was asked."""
    assert turn is not None
    place: dict[str, Any] = {"message_thread_id": turn.thread_id or None}
    if first and turn.reply_to_message_id:
        place["reply_parameters"] = ReplyParameters(
            message_id=turn.reply_to_message_id, allow_sending_without_reply=True
        )
    calls = [
        call.model_copy(update=place) if isinstance(call, SendMessage | SendRichMessage) else call
        for call in (message.call, *message.plainer)
    ]
    return Message(calls[0], tuple(calls[1:]), message.has_buttons)


def _runs_low(post: Post) -> bool:
    """Whether a post says that tokens run out, and so shows the ways on."""
    payload = post.payload
    return bool(
        payload.get("notice") == InsufficientTokens.code or payload.get("courtesy") or payload.get("low_percent")
    )
