"""What a charge of a card brings to a subscription: its month, and the card that pays the next one.

YooKassa has no subscriptions. A month is paid by a payment of the subscription's first order, so that its price stays
the one that was agreed to; the months run by the calendar from the anchor day.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import changes, crediting, months, once, payment_methods, subscriptions
from billing.card_tables import card_renewals, renewal_tries
from billing.crediting import Credit, Paid
from billing.orders import Order
from billing.payments import YOOKASSA, Reason
from billing.subscriptions import Subscription
from billing.tables import subscription_periods as periods
from billing.tables import subscriptions as rows
from billing.yookassa.objects import SavedMethod


@dataclass(frozen=True, slots=True)
class Try:
    """A charge for a month that begins at `period_start`: of a card by itself, or (no `method_id`) by hand."""

    id: int
    subscription_id: int
    period_start: datetime
    number: int
    payment_id: int
    method_id: int | None
    judged_at: datetime | None


TRY: Final[sa.Select[Any]] = sa.select(
    renewal_tries.c.id,
    renewal_tries.c.subscription_id,
    renewal_tries.c.period_start,
    renewal_tries.c.number,
    renewal_tries.c.payment_id,
    renewal_tries.c.method_id,
    renewal_tries.c.judged_at,
)


async def try_of(connection: AsyncConnection, payment_id: int) -> Try | None:
    """Return the try that a payment is, None for the payment that began a subscription."""
    row = (await connection.execute(TRY.where(renewal_tries.c.payment_id == payment_id))).one_or_none()
    return Try(*row) if row else None


async def paid_until(connection: AsyncConnection, subscription_id: int) -> datetime | None:
    """Return where the paid time of a subscription ends: the next month begins there, whenever its charge arrives."""
    ends = await connection.execute(
        sa.select(sa.func.max(periods.c.ends_at)).where(
            periods.c.subscription_id == subscription_id, periods.c.kind != "grace"
        )
    )
    until: datetime | None = ends.scalar_one()
    return until


async def credit(
    tx: AsyncConnection, paid: Paid, order: Order, *, origin_id: int, saved: SavedMethod | None, now: datetime
) -> Credit:
    """Credit a month that was paid by card; the caller has locked the wallet and the order.

    `origin_id`: the payment that we asked for, which another one may have come instead of. `saved`: what its payer let
    be kept. What was charged beside what the person has goes back.
    """
    alive, ended = await subscriptions.lock_of_order(tx, order.id)
    begun = await try_of(tx, origin_id)
    if begun is not None:
        await note_judged(tx, begun.id, now)
    reason = await _refusal(tx, order, alive, ended, begun)
    if reason is not None:
        kept = await crediting.quarantine(tx, paid, order, reason, now=now)
        return replace(kept, refund_due=True)
    before = alive.status if alive else ""
    if alive is None:
        alive = await subscriptions.create(
            tx,
            person_id=order.person_id,
            plan_version_id=order.plan_version_id,
            provider=YOOKASSA,
            order_id=order.id,
            predecessor_id=ended.id if ended else None,
            now=now,
        )
        # What the person has of as good a plan is not lost: the month begins where that ends.
        starts = await once.starts_at(
            tx, person_id=order.person_id, plan_version_id=order.plan_version_id, behind="as_good", now=now
        )
        anchor = starts.day
        await tx.execute(sa.update(rows).where(rows.c.id == alive.id).values(anchor_day=anchor))
    else:
        anchor = await _anchor(tx, alive.id)
        starts = await paid_until(tx, alive.id) or now
    ends = months.later(starts, months=1, anchor_day=anchor)
    extended = await subscriptions.add_paid_period(
        tx, alive, payment_id=paid.payment_id, first_charge_id=None, earliest=starts, ends_at=ends, now=now
    )
    assert extended is not None  # it begins where the paid time ends
    await _keep_card(tx, extended, ended, begun, saved, paid.payment_id, now)
    if not await _renews_on(tx, order, extended, before, begun, saved):
        await subscriptions.stop_renewing(tx, extended.id, now=now)
    made = await crediting.period(
        tx, paid, order, subscription_id=extended.id, until=ends, first=begun is None, now=now
    )
    given_up = await subscriptions.end_grace(tx, person_id=order.person_id, now=now) if begun is None else []
    charges = [change.subscription.first_charge_id for change in given_up]
    return replace(made, cancel_charges=(*made.cancel_charges, *(charge for charge in charges if charge)))


async def note_judged(tx: AsyncConnection, try_id: int, now: datetime) -> bool:
    """Note that what follows a try is decided; True when it was open."""
    noted = await tx.execute(
        sa.update(renewal_tries)
        .where(renewal_tries.c.id == try_id, renewal_tries.c.judged_at.is_(None))
        .values(judged_at=now)
    )
    return noted.rowcount > 0


async def _refusal(
    tx: AsyncConnection, order: Order, alive: Subscription | None, ended: Subscription | None, begun: Try | None
) -> Reason | None:
    """Say why a charge cannot be credited, None if it can."""
    if begun is None and (alive or ended):
        return "second_subscription"  # the page was paid twice
    if alive is not None and begun is not None:
        if begun.subscription_id != alive.id or begun.period_start != await paid_until(tx, alive.id):
            return "period_covered"
        if begun.method_id is not None and await changes.is_replaced(tx, alive):
            return "second_subscription"  # it was under way while a better plan was paid
    if alive is None and ended is not None and ended.status == "revoked":
        return "subscription_revoked"
    renewing = await subscriptions.renewing(tx, person_id=order.person_id)
    if alive is None and renewing is not None and renewing.id != order.replaces_id:
        return "second_subscription"
    return None


async def _anchor(tx: AsyncConnection, subscription_id: int) -> int:
    return int((await tx.execute(sa.select(rows.c.anchor_day).where(rows.c.id == subscription_id))).scalar_one())


async def _keep_card(
    tx: AsyncConnection,
    subscription: Subscription,
    ended: Subscription | None,
    begun: Try | None,
    saved: SavedMethod | None,
    payment_id: int,
    now: datetime,
) -> None:
    """Note what pays the next month; nothing is announced or planned for it yet."""
    method_id = begun.method_id if begun else None
    if saved is not None:
        kept = await payment_methods.keep(tx, saved, person_id=subscription.person_id, payment_id=payment_id, now=now)
        method_id = kept.id
    nothing = {"announced_for": None, "announced_at": None, "next_at": None, "updated_at": now}
    if method_id is None:  # paid by hand with what was not kept: whatever was kept before stays
        await tx.execute(
            sa.update(card_renewals).where(card_renewals.c.subscription_id == subscription.id).values(nothing)
        )
        return
    values = {"method_id": method_id, **nothing}
    await tx.execute(
        insert(card_renewals)
        .values(subscription_id=subscription.id, **values)
        .on_conflict_do_update(index_elements=["subscription_id"], set_=values)
    )
    if ended is not None and ended.id != subscription.id:
        await tx.execute(sa.update(card_renewals).where(card_renewals.c.subscription_id == ended.id).values(nothing))


async def _renews_on(
    tx: AsyncConnection,
    order: Order,
    subscription: Subscription,
    before: str,
    begun: Try | None,
    saved: SavedMethod | None,
) -> bool:
    """Tell whether a subscription that was just paid goes on to renew."""
    kept = (await payment_methods.of_person(tx, person_id=subscription.person_id)).get(subscription.id)
    other = await subscriptions.other_renewing(tx, subscription)
    if kept is None or not kept.active or (other is not None and other.id != order.replaces_id):
        return False
    by_hand = begun is None or begun.method_id is None
    # Whoever cancelled while their card was being charged has this month, and no more; so has whoever went without
    # meanwhile. Unless they paid it themselves.
    return (by_hand and saved is not None) or before in ("active", "past_due")
