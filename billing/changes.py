"""Changing plans: a better one takes the place of one that renews, a cheaper one follows when the paid time ends.

Telegram has no proration and no way for us to resume what we stopped, so the new plan is paid first and the old
renewal stopped by that payment: whoever does not pay loses nothing. See docs/decisions/plan-changes.md.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import subscriptions
from billing.orders import Order
from billing.subscriptions import Subscription
from billing.tables import orders
from billing.tables import subscriptions as rows


async def stop_replaced(tx: AsyncConnection, order: Order, *, now: datetime) -> Subscription | None:
    """End the renewal of what a paid order replaces; None when it had none any more. Its time and tokens stay.

    The caller stops it at the provider.
    """
    if order.replaces_id is None:
        return None
    stopped = await tx.execute(
        sa.update(rows)
        .where(rows.c.id == order.replaces_id, rows.c.person_id == order.person_id, rows.c.status == "active")
        .values(status="cancel_scheduled", updated_at=now)
        .returning(rows.c.id)
    )
    stopped_id = stopped.scalar_one_or_none()
    return None if stopped_id is None else await subscriptions.find(tx, stopped_id)


async def is_replaced(connection: AsyncConnection, subscription: Subscription) -> bool:
    """Whether another plan was paid in this one's place, so that a charge for it is taken by mistake.

    One that its person resumed since then renews rightly.
    """
    if subscription.status == "active":
        return False
    paid = sa.select(orders.c.id).where(orders.c.replaces_id == subscription.id, orders.c.status == "paid")
    return (await connection.execute(paid.limit(1))).one_or_none() is not None


async def choose_next(tx: AsyncConnection, subscription_id: int, *, plan_id: str, now: datetime) -> None:
    """Remember the plan that is offered when a subscription's paid time ends."""
    await tx.execute(sa.update(rows).where(rows.c.id == subscription_id).values(next_plan_id=plan_id, updated_at=now))
