"""Deliver: the outbox's rows go out through the sender, in order per chat, until each is sent or cannot be.

`sending` is committed before the call. After a crash between the call and its record, answers and notices go out
again; what has been recorded part by part does not.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import structlog
from aiogram import types
from aiogram.methods import (
    EditMessageReplyMarkup,
    EditMessageText,
    SendInvoice,
    SendMessage,
    SendPhoto,
    SendRichMessage,
    TelegramMethod,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app import answer_keyboards, persons, purchase
from bot import posts
from bot.answers import Message
from bot.budget import Lane
from bot.context import Room
from bot.refusals import Migrated, Refused, Unreachable
from inference.turns import Turn
from kit import chats, outbox, signals
from kit.errors import Unavailable
from kit.outbox import Post

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
BATCH_MAX = 200
CHATS_MAX = 500
RECORD_FIRST_S, RECORD_MAX_S = 0.05, 5.0

T = TypeVar("T")

_LANES = {
    outbox.ANSWER: Lane.FINAL,
    outbox.NOTICE: Lane.NOTICE,
    outbox.ALERT: Lane.NOTICE,
    outbox.CALL: Lane.NOTICE,
    outbox.BROADCAST: Lane.BROADCAST,
}


# What counts as a message of a chat; any other call (a command menu) goes past the budgets.
_INTO_CHAT = (SendMessage, SendRichMessage, EditMessageText, SendInvoice, SendPhoto)


class Deliver:
    """Owns one task per chat that has something to get."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._busy: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Deliver until cancelled."""
        wake = self._room.deliveries
        try:
            while True:
                wake.clear()
                try:
                    while await self._take():
                        pass
                except Exception as error:  # the database is away: the rows wait for it
                    log.warning("outbox_unreadable", error=type(error).__name__)
                    await asyncio.sleep(LOOK_EVERY_S)
                await signals.wait(wake, LOOK_EVERY_S)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _take(self) -> bool:
        """Start tasks for chats with due posts; True when there may be more."""
        app = self._room.app
        now = app.clock.now()
        async with app.db.read() as connection:
            posts = await outbox.due(connection, now=now, limit=BATCH_MAX, exclude_chats=list(self._busy))
        by_chat: dict[int, list[Post]] = defaultdict(list)
        for post in posts:
            by_chat[post.chat_id].append(post)
        started = 0
        for chat_id, queue in by_chat.items():
            if len(self._busy) >= CHATS_MAX:
                break  # whichever task is through first looks again
            task = asyncio.create_task(self._chat(chat_id, queue), name=f"deliver-{chat_id}")
            self._busy[chat_id] = task
            started += 1
        return started > 0 and len(posts) == BATCH_MAX

    async def _chat(self, chat_id: int, posts: list[Post]) -> None:
        try:
            async with self._room.app.db.transaction() as tx:
                open_ids = await outbox.mark_sending(tx, [post.id for post in posts])
            for post in posts:
                if post.id in open_ids and not await self._post(post):
                    break  # what follows in this chat waits behind it
        except Unavailable as error:
            log.warning("delivery_delayed", chat=chat_id, what=error.what)
            await asyncio.sleep(LOOK_EVERY_S)
        except Exception:
            log.exception("delivery_crashed", chat=chat_id)
            await asyncio.sleep(LOOK_EVERY_S)
        finally:
            del self._busy[chat_id]
            self._room.deliveries.set()

    async def _post(self, post: Post) -> bool:
        """Send one post; False when it goes back with a delay and later ones must wait."""
        app, number = self._room.app, 0
        buttons_at: int | None = None
        try:
            messages, turn = await posts.messages(self._room, post)
            for number, message in enumerate(messages, start=1):
                if number > post.parts_sent:
                    result = await self._send(post, message)
                    if message.has_buttons and isinstance(result, types.Message):
                        buttons_at = result.message_id
                    await self._record(partial(outbox.mark_part, post_id=post.id, parts_sent=number))
        except Unreachable as error:
            await self._give_up(post, error.reason, blocked=error.reason in {"blocked", "deactivated"})
            return True
        except Migrated as error:
            await self._move(post, error.new_chat_id)
            return False
        except Refused as error:
            log.warning("post_refused", post=post.id, kind=post.kind, description=error.description[:200])
            await self._give_up(post, error.description)
            return True
        except Unavailable as error:
            why = str(error)
            again = await self._record(
                lambda tx: outbox.mark_retry(tx, post.id, attempts=post.attempts, error=why, now=app.clock.now())
            )
            log.warning("post_delayed", post=post.id, kind=post.kind, again=again)
            return not again
        before = await self._record(lambda tx: self._sent(tx, post, turn, buttons_at))
        if before is not None:
            self._take_buttons_off(post.chat_id, before)
        log.info("post_sent", post=post.id, kind=post.kind, turn=post.turn_id, parts=number)
        return True

    async def _sent(self, tx: AsyncConnection, post: Post, turn: Turn | None, buttons_at: int | None) -> int | None:
        """Record that a post is out; returns the message that an older answer's buttons stand under."""
        app = self._room.app
        now = app.clock.now()
        await outbox.mark_sent(tx, post.id, now=now)
        if post.payload.get("method") == purchase.REFUND_METHOD:
            # Telegram's report of it may be lost on its way; its answer to the call is as good.
            charge_id = post.payload["data"]["telegram_payment_charge_id"]
            await purchase.refund_made(app, tx, charge_id=charge_id, now=now)
        if buttons_at is None or turn is None:
            return None
        return await answer_keyboards.move(tx, chat_id=post.chat_id, thread_id=turn.thread_id, message_id=buttons_at)

    def _take_buttons_off(self, chat_id: int, message_id: int) -> None:
        """Take the buttons from an older answer. Where that is lost they stay, and a press still works or says why not.

        It goes with the previews, since no person waits for it.
        """
        call = EditMessageReplyMarkup(chat_id=chat_id, message_id=message_id)
        self._room.sender.preview(chat_id, f"buttons:{chat_id}:{message_id}", lambda: call, is_group=chat_id < 0)

    async def _record(self, write: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Write down what became of a call. A Postgres that is away is waited for: what is not recorded is sent again.

        `write` may run twice, when the connection was cut at the commit.
        """
        pause_s = RECORD_FIRST_S
        while True:
            try:
                async with self._room.app.db.transaction() as tx:
                    return await write(tx)
            except Unavailable as error:
                log.warning("delivery_not_recorded", what=error.what, pause_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RECORD_MAX_S)

    async def _send(self, post: Post, message: Message) -> Any:
        """Send one message; returns Telegram's result, of the last call where there were several."""
        result: Any = None
        try:
            return await self._call(post, message.call)
        except (Refused, Unreachable) as refused:
            if "not modified" in refused.description or "ALREADY_REFUNDED" in refused.description:
                return None  # it is as it should be: an earlier try did it
            whispered = isinstance(message.call, SendMessage) and message.call.ephemeral_message_parameters
            if not message.plainer or (isinstance(refused, Unreachable) and not whispered):
                raise
            log.warning("plainer_instead", post=post.id, description=refused.description[:200])
            for call in message.plainer:
                result = await self._call(post, call)
        return result

    async def _call(self, post: Post, call: TelegramMethod[Any]) -> Any:
        room = self._room
        if "method" in post.payload and not isinstance(call, _INTO_CHAT):
            return await room.sender.answer(call)
        lane, is_group = _LANES[post.kind], post.chat_id < 0
        if post.turn_id is None:
            return await room.sender.send(call, lane=lane, chat_id=post.chat_id, is_group=is_group)
        return await room.previews.send_final(post.turn_id, call, lane=lane, chat_id=post.chat_id, is_group=is_group)

    async def _give_up(self, post: Post, why: str, *, blocked: bool = False) -> None:
        app = self._room.app
        now = app.clock.now()
        async with app.db.transaction() as tx:
            await outbox.mark_failed(tx, post.id, error=why, now=now)
            if blocked:
                await persons.set_blocked(tx, post.chat_id, blocked=True, now=now)
        log.info("post_given_up", post=post.id, kind=post.kind, reason=why[:80])

    async def _move(self, post: Post, chat_id: int) -> None:
        app = self._room.app
        async with app.db.transaction() as tx:
            await outbox.move_chat(tx, post.chat_id, chat_id)
            await chats.remember_migration(tx, old=post.chat_id, new=chat_id, now=app.clock.now())
        if post.chat_id == self._room.admin_chat.id:
            self._room.admin_chat.id = chat_id
        log.warning("chat_migrated", old=post.chat_id, new=chat_id)
