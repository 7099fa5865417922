"""Whom to tell of what Telegram charges: each coming charge, and each grace that began, is returned once."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.payments import STARS
from billing.subscriptions import Subscription, of_ids
from billing.tables import subscription_periods, subscriptions


async def take_renewals(tx: AsyncConnection, *, now: datetime, within: timedelta, limit: int) -> list[Subscription]:
    """Return the subscriptions that Telegram charges within a time from now and whose persons were not told yet.

    They count as told with this transaction: each charge is returned once. Cards are billing.card_renewals' matter.
    """
    charges = (subscriptions.c.status == "active", subscriptions.c.provider == STARS)
    return await _take(tx, limit, *charges, subscriptions.c.until.between(now, now + within))


async def take_grace(tx: AsyncConnection, *, now: datetime, after: timedelta, limit: int) -> list[Subscription]:
    """Return the subscriptions in grace since `after` or longer whose persons were not told yet; as `take_renewals`."""
    grace = sa.select(subscription_periods.c.id).where(
        subscription_periods.c.subscription_id == subscriptions.c.id,
        subscription_periods.c.kind == "grace",
        subscription_periods.c.starts_at <= now - after,
        subscription_periods.c.ends_at > now,
    )
    return await _take(
        tx, limit, subscriptions.c.status == "past_due", subscriptions.c.provider == STARS, grace.exists()
    )


async def _take(tx: AsyncConnection, limit: int, *conditions: sa.ColumnElement[bool]) -> list[Subscription]:
    untold = (
        sa.select(subscriptions.c.id)
        .where(*conditions, subscriptions.c.told_until.is_distinct_from(subscriptions.c.until))
        .order_by(subscriptions.c.until)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    chosen = (await tx.execute(untold)).scalars().all()
    await tx.execute(
        sa.update(subscriptions).where(subscriptions.c.id.in_(chosen)).values(told_until=subscriptions.c.until)
    )
    return await of_ids(tx, chosen)
