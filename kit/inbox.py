"""The inbox: everything that arrives from outside is a row before it is handled, and is acknowledged only then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import dumps, metadata, sql

TELEGRAM, YOOKASSA = "telegram", "yookassa"
# An update that fails this often is set aside with an alert, so that it cannot block those behind it.
ATTEMPTS_MAX = 3
# Telegram forgets unfetched updates after 24 h, so a replay of an older one cannot come.
KEEP_HANDLED = timedelta(days=2)
# How JSON writes the character NUL.
NUL_ESCAPED = "\\u0000"

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("dedup_key", sa.Text, nullable=False),
    sa.Column("body", JSONB, nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("handled_at", sa.DateTime(timezone=True)),
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("error", sa.Text),
    sa.UniqueConstraint("source", "dedup_key"),
    sa.Index("ix_inbox_open", "id", postgresql_where=sa.text("handled_at IS NULL")),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the inbox as a handler sees it."""

    id: int
    source: str
    dedup_key: str
    body: dict[str, Any]
    received_at: datetime
    attempts: int


_INSERT = sa.text(
    """
    INSERT INTO inbox (source, dedup_key, body, received_at)
    SELECT :source, key, body::jsonb, :now
    FROM unnest(CAST(:keys AS text[]), CAST(:bodies AS text[])) AS rows (key, body)
    ON CONFLICT (source, dedup_key) DO NOTHING
    RETURNING id, dedup_key
    """
)


async def store(
    tx: AsyncConnection, *, source: str, bodies: Sequence[tuple[str, dict[str, Any]]], now: datetime
) -> list[Item]:
    """Insert (dedup key, raw body) pairs; return the new ones in the order given. Known keys are skipped.

    The character NUL is left out: Postgres cannot store it, and one message must not stop those behind it.
    """
    if not bodies:
        return []
    bodies = [(key, _without_nul(body) if NUL_ESCAPED in dumps(body) else body) for key, body in bodies]
    result = await tx.execute(
        _INSERT,
        {
            "source": source,
            "keys": [key for key, _ in bodies],
            "bodies": [dumps(body) for _, body in bodies],
            "now": now,
        },
    )
    ids = {row.dedup_key: row.id for row in result}
    return [Item(ids[key], source, key, body, now, 0) for key, body in bodies if key in ids]


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


async def unhandled(connection: AsyncConnection, *, source: str, limit: int, after_id: int = 0) -> list[Item]:
    """Return open rows in the order of arrival: after a crash, or when another process stored them."""
    result = await connection.execute(
        sa.select(inbox.c.id, inbox.c.source, inbox.c.dedup_key, inbox.c.body, inbox.c.received_at, inbox.c.attempts)
        .where(inbox.c.handled_at.is_(None), inbox.c.source == source, inbox.c.id > after_id)
        .order_by(inbox.c.id)
        .limit(limit)
    )
    return [Item(*row) for row in result]


async def mark_handled(tx: AsyncConnection, item_id: int, *, now: datetime) -> bool:
    """Close a row within the transaction of its effect; False if another handler was first (then roll back)."""
    done = await tx.execute(
        sql("UPDATE inbox SET handled_at = :now WHERE id = :id AND handled_at IS NULL"),
        {"id": item_id, "now": now},
    )
    return done.rowcount == 1


async def mark_failed(tx: AsyncConnection, item_id: int, *, error: str, now: datetime) -> bool:
    """Count a failed attempt; True when the row was set aside because it reached ATTEMPTS_MAX."""
    attempts = await tx.scalar(
        sql(
            """
            UPDATE inbox SET attempts = attempts + 1, error = :error,
                   handled_at = CASE WHEN attempts + 1 >= :most THEN CAST(:now AS timestamptz) END
            WHERE id = :id AND handled_at IS NULL RETURNING attempts
            """
        ),
        {"id": item_id, "error": error[:500], "now": now, "most": ATTEMPTS_MAX},
    )
    return attempts is not None and attempts >= ATTEMPTS_MAX


async def blank(tx: AsyncConnection, *, source: str, chat_id: int, handling: int) -> int:
    """Empty a chat's handled messages and button presses, which hold people's words; payments stay as they came.

    The row that is being handled, `handling`, is emptied as well.

    Reads all rows of the last days, since nobody asks for them by chat but a person who deletes. Returns how many.
    """
    done = await tx.execute(
        sql(
            """
            UPDATE inbox SET body = '{}' WHERE source = :source AND (handled_at IS NOT NULL OR id = :handling) AND (
                CASE WHEN body ? 'message' THEN body #> '{message,chat,id}'
                     WHEN body ? 'edited_message' THEN body #> '{edited_message,chat,id}'
                     WHEN body ? 'callback_query' THEN body #> '{callback_query,message,chat,id}' END
                ) = to_jsonb(CAST(:chat AS bigint))
              AND NOT coalesce(body -> 'message', '{}') ?| ARRAY['successful_payment', 'refunded_payment']
            """
        ),
        {"source": source, "chat": chat_id, "handling": handling},
    )
    return done.rowcount


async def purge(tx: AsyncConnection, *, source: str, now: datetime, limit: int) -> int:
    """Delete handled rows older than KEEP_HANDLED: they hold people's words. Returns how many."""
    done = await tx.execute(
        sql(
            """
            DELETE FROM inbox WHERE id IN (
                SELECT id FROM inbox WHERE source = :source AND handled_at < :before ORDER BY id LIMIT :limit)
            """
        ),
        {"source": source, "before": now - KEEP_HANDLED, "limit": limit},
    )
    return done.rowcount
