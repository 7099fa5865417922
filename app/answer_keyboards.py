"""Answer keyboards: under which message of a chat the buttons of its newest answer stand."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata

answer_keyboards = sa.Table(
    "answer_keyboards",
    metadata,
    sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("thread_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("message_id", sa.BigInteger, nullable=False),
)


async def move(tx: AsyncConnection, *, chat_id: int, thread_id: int, message_id: int) -> int | None:
    """Note where a chat's (a topic's) answer buttons stand now; returns the message that they stood under before."""
    before: int | None = await tx.scalar(
        sa.text(
            """
            WITH before AS (
                SELECT message_id FROM answer_keyboards WHERE chat_id = :chat AND thread_id = :thread
            )
            INSERT INTO answer_keyboards (chat_id, thread_id, message_id) VALUES (:chat, :thread, :message)
            ON CONFLICT (chat_id, thread_id) DO UPDATE SET message_id = excluded.message_id
            RETURNING (SELECT message_id FROM before)
            """
        ),
        {"chat": chat_id, "thread": thread_id, "message": message_id},
    )
    return None if before == message_id else before


async def forget(tx: AsyncConnection, *, chat_id: int) -> None:
    """Forget where a chat's answer buttons stand."""
    await tx.execute(sa.text("DELETE FROM answer_keyboards WHERE chat_id = :chat"), {"chat": chat_id})
