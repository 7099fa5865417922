"""Renewals that must stop: nobody is charged for a bot that they blocked long ago, or after they were forgotten."""

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts import alert
from app.context import App
from app.notices import tell
from app.persons import persons
from app.purchase import EDIT_SUBSCRIPTION_METHOD
from billing import card_renewals, renewal_stops
from billing.payments import YOOKASSA
from billing.renewal_stops import Reason
from billing.subscriptions import Subscription
from billing.tables import subscriptions
from kit import outbox

log = structlog.get_logger(__name__)

# Shorter than Telegram's period of 30 days: whoever pays, blocks the bot and forgets is not charged a second time.
# Longer than a holiday from it.
BLOCKED_LONG: Final = timedelta(days=21)


async def stop_of_blocked(app: App, *, limit: int) -> int:
    """Stop the renewals of up to `limit` persons who blocked the bot long ago; return how many persons.

    Each in a transaction of its own, since each may have to wait for its person's other business.
    """
    now = app.clock.now()
    charging = sa.select(subscriptions.c.id).where(
        subscriptions.c.person_id == persons.c.id,
        subscriptions.c.provider != "house",
        # Telegram's grace is over within days and was tried before; an active one is what would charge. A card is
        # charged in grace as well.
        sa.or_(
            subscriptions.c.status == "active",
            sa.and_(subscriptions.c.status == "past_due", subscriptions.c.provider == YOOKASSA),
        ),
    )
    async with app.db.read() as connection:
        gone = await connection.execute(
            sa.select(persons.c.id)
            .where(persons.c.blocked_at <= now - BLOCKED_LONG, charging.exists())
            .order_by(persons.c.blocked_at)
            .limit(limit)
        )
    stopped = 0
    for person_id in gone.scalars().all():
        async with app.db.transaction() as tx:
            if await _blocked_still(tx, person_id, now):
                stopped += bool(await cancel_all(app, tx, person_id=person_id, reason="blocked", now=now))
    return stopped


async def cancel_all(app: App, tx: AsyncConnection, *, person_id: int, reason: Reason, now: datetime) -> int:
    """Cancel all renewals of a person, here and at their providers; return how many there were. Idempotent.

    What was paid for stays until its end. Whoever forgets a person (reason "deleted") calls this first; the calls to
    Telegram stand in the outbox under the person's id until they are made, so that must outlive the person's row.
    """
    stops = await renewal_stops.stop_all(tx, person_id=person_id, reason=reason, now=now)
    for stop in stops:
        subscription = stop.subscription
        log.info("renewal_stopped", subscription=subscription.id, person=person_id, reason=reason)
        if subscription.first_charge_id is not None:
            await call_off(tx, subscription, key=f"stop:{stop.id}", now=now)
        await card_renewals.forget_plan(tx, subscription.id, now=now)
        args = {"plan": subscription.titles, "until": _iso(subscription.until), "id": person_id, "reason": reason}
        key = f"alert:renewal-stopped:{stop.id}"
        await alert(app, tx, "admin-alert-renewal-stopped", args, dedup_key=key, now=now)
    return len(stops)


async def tell_stopped(tx: AsyncConnection, *, person_id: int, now: datetime) -> None:
    """Tell somebody who came back which renewals were stopped while they were away: once each."""
    for stop in await renewal_stops.take_untold(tx, person_id=person_id, now=now):
        subscription = stop.subscription
        args = {"plan": subscription.titles, "since": stop.at.isoformat(), "amount": subscription.amount}
        args["currency"] = subscription.currency
        await tell(tx, person_id, "renewal-stopped", args, str(stop.id), now)


async def call_off(tx: AsyncConnection, subscription: Subscription, *, key: str, now: datetime) -> None:
    """Let Telegram charge a subscription in Stars no more; `key` names the reason, and one call is made for each."""
    if subscription.provider != "stars" or subscription.first_charge_id is None:
        return
    data = {
        "user_id": subscription.person_id,
        "telegram_payment_charge_id": subscription.first_charge_id,
        "is_canceled": True,
    }
    await outbox.add(
        tx,
        kind=outbox.CALL,
        chat_id=subscription.person_id,
        payload={"method": EDIT_SUBSCRIPTION_METHOD, "data": data},
        dedup_key=f"cancel:{subscription.first_charge_id}:{key}",
        now=now,
    )


async def _blocked_still(tx: AsyncConnection, person_id: int, now: datetime) -> bool:
    """Look again, holding the person's row: they may have come back since."""
    query = sa.select(persons.c.blocked_at).where(persons.c.id == person_id).with_for_update(key_share=True)
    blocked_at: datetime | None = (await tx.execute(query)).scalar_one_or_none()
    return blocked_at is not None and blocked_at <= now - BLOCKED_LONG


def _iso(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
