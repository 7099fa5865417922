"""The outbox: what must happen outside is a row written with its cause, and carried out until it succeeds.

Kinds and what a crash between the call and its record means for them:
    answer     a turn's final answer       sent again: at most one duplicate a kill
    notice     a message in words          sent again: at most one duplicate a kill
    alert      a message to the admin room sent again
    call       an idempotent Bot API call  made again
    broadcast  one of many                 becomes `unknown`, not sent again
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import dumps, metadata, sql

ANSWER, NOTICE, ALERT, CALL, BROADCAST = "answer", "notice", "alert", "call", "broadcast"
ATTEMPTS_MAX = 12
RETRY_FIRST_S, RETRY_MAX_S = 2.0, 300.0
KEEP_SENT = timedelta(days=7)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("chat_id", sa.BigInteger, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("dedup_key", sa.Text, unique=True),
    sa.Column("turn_id", sa.BigInteger),
    sa.Column("status", sa.Text, nullable=False, server_default="pending"),
    sa.Column("parts_sent", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("not_before", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    sa.Column("error", sa.Text),
    sa.CheckConstraint("kind IN ('answer', 'notice', 'alert', 'call', 'broadcast')", name="kind_known"),
    sa.CheckConstraint("status IN ('pending', 'sending', 'sent', 'failed', 'unknown')", name="status_known"),
    sa.Index("ix_outbox_open", "id", postgresql_where=sa.text("status IN ('pending', 'sending')")),
    sa.Index("ix_outbox_sent_at", "sent_at"),
)


@dataclass(frozen=True, slots=True)
class Post:
    """One row of the outbox: `payload` is what its kind's deliverer understands."""

    id: int
    kind: str
    chat_id: int
    payload: dict[str, Any]
    turn_id: int | None
    parts_sent: int
    attempts: int
    created_at: datetime


_INSERT = sa.text(
    """
    INSERT INTO outbox (kind, chat_id, payload, dedup_key, turn_id, not_before, created_at)
    VALUES (:kind, :chat_id, CAST(:payload AS jsonb), :dedup_key, :turn_id, :not_before, :now)
    ON CONFLICT (dedup_key) DO NOTHING RETURNING id
    """
)
_COLUMNS = "id, kind, chat_id, payload, turn_id, parts_sent, attempts, created_at"


async def add(
    tx: AsyncConnection,
    *,
    kind: str,
    chat_id: int,
    payload: dict[str, Any],
    now: datetime,
    dedup_key: str | None = None,
    turn_id: int | None = None,
    not_before: datetime | None = None,
) -> Post | None:
    """Write a post with its cause; None if `dedup_key` was written before."""
    new_id = await tx.scalar(
        _INSERT,
        {
            "kind": kind,
            "chat_id": chat_id,
            "payload": dumps(payload),
            "dedup_key": dedup_key,
            "turn_id": turn_id,
            "not_before": not_before,
            "now": now,
        },
    )
    return Post(new_id, kind, chat_id, payload, turn_id, 0, 0, now) if new_id is not None else None


async def known(connection: AsyncConnection, dedup_keys: Collection[str]) -> set[str]:
    """Return those of the keys that were written before, and have not been purged since."""
    rows = await connection.execute(
        sql("SELECT dedup_key FROM outbox WHERE dedup_key = ANY (CAST(:keys AS text[]))"),
        {"keys": list(dedup_keys)},
    )
    return set(rows.scalars())


async def due(
    connection: AsyncConnection, *, now: datetime, limit: int, exclude_chats: Sequence[int] = ()
) -> list[Post]:
    """Return open posts in order, `sending` ones of a crashed sender included, less those of `exclude_chats`.

    A chat that is being served is left out whole: what waits in it must not fill the batch before other chats' posts.
    """
    result = await connection.execute(
        sql(
            f"""
            SELECT {_COLUMNS} FROM outbox
            WHERE status IN ('pending', 'sending') AND (not_before IS NULL OR not_before <= :now)
              AND chat_id <> ALL (CAST(:busy AS bigint[]))
            ORDER BY id LIMIT :limit
            """  # noqa: S608 - a constant
        ),
        {"now": now, "limit": limit, "busy": list(exclude_chats)},
    )
    return [Post(*row) for row in result]


async def mark_sending(tx: AsyncConnection, post_ids: Sequence[int]) -> set[int]:
    """Commit the intent before the call. Returns the ids that are still open."""
    result = await tx.execute(
        sql(
            """
            UPDATE outbox SET status = 'sending', attempts = attempts + 1
            WHERE id = ANY (CAST(:ids AS bigint[])) AND status IN ('pending', 'sending') RETURNING id
            """
        ),
        {"ids": list(post_ids)},
    )
    return {row.id for row in result}


async def mark_part(tx: AsyncConnection, post_id: int, parts_sent: int) -> None:
    """Record that the first `parts_sent` messages of a long answer are out, so that a retry goes on behind them."""
    await tx.execute(sql("UPDATE outbox SET parts_sent = :parts WHERE id = :id"), {"id": post_id, "parts": parts_sent})


async def mark_sent(tx: AsyncConnection, post_id: int, *, now: datetime) -> None:
    await tx.execute(
        sql("UPDATE outbox SET status = 'sent', sent_at = :now, error = NULL WHERE id = :id"),
        {"id": post_id, "now": now},
    )


async def mark_retry(tx: AsyncConnection, post_id: int, *, attempts: int, error: str, now: datetime) -> bool:
    """Put a post back with growing delay; after ATTEMPTS_MAX it is `failed` and False is returned."""
    again = attempts + 1 < ATTEMPTS_MAX
    delay_s = min(RETRY_FIRST_S * 2**attempts, RETRY_MAX_S)
    await tx.execute(
        sql("UPDATE outbox SET status = :status, not_before = :at, error = :error, sent_at = :done WHERE id = :id"),
        {
            "id": post_id,
            "status": "pending" if again else "failed",
            "at": now + timedelta(seconds=delay_s),
            "error": error[:500],
            "done": None if again else now,
        },
    )
    return again


async def mark_failed(tx: AsyncConnection, post_id: int, *, error: str, now: datetime, status: str = "failed") -> None:
    """Close a post that cannot be delivered (the person blocked the bot, Telegram refuses it for good)."""
    await tx.execute(
        sql("UPDATE outbox SET status = :status, sent_at = :now, error = :error WHERE id = :id"),
        {"id": post_id, "status": status, "now": now, "error": error[:500]},
    )


async def send_again(
    tx: AsyncConnection, chat_id: int, *, error: str, now: datetime, notices: Sequence[str] = ()
) -> int:
    """Put a chat's answers, and the `notices` of these keys, that failed by `error` back, while they are kept."""
    done = await tx.execute(
        sql(
            """
            UPDATE outbox SET status = 'pending', attempts = 0, not_before = NULL, sent_at = NULL, error = NULL
            WHERE chat_id = :chat AND status = 'failed' AND error = :error AND sent_at > :since
              AND (kind = 'answer' OR payload ->> 'notice' = ANY (CAST(:notices AS text[])))
            """
        ),
        {"chat": chat_id, "error": error, "since": now - KEEP_SENT, "notices": list(notices)},
    )
    return done.rowcount


async def move_chat(tx: AsyncConnection, chat_id: int, new_chat_id: int) -> None:
    """Send what is open for a group to the supergroup that it became."""
    await tx.execute(
        sql(
            """
            UPDATE outbox SET chat_id = :new, status = 'pending',
                   payload = CASE WHEN payload #> '{data,chat_id}' IS NULL THEN payload
                                  ELSE jsonb_set(payload, '{data,chat_id}', to_jsonb(CAST(:new AS bigint))) END
            WHERE chat_id = :old AND status IN ('pending', 'sending')
            """
        ),
        {"old": chat_id, "new": new_chat_id},
    )


async def drop_chat(tx: AsyncConnection, chat_id: int, *, error: str, now: datetime) -> None:
    """Close what is open for a chat that nothing can be sent to any more."""
    await tx.execute(
        sql(
            """
            UPDATE outbox SET status = 'failed', sent_at = :now, error = :error
            WHERE chat_id = :chat AND status IN ('pending', 'sending')
            """
        ),
        {"chat": chat_id, "error": error, "now": now},
    )


async def oldest_age_s(connection: AsyncConnection, *, now: datetime) -> float:
    """Return the age of the oldest open post in seconds, 0 when nothing waits."""
    oldest = await connection.scalar(
        sql("SELECT created_at FROM outbox WHERE status IN ('pending', 'sending') ORDER BY id LIMIT 1")
    )
    return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


async def waiting(connection: AsyncConnection, *, now: datetime) -> tuple[int, float]:
    """Return how many posts are open, and the age of the oldest in seconds."""
    row = (
        await connection.execute(
            sql(
                "SELECT count(*) AS posts, min(created_at) AS oldest FROM outbox WHERE status IN ('pending', 'sending')"
            )
        )
    ).one()
    return row.posts, max(0.0, (now - row.oldest).total_seconds()) if row.oldest else 0.0


async def blank_sent(tx: AsyncConnection, chat_id: int) -> int:
    """Empty a chat's messages that went out in words of ours: they may quote what a person has deleted."""
    done = await tx.execute(
        sql(
            """
            UPDATE outbox SET payload = '{}'
            WHERE chat_id = :chat AND status = 'sent' AND payload ->> 'method' IN ('sendMessage', 'editMessageText')
            """
        ),
        {"chat": chat_id},
    )
    return done.rowcount


async def purge(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Delete closed posts older than KEEP_SENT: they hold people's words. Returns how many."""
    done = await tx.execute(
        sql(
            """
            DELETE FROM outbox WHERE id IN (
                SELECT id FROM outbox WHERE sent_at < :before ORDER BY sent_at LIMIT :limit)
            """
        ),
        {"before": now - KEEP_SENT, "limit": limit},
    )
    return done.rowcount
