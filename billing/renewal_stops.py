"""Renewals that Forma itself stopped: the person blocked the bot for long, or is being forgotten."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import subscriptions
from billing.subscriptions import Subscription
from billing.tables import subscriptions as subscriptions_table
from kit.db import metadata

Reason = Literal["blocked", "deleted"]
# In grace Telegram goes on trying to charge.
CHARGING: Final = ("active", "past_due")

renewal_stops = sa.Table(
    "renewal_stops",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("subscription_id", sa.BigInteger, sa.ForeignKey("subscriptions.id"), nullable=False),
    sa.Column("person_id", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("told_at", sa.DateTime(timezone=True)),
    sa.Index(
        "ix_renewal_stops_untold", "person_id", postgresql_where=sa.text("told_at IS NULL AND reason = 'blocked'")
    ),
    sa.Index("ix_renewal_stops_subscription_id", "subscription_id"),
)


@dataclass(frozen=True, slots=True)
class Stop:
    """A renewal that was stopped at `at`; `subscription` is as it is now."""

    id: int
    at: datetime
    subscription: Subscription


async def stop_all(tx: AsyncConnection, *, person_id: int, reason: Reason, now: datetime) -> list[Stop]:
    """Let none of a person's subscriptions charge again, at whatever provider; return those that would have.

    What was paid for stays until its end. The caller tells the provider. Idempotent: what was stopped is not returned.
    """
    chosen = (
        sa.select(subscriptions_table.c.id)
        .where(
            subscriptions_table.c.person_id == person_id,
            subscriptions_table.c.provider != "house",
            subscriptions_table.c.status.in_(CHARGING),
        )
        .order_by(subscriptions_table.c.id)
        .with_for_update(key_share=True)
    )
    stops = []
    for subscription_id in (await tx.execute(chosen)).scalars().all():
        # Grace ends by itself within days, and its end is told; only what would renew has to be turned.
        active = (subscriptions_table.c.id == subscription_id, subscriptions_table.c.status == "active")
        turned = await tx.execute(
            sa.update(subscriptions_table).where(*active).values(status="cancel_scheduled", updated_at=now)
        )
        if not turned.rowcount and await _stopped_already(tx, subscription_id, reason):
            continue
        row = sa.insert(renewal_stops).values(
            subscription_id=subscription_id, person_id=person_id, reason=reason, at=now
        )
        stop_id = (await tx.execute(row.returning(renewal_stops.c.id))).scalar_one()
        after = await subscriptions.find(tx, subscription_id)
        assert after is not None
        stops.append(Stop(stop_id, now, after))
    return stops


async def take_untold(tx: AsyncConnection, *, person_id: int, now: datetime) -> list[Stop]:
    """Return the stops that a person who blocked the bot does not know of yet; they count as told with `tx`."""
    told = (
        sa.update(renewal_stops)
        .where(
            renewal_stops.c.person_id == person_id,
            renewal_stops.c.reason == "blocked",
            renewal_stops.c.told_at.is_(None),
        )
        .values(told_at=now)
        .returning(renewal_stops.c.id, renewal_stops.c.at, renewal_stops.c.subscription_id)
    )
    stops = []
    for stop_id, at, subscription_id in sorted((await tx.execute(told)).all()):
        found = await subscriptions.find(tx, subscription_id)
        assert found is not None
        stops.append(Stop(stop_id, at, found))
    return stops


async def _stopped_already(tx: AsyncConnection, subscription_id: int, reason: Reason) -> bool:
    same = (renewal_stops.c.subscription_id == subscription_id, renewal_stops.c.reason == reason)
    return (await tx.execute(sa.select(renewal_stops.c.id).where(*same).limit(1))).one_or_none() is not None
