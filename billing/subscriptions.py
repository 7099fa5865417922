"""Subscriptions: a state machine beside the periods that give access.

    incomplete → trialing | active
    active ⇄ cancel_scheduled → expired
    active → past_due (grace) → active | expired
    any of these → revoked (refund, chargeback)

Access is exactly what the periods cover; the status says what happens next. Expired and revoked rows never revive: a
renewal that arrives late opens a successor. The provider's expiry is authoritative for Stars.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.tables import orders, plan_versions, plans, subscription_periods, subscriptions

GRACE: Final = timedelta(days=3)
# Telegram's only period of a Stars subscription.
STARS_PERIOD: Final = timedelta(days=30)
TERMINAL: Final = ("expired", "revoked")

StarsState = Literal["canceled", "active", "failed"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription. `until`: the end of what its periods cover; `renews`: the provider will charge again."""

    id: int
    person_id: int
    plan_id: str
    titles: dict[str, str]
    plan_version_id: int
    provider: str
    order_id: int | None
    payload: str | None
    amount: int | None
    currency: str | None
    first_charge_id: str | None
    status: str
    until: datetime | None

    @property
    def renews(self) -> bool:
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class Change:
    """A subscription that went from one status to another; `subscription` is as it is now."""

    subscription: Subscription
    before: str

    @property
    def after(self) -> str:
        return self.subscription.status


_SELECT: Final[sa.Select[Any]] = (
    sa.select(
        subscriptions.c.id,
        subscriptions.c.person_id,
        plans.c.id.label("plan_id"),
        plans.c.titles,
        subscriptions.c.plan_version_id,
        subscriptions.c.provider,
        subscriptions.c.order_id,
        orders.c.payload,
        orders.c.amount,
        orders.c.currency,
        subscriptions.c.first_charge_id,
        subscriptions.c.status,
        subscriptions.c.until,
    )
    .join(plan_versions, plan_versions.c.id == subscriptions.c.plan_version_id)
    .join(plans, plans.c.id == plan_versions.c.plan_id)
    .outerjoin(orders, orders.c.id == subscriptions.c.order_id)
)
_LIVING: Final = subscriptions.c.status.not_in(TERMINAL)


async def renewing(connection: AsyncConnection, *, person_id: int) -> Subscription | None:
    """Return the person's subscription that will charge again, None if there is none."""
    return await _first(
        connection, subscriptions.c.person_id == person_id, subscriptions.c.status == "active", order=True
    )


async def living(connection: AsyncConnection, *, person_id: int) -> list[Subscription]:
    """Return the person's subscriptions that have not ended, the best plan first."""
    rows = await connection.execute(
        _SELECT.where(subscriptions.c.person_id == person_id, _LIVING).order_by(
            plan_versions.c.weight.desc(), subscriptions.c.until.desc().nulls_last()
        )
    )
    return [Subscription(*row) for row in rows]


async def find(connection: AsyncConnection, subscription_id: int) -> Subscription | None:
    """Return a subscription by id."""
    return await _first(connection, subscriptions.c.id == subscription_id)


async def lock_of_order(tx: AsyncConnection, order_id: int) -> tuple[Subscription | None, Subscription | None]:
    """Return (the order's living subscription, its latest ended one), locked until the transaction ends."""
    await tx.execute(
        sa.select(subscriptions.c.id).where(subscriptions.c.order_id == order_id).with_for_update(key_share=True)
    )
    alive = await _first(tx, subscriptions.c.order_id == order_id, _LIVING)
    ended = await _first(tx, subscriptions.c.order_id == order_id, subscriptions.c.status.in_(TERMINAL), order=True)
    return alive, ended


async def create(
    tx: AsyncConnection,
    *,
    person_id: int,
    plan_version_id: int,
    provider: str,
    order_id: int | None,
    predecessor_id: int | None,
    now: datetime,
) -> Subscription:
    """Add a subscription as `incomplete`; a first period activates it."""
    subscription_id = (
        await tx.execute(
            sa.insert(subscriptions)
            .values(
                person_id=person_id,
                plan_version_id=plan_version_id,
                provider=provider,
                order_id=order_id,
                predecessor_id=predecessor_id,
                status="incomplete",
                created_at=now,
                updated_at=now,
            )
            .returning(subscriptions.c.id)
        )
    ).scalar_one()
    created = await find(tx, subscription_id)
    assert created is not None
    return created


async def add_paid_period(
    tx: AsyncConnection,
    subscription: Subscription,
    *,
    payment_id: int,
    first_charge_id: str | None,
    ends_at: datetime,
    length: timedelta,
    now: datetime,
) -> Subscription | None:
    """Add the period that a payment bought, ending when the provider says; None when another one covers that time.

    It begins where the period before it ended, or `length` before its end, or now: whichever leaves no overlap and
    gives no more than was bought. Grace within it gives way. Payments may come in any order.
    """
    starts_at = await _free_from(tx, subscription.id, ends_at, min(now, ends_at - length))
    if starts_at is None:
        return None
    # Grace is replaced by what was paid for after all.
    grace = (
        subscription_periods.c.subscription_id == subscription.id,
        subscription_periods.c.kind == "grace",
        subscription_periods.c.ends_at > starts_at,
        subscription_periods.c.starts_at < ends_at,
    )
    await tx.execute(sa.delete(subscription_periods).where(*grace, subscription_periods.c.starts_at >= starts_at))
    await tx.execute(sa.update(subscription_periods).where(*grace).values(ends_at=starts_at))
    await _add_period(tx, subscription, "paid", starts_at, ends_at, now, payment_id=payment_id)
    values: dict[str, object] = {}
    if first_charge_id is not None and subscription.first_charge_id is None:
        values["first_charge_id"] = first_charge_id
    if subscription.until is None or ends_at > subscription.until:
        values["status"] = "active"
    return await _update(tx, subscription.id, now, **values)


async def apply_stars_update(tx: AsyncConnection, *, payload: str, state: StarsState, now: datetime) -> Change | None:
    """Follow Telegram's word on a subscription; None when it changes nothing or names no living subscription.

    canceled: it will not renew. active: it will again. failed: the charge failed, and grace begins where the paid
    time ends. Whatever was paid stays until its end.
    """
    order_id = (await tx.execute(sa.select(orders.c.id).where(orders.c.payload == payload))).scalar_one_or_none()
    if order_id is None:
        return None
    subscription, _ = await lock_of_order(tx, order_id)
    if subscription is None:
        return None
    match state, subscription.status:
        case "canceled", "active":
            after = await _update(tx, subscription.id, now, status="cancel_scheduled")
        case "active", "cancel_scheduled":
            after = await _update(tx, subscription.id, now, status="active")
        case "failed", "active":
            after = await _fall_due(tx, subscription, now)
        case _:
            return None
    return Change(after, subscription.status)


async def expire_due(tx: AsyncConnection, now: datetime, limit: int) -> list[Change]:
    """Move up to `limit` subscriptions whose covered time has ended: active into grace, the others to their end.

    A provider's renewal is often some minutes late; grace is what keeps a paying person's access meanwhile.
    """
    due = (
        await tx.execute(
            sa.select(subscriptions.c.id)
            .where(_LIVING, subscriptions.c.until <= now)
            .order_by(subscriptions.c.until)
            .limit(limit)
            .with_for_update(skip_locked=True, key_share=True)
        )
    ).scalars()
    changes = []
    for subscription_id in due.all():
        before = await find(tx, subscription_id)
        assert before is not None
        after = before
        if after.status == "active":
            after = await _fall_due(tx, after, now)
        if after.until is not None and after.until <= now:
            after = await _update(tx, after.id, now, status="expired")
        changes.append(Change(after, before.status))
    return changes


async def revoke_payment(tx: AsyncConnection, *, payment_id: int, now: datetime) -> Change | None:
    """Take back the access that a payment bought; the subscription ends unless another payment covers it."""
    period = (
        await tx.execute(sa.select(subscription_periods).where(subscription_periods.c.payment_id == payment_id))
    ).one_or_none()
    if period is None:
        return None
    await tx.execute(
        sa.select(subscriptions.c.id)
        .where(subscriptions.c.id == period.subscription_id)
        .with_for_update(key_share=True)
    )
    before = await find(tx, period.subscription_id)
    assert before is not None
    other = sa.select(subscription_periods.c.id).where(
        subscription_periods.c.subscription_id == period.subscription_id,
        subscription_periods.c.kind == "paid",
        subscription_periods.c.id != period.id,
        subscription_periods.c.ends_at > now,
    )
    covered = (await tx.execute(other.limit(1))).one_or_none() is not None
    ended = subscription_periods.c.id == period.id
    if not covered:
        # Grace that followed the refunded period falls with it.
        ended = subscription_periods.c.subscription_id == period.subscription_id
    await tx.execute(
        sa.update(subscription_periods)
        .where(ended, subscription_periods.c.ends_at > now)
        .values(ends_at=sa.func.greatest(subscription_periods.c.starts_at, now))
    )
    status = before.status if covered or before.status in TERMINAL else "revoked"
    return Change(await _update(tx, before.id, now, status=status), before.status)


async def _free_from(
    tx: AsyncConnection, subscription_id: int, ends_at: datetime, earliest: datetime
) -> datetime | None:
    """Return where a period that ends at `ends_at` may begin, None if a bought one reaches there already."""
    bought = (
        await tx.execute(
            sa.select(subscription_periods.c.starts_at, subscription_periods.c.ends_at)
            .where(
                subscription_periods.c.subscription_id == subscription_id,
                subscription_periods.c.kind != "grace",
                subscription_periods.c.ends_at > earliest,
                subscription_periods.c.starts_at < ends_at,
            )
            .order_by(subscription_periods.c.ends_at)
        )
    ).all()
    starts_at = max([earliest, *(period.ends_at for period in bought)])
    return starts_at if starts_at < ends_at else None


async def _fall_due(tx: AsyncConnection, subscription: Subscription, now: datetime) -> Subscription:
    assert subscription.until is not None  # only what was active once falls due
    until = subscription.until
    await _add_period(tx, subscription, "grace", until, until + GRACE, now)
    return await _update(tx, subscription.id, now, status="past_due")


async def _add_period(
    tx: AsyncConnection,
    subscription: Subscription,
    kind: str,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    *,
    payment_id: int | None = None,
) -> None:
    await tx.execute(
        sa.insert(subscription_periods).values(
            subscription_id=subscription.id,
            person_id=subscription.person_id,
            plan_version_id=subscription.plan_version_id,
            kind=kind,
            starts_at=starts_at,
            ends_at=ends_at,
            payment_id=payment_id,
            created_at=now,
        )
    )


async def _update(tx: AsyncConnection, subscription_id: int, now: datetime, **values: object) -> Subscription:
    """Write `values` and bring `until` to the end of the periods."""
    until = (
        sa.select(sa.func.max(subscription_periods.c.ends_at))
        .where(subscription_periods.c.subscription_id == subscription_id)
        .scalar_subquery()
    )
    await tx.execute(
        sa.update(subscriptions)
        .where(subscriptions.c.id == subscription_id)
        .values(until=until, updated_at=now, **values)
    )
    updated = await find(tx, subscription_id)
    assert updated is not None
    return updated


async def _first(
    connection: AsyncConnection, *conditions: sa.ColumnElement[bool], order: bool = False
) -> Subscription | None:
    query = _SELECT.where(*conditions)
    if order:
        query = query.order_by(subscriptions.c.id.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return Subscription(*row) if row else None
