"""What a handler is given for one update: the person, the words, and replies that are stored with its effect.

A handler changes things inside `ctx.transaction()`; its replies and the mark that the update is handled are written
by the same transaction, so a crash at any moment neither loses a reply nor repeats an effect. A handler that changes
nothing just replies; the dispatcher then opens that transaction.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiogram.methods import SendMessage, TelegramMethod
from aiogram.types import InlineKeyboardMarkup, ReplyParameters
from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from app.persons import Person
from bot import parts, whispers
from bot.previews import Previews
from bot.sender import Sender
from bot.sheets import Sheets
from bot.star_list import StarList
from kit import inbox, outbox
from kit.words import Words

# Who Telegram says an administrator is who speaks as the group: https://core.telegram.org/bots/api#message
ANONYMOUS_ADMIN_ID = 1_087_968_824


class AlreadyHandled(Exception):
    """Another handler of the same update committed first; this one's transaction is rolled back."""


@dataclass
class AdminChat:
    """The private group that operates Forma; its id changes when Telegram migrates it to a supergroup."""

    id: int


@dataclass(frozen=True)
class Room:
    """The bot's own parts, beside the App: what sends, what previews, who it is."""

    app: App
    sender: Sender
    previews: Previews
    username: str
    admin_chat: AdminChat
    sheets: Sheets
    deliveries: asyncio.Event
    """Set when the outbox has something new."""
    star_list: StarList


@dataclass
class Context:
    """One update being handled."""

    room: Room
    item: inbox.Item
    chat_id: int
    person: Person
    words: Words
    thread_id: int = 0
    """The topic of a forum, 0 elsewhere."""
    _posts: list[dict[str, Any]] = field(default_factory=list)
    handled: bool = False

    @property
    def app(self) -> App:
        return self.room.app

    @property
    def in_group(self) -> bool:
        return self.chat_id < 0

    def reply(
        self,
        text: str,
        keyboard: InlineKeyboardMarkup | None = None,
        *,
        reply_to: int | None = None,
        once: str | None = None,
    ) -> None:
        """Send a plain text to the chat of this update; of all replies with the same `once` only the first is sent.

        What is longer than a message goes in several, `keyboard` under the last.
        """
        pieces = [piece for piece, _ in parts.split(text, [])] or [text]
        for number, piece in enumerate(pieces, 1):
            call = SendMessage(
                chat_id=self.chat_id,
                message_thread_id=self.thread_id or None,
                text=piece,
                reply_markup=keyboard if number == len(pieces) else None,
                reply_parameters=ReplyParameters(message_id=reply_to, allow_sending_without_reply=True)
                if reply_to and number == 1
                else None,
            )
            self.send(call, once=f"{once}:{number}" if once and number > 1 else once)

    def whisper(self, text: str, keyboard: InlineKeyboardMarkup | None = None, *, once: str | None = None) -> None:
        """Tell this update's person alone, in a group; where Telegram refuses that, in their private chat."""
        call = whispers.ephemeral(self.chat_id, self.person.id, text, keyboard, thread_id=self.thread_id)
        self.send(call, once=once)

    def send(
        self,
        method: TelegramMethod[Any],
        *,
        kind: str = outbox.NOTICE,
        chat_id: int | None = None,
        once: str | None = None,
    ) -> None:
        """Carry out a Bot API call after the commit; `kind` says what a crash in between means (kit.outbox)."""
        self._posts.append(
            {
                "kind": kind,
                "chat_id": self.chat_id if chat_id is None else chat_id,
                "payload": payload_of(method),
                "dedup_key": once or f"update:{self.item.id}:{len(self._posts)}",
            }
        )

    def unsay(self) -> None:
        """Forget the replies that were not committed: what they said did not happen."""
        self._posts.clear()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open the transaction of this update's effect; at its end replies and the handled mark are written."""
        now = self.app.clock.now()
        async with self.app.db.transaction() as tx:
            yield tx
            for post in self._posts:
                await outbox.add(tx, now=now, **post)
            if not self.handled and not await inbox.mark_handled(tx, self.item.id, now=now):
                raise AlreadyHandled
        self._posts.clear()
        self.handled = True

    async def apologise(self, tx: AsyncConnection, code: str) -> None:
        """Tell the person that their update was set aside after all tries; nothing else of it is written."""
        text = self.words.say("error-command", code=code)
        await outbox.add(
            tx,
            kind=outbox.NOTICE,
            chat_id=self.chat_id,
            payload=payload_of(SendMessage(chat_id=self.chat_id, text=text)),
            dedup_key=f"update:{self.item.id}:aside",
            now=self.app.clock.now(),
        )


def payload_of(method: TelegramMethod[Any]) -> dict[str, Any]:
    """Return a Bot API call as an outbox payload."""
    # The library's marks for "as the bot is set up" fall back to nothing; what it fills in by itself (the `type` of a
    # scope) belongs to the call.
    data = method.model_dump(mode="json", exclude_none=True, fallback=lambda _: None)
    return {"method": method.__api_method__, "data": _without_none(data)}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
