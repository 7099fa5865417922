"""Posts: what a row of the outbox becomes — the messages that are sent for it, in its reader's language."""

from typing import Any

import aiogram.methods
from aiogram.methods import SendMessage, SendRichMessage, TelegramMethod
from aiogram.types import ReplyParameters

from app import free_access, persons, preferences
from app.persons import Person
from bot import answers, notices, whispers
from bot.answers import Message
from bot.context import Room
from inference import dialogs, turns
from inference.turns import Turn
from kit import outbox
from kit.errors import InsufficientTokens
from kit.outbox import Post
from kit.words import Words, words


async def messages(room: Room, post: Post) -> tuple[list[Message], Turn | None]:
    """Return what is to be sent for a post, in order, and the turn that it belongs to."""
    payload = post.payload
    if "method" in payload:
        method = getattr(aiogram.methods, payload["method"][0].upper() + payload["method"][1:])
        return [_with_private(method.model_validate(payload["data"]))], None
    async with room.app.db.read() as connection:
        turn = await turns.find(connection, post.turn_id) if post.turn_id else None
        reader_id = turn.person_id if turn else payload.get("person_id", post.chat_id)
        reader = await persons.find(connection, person_id=reader_id)
        answer = await dialogs.answer_of(connection, post.turn_id) if post.turn_id else None
        trial = _runs_low(post) and bool(await free_access.offered(room.app, connection, person_id=reader_id))
    say = words(reader.language if reader else room.app.settings.admin_language)
    if post.kind != outbox.ANSWER:
        return [_notice(room, post, say, turn, reader_id, trial=trial)], turn
    if turn is None or answer is None:  # its dialog was deleted, or the question is being answered anew
        return [], turn
    return _answer(room, post, say, turn, reader, answer, trial=trial), turn


def _notice(room: Room, post: Post, say: Words, turn: Turn | None, reader_id: int, *, trial: bool) -> Message:
    notice = notices.message(
        post.chat_id, say, post.payload, post.turn_id, room.app.plans, username=room.username, trial=trial
    )
    if "person_id" in post.payload:  # of one person of a group, and nobody else's business
        return _whisper(room, say, post.chat_id, reader_id, notice.text)
    return _in_group(Message(notice), turn, first=True) if turn and turn.in_group else Message(notice)


def _answer(
    room: Room, post: Post, say: Words, turn: Turn, reader: Person | None, answer: tuple[str, str], *, trial: bool
) -> list[Message]:
    app = room.app
    wanted = preferences.of(reader.settings if reader else {})
    text, thoughts = answer
    found = answers.messages(
        chat_id=post.chat_id,
        turn_id=turn.id,
        text=text,
        payload=post.payload,
        words=say,
        style="rich" if wanted.text == "rich" else "plain-entities",
        allowed_hosts=app.settings.allowed_hosts,
        catalog=app.plans,
        trial=trial,
        thoughts=thoughts,
        can_think=app.chat_model(turn.model).reasons,
        in_group=turn.in_group,
    )
    if not turn.in_group:
        return found
    placed = [_in_group(message, turn, first=number == 0) for number, message in enumerate(found)]
    if note := answers.wallet_note(say, post.payload):
        placed.append(_whisper(room, say, post.chat_id, turn.person_id, note, thread_id=turn.thread_id))
    return placed


def _whisper(room: Room, say: Words, chat_id: int, person_id: int, text: str, *, thread_id: int = 0) -> Message:
    """Return what one person of a group is told of their tokens."""
    keyboard = whispers.to_private_chat(say, room.username)
    return _with_private(whispers.ephemeral(chat_id, person_id, text, keyboard, thread_id=thread_id))


def _with_private(call: TelegramMethod[Any]) -> Message:
    private = whispers.in_private(call) if isinstance(call, SendMessage) else None
    return Message(call, (private,) if private else ())


def _in_group(message: Message, turn: Turn, *, first: bool) -> Message:
    """Return a message for a group: in its turn's topic, the first one as a reply to what was asked."""
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
