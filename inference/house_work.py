"""What the house has to do for dialogs beside the answers: a title, a summary. A row each, so no crash forgets it.

A piece of work is claimed for a while; whoever finishes it removes its row. After TRIES_MAX failures it rests, and is
taken up again only when it is wanted anew and REST has passed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata

Kind = Literal["title", "summary"]

TRIES_MAX: Final = 3
CLAIM: Final = timedelta(minutes=3)
"""Longer than a call of the model may take; a worker that died with its claim is succeeded after so long."""

PAUSES: Final = (timedelta(seconds=20), timedelta(minutes=2))
REST: Final = timedelta(hours=1)

house_work = sa.Table(
    "house_work",
    metadata,
    sa.Column("dialog_id", sa.BigInteger, sa.ForeignKey("dialogs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("due_at", sa.DateTime(timezone=True)),
    sa.Column("tries", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("tried_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("kind IN ('title', 'summary')", name="kind_known"),
    sa.Index("ix_house_work_due_at", "due_at", postgresql_where=sa.text("due_at IS NOT NULL")),
)


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed piece of work. `tries` counts this one; `claimed_at` tells it from earlier claims of the same row."""

    dialog_id: int
    kind: Kind
    tries: int
    claimed_at: datetime


async def want(tx: AsyncConnection, *, dialog_id: int, kind: Kind, now: datetime) -> None:
    """Have something done soon; it changes nothing while the same is under way, waits for a retry or rests."""
    await tx.execute(
        sa.text(
            """
            INSERT INTO house_work (dialog_id, kind, due_at) VALUES (:dialog, :kind, :now)
            ON CONFLICT (dialog_id, kind) DO UPDATE SET due_at = :now, tries = 0
            WHERE house_work.due_at IS NULL AND house_work.tried_at <= :rested
            """
        ),
        {"dialog": dialog_id, "kind": kind, "now": now, "rested": now - REST},
    )


async def claim(tx: AsyncConnection, *, now: datetime, limit: int) -> list[Work]:
    """Take what is due, the oldest first, for CLAIM."""
    rows = await tx.execute(
        sa.text(
            """
            UPDATE house_work w SET due_at = :until, tries = w.tries + 1, tried_at = :now
            FROM (SELECT dialog_id, kind FROM house_work WHERE due_at <= :now
                  ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS due
            WHERE w.dialog_id = due.dialog_id AND w.kind = due.kind
            RETURNING w.dialog_id, w.kind, w.tries, w.tried_at
            """
        ),
        {"now": now, "until": now + CLAIM, "limit": limit},
    )
    return [Work(row.dialog_id, row.kind, row.tries, row.tried_at) for row in rows]


async def any_due(connection: AsyncConnection, *, now: datetime) -> bool:
    """Tell whether there is something to claim."""
    found: bool = (
        await connection.execute(sa.text("SELECT EXISTS (SELECT FROM house_work WHERE due_at <= :now)"), {"now": now})
    ).scalar_one()
    return found


async def done(tx: AsyncConnection, work: Work) -> None:
    """Remove a finished piece of work, unless another worker has claimed it meanwhile."""
    await tx.execute(
        sa.text(
            "DELETE FROM house_work WHERE dialog_id = :dialog AND kind = :kind AND tried_at IS NOT DISTINCT FROM :at"
        ),
        {"dialog": work.dialog_id, "kind": work.kind, "at": work.claimed_at},
    )


async def failed(tx: AsyncConnection, work: Work, *, now: datetime) -> None:
    """Put a piece of work off, each time for longer; after TRIES_MAX it rests."""
    due_at = now + PAUSES[min(work.tries, len(PAUSES)) - 1] if work.tries < TRIES_MAX else None
    await tx.execute(
        sa.text(
            """
            UPDATE house_work SET due_at = :due
            WHERE dialog_id = :dialog AND kind = :kind AND tried_at IS NOT DISTINCT FROM :at
            """
        ),
        {"due": due_at, "dialog": work.dialog_id, "kind": work.kind, "at": work.claimed_at},
    )


async def give_back(tx: AsyncConnection, work: Work, *, due_at: datetime) -> None:
    """Return a claim unused, to be taken from `due_at` on; it counts as no try."""
    await tx.execute(
        sa.text(
            """
            UPDATE house_work SET due_at = :due, tries = tries - 1
            WHERE dialog_id = :dialog AND kind = :kind AND tried_at IS NOT DISTINCT FROM :at
            """
        ),
        {"due": due_at, "dialog": work.dialog_id, "kind": work.kind, "at": work.claimed_at},
    )
