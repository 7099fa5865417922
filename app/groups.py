"""Groups: how often one may ask, what becomes of it when Telegram gives it a new id, and how it is forgotten."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa
import structlog
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import answer_keyboards, dialog_deletion
from app.context import App
from kit import chats, outbox
from kit.errors import RateLimited

log = structlog.get_logger(__name__)

# Beside each person's own limits: Telegram lets a bot write 20 messages a minute into a group, and an answer with its
# preview takes about three.
QUESTIONS_MAX: Final = 6
QUESTIONS_WINDOW_S: Final = 60


async def count_question(app: App, chat_id: int) -> None:
    """Count a question of a group; raises RateLimited('group'). Without Redis nobody is held up."""
    key = f"forma:group-questions:{chat_id}"
    try:
        async with app.redis.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, ex=QUESTIONS_WINDOW_S, nx=True)
            pipe.incr(key)
            pipe.ttl(key)
            _, asked, left_s = await pipe.execute()
    except (RedisError, OSError) as error:
        log.warning("group_questions_not_counted", chat=chat_id, error=type(error).__name__)
        return
    if asked > QUESTIONS_MAX:
        raise RateLimited(limit="group", retry_after_s=max(1, left_s))


async def migrate(tx: AsyncConnection, *, old: int, new: int, now: datetime) -> None:
    """Move a group's dialogs to the supergroup that it became; told again, it changes nothing.

    The supergroup numbers its messages from one, so the old numbers are given up: a new message must not be taken for
    one that is known. A dialog that has begun there already stays the active one.
    """
    await chats.remember_migration(tx, old=old, new=new, now=now)
    for statement in (
        """
        UPDATE dialogs d SET active = false WHERE d.chat_id = :old AND d.active AND EXISTS (
            SELECT FROM dialogs n WHERE n.chat_id = :new AND n.thread_id = d.thread_id AND n.active)
        """,
        """
        UPDATE messages SET chat_id = :new, message_id = NULL
        WHERE dialog_id IN (SELECT id FROM dialogs WHERE chat_id = :old)
        """,
        "UPDATE turns SET chat_id = :new, reply_to_message_id = NULL WHERE chat_id = :old",
        "UPDATE dialogs SET chat_id = :new WHERE chat_id = :old",
    ):
        await tx.execute(sa.text(statement), {"old": old, "new": new})
    await answer_keyboards.forget(tx, chat_id=old)
    await outbox.move_chat(tx, old, new)


async def forget(app: App, chat_id: int) -> None:
    """Forget what a group said and was answered: the bot was removed from it. What was charged stays in the books.

    Answers that are being written are stopped and discarded. Idempotent.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        known = await tx.execute(
            sa.text("SELECT id FROM dialogs WHERE chat_id = :chat AND deleted_at IS NULL"), {"chat": chat_id}
        )
        dialog_ids = [row.id for row in known]
        open_turns = await dialog_deletion.erase(app, tx, chat_id=chat_id, dialog_ids=dialog_ids)
        await answer_keyboards.forget(tx, chat_id=chat_id)
        await outbox.drop_chat(tx, chat_id, error="the bot was removed", now=now)
    await dialog_deletion.stop(app, chat_id=chat_id, turn_ids=open_turns)
    log.info("group_forgotten", chat=chat_id, dialogs=len(dialog_ids), turns=len(open_turns))
