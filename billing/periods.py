"""Periods of a subscription: stretches of time that give access. They never overlap; a paid one names its payment."""

from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.tables import subscription_periods as periods

Kind = Literal["paid", "trial", "grace", "granted"]


async def add(
    tx: AsyncConnection,
    *,
    subscription_id: int,
    person_id: int,
    plan_version_id: int,
    kind: Kind,
    starts_at: datetime,
    ends_at: datetime,
    payment_id: int | None,
    now: datetime,
) -> None:
    """Add a period; the database refuses one that overlaps another."""
    await tx.execute(
        sa.insert(periods).values(
            subscription_id=subscription_id,
            person_id=person_id,
            plan_version_id=plan_version_id,
            kind=kind,
            starts_at=starts_at,
            ends_at=ends_at,
            payment_id=payment_id,
            created_at=now,
        )
    )


async def free_from(
    tx: AsyncConnection, subscription_id: int, *, ends_at: datetime, earliest: datetime
) -> datetime | None:
    """Return where a period that ends at `ends_at` may begin, None if a bought one reaches there already.

    Grace counts as free: see `give_way`.
    """
    bought = (
        await tx.execute(
            sa.select(sa.func.max(periods.c.ends_at)).where(
                periods.c.subscription_id == subscription_id,
                periods.c.kind != "grace",
                periods.c.ends_at > earliest,
                periods.c.starts_at < ends_at,
            )
        )
    ).scalar_one()
    starts_at = max(earliest, bought or earliest)
    return starts_at if starts_at < ends_at else None


async def give_way(tx: AsyncConnection, subscription_id: int, *, starts_at: datetime, ends_at: datetime) -> None:
    """Take grace out of a stretch of time that is to be a bought period."""
    grace = (
        periods.c.subscription_id == subscription_id,
        periods.c.kind == "grace",
        periods.c.ends_at > starts_at,
        periods.c.starts_at < ends_at,
    )
    await tx.execute(sa.delete(periods).where(*grace, periods.c.starts_at >= starts_at))
    await tx.execute(sa.update(periods).where(*grace).values(ends_at=starts_at))


async def cut(
    tx: AsyncConnection, subscription_id: int, *, now: datetime, kind: Kind | None = None, period_id: int | None = None
) -> None:
    """End a subscription's periods now: all of them, those of a kind, or one. What has not begun is removed."""
    chosen = [periods.c.subscription_id == subscription_id, periods.c.ends_at > now]
    if kind is not None:
        chosen.append(periods.c.kind == kind)
    if period_id is not None:
        chosen.append(periods.c.id == period_id)
    await tx.execute(sa.delete(periods).where(*chosen, periods.c.starts_at >= now))
    await tx.execute(sa.update(periods).where(*chosen).values(ends_at=now))
