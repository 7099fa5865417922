"""Commands of the operator that must be confirmed: what was asked, by whom, and what became of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata
from kit.errors import Rejected

CONFIRM_WITHIN = timedelta(minutes=10)

admin_requests = sa.Table(
    "admin_requests",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("actor_id", sa.BigInteger, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject_id", sa.BigInteger, nullable=False),
    sa.Column("details", JSONB, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("resolved_at", sa.DateTime(timezone=True)),
    sa.Column("confirmed", sa.Boolean),
    sa.CheckConstraint("(resolved_at IS NULL) = (confirmed IS NULL)", name="resolved_with_time"),
)


class RequestGone(Rejected):
    """The request is unknown, was resolved before, or is too old."""

    code = "admin-grant-expired"


class RequestOfAnother(Rejected):
    """Only whoever sent the command resolves it."""

    code = "toast-grant-other"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands, before it is resolved."""

    id: int
    actor_id: int
    action: str
    subject_id: int
    details: dict[str, Any]
    created_at: datetime


async def ask(
    tx: AsyncConnection, *, actor_id: int, action: str, subject_id: int, details: dict[str, Any], now: datetime
) -> int:
    """Store a request and return its id."""
    row_id: int = (
        await tx.execute(
            sa.insert(admin_requests)
            .values(actor_id=actor_id, action=action, subject_id=subject_id, details=details, created_at=now)
            .returning(admin_requests.c.id)
        )
    ).scalar_one()
    return row_id


async def waiting(
    connection: AsyncConnection, *, action: str, details: dict[str, Any], actors: Collection[int], now: datetime
) -> tuple[int, datetime] | None:
    """Return (id, since when) of the request of one of `actors` that can still be confirmed, the earliest one.

    `details` are among its own.
    """
    row = (
        await connection.execute(
            sa.select(admin_requests.c.id, admin_requests.c.created_at)
            .where(
                admin_requests.c.action == action,
                admin_requests.c.actor_id.in_(actors),
                admin_requests.c.details.contains(details),
                admin_requests.c.resolved_at.is_(None),
                admin_requests.c.created_at >= now - CONFIRM_WITHIN,
            )
            .order_by(admin_requests.c.id)
            .limit(1)
        )
    ).one_or_none()
    return (row.id, row.created_at) if row else None


async def resolve(
    tx: AsyncConnection,
    request_id: int,
    *,
    actions: Collection[str],
    actors: Collection[int],
    confirmed: bool,
    now: datetime,
) -> Request:
    """Resolve a request for one of `actions` that one of `actors` made, once, with its effect.

    Raises RequestGone, RequestOfAnother.
    """
    row = (
        await tx.execute(
            sa.select(admin_requests)
            .where(
                admin_requests.c.id == request_id,
                admin_requests.c.action.in_(actions),
                admin_requests.c.resolved_at.is_(None),
            )
            .with_for_update()
        )
    ).one_or_none()
    if row is None or (confirmed and now - row.created_at > CONFIRM_WITHIN):
        raise RequestGone
    if row.actor_id not in actors:
        raise RequestOfAnother
    await tx.execute(
        sa.update(admin_requests).where(admin_requests.c.id == request_id).values(resolved_at=now, confirmed=confirmed)
    )
    return Request(row.id, row.actor_id, row.action, row.subject_id, row.details, row.created_at)
