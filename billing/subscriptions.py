"""Subscriptions: a state machine beside the periods that give access.

    incomplete → trialing | active
    active ⇄ cancel_scheduled → expired
    active → past_due (grace) → active | expired
    any of these → revoked (refund, chargeback)

Access is exactly what the periods cover; the status says what happens next. Expired and revoked rows never revive: a
renewal that arrives late opens a successor. The provider's expiry is authoritative for Stars.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import periods
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
    order_kind: str | None
    next_plan_id: str | None

    @property
    def renews(self) -> bool:
        return self.status == "active"

    @property
    def once(self) -> bool:
        """Whether it is time that never renews: bought at once (billing.once), or given."""
        return self.order_kind == "once" or self.provider == "house"


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
        orders.c.kind.label("order_kind"),
        subscriptions.c.next_plan_id,
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


async def other_renewing(connection: AsyncConnection, mine: Subscription) -> Subscription | None:
    """Return another subscription of the person's that will charge again, None if there is none."""
    others = (subscriptions.c.person_id == mine.person_id, subscriptions.c.id != mine.id)
    return await _first(connection, *others, subscriptions.c.status == "active", order=True)


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
    # In one order for everybody: an order has several, once a late renewal opened a successor.
    every = sa.select(subscriptions.c.id).where(subscriptions.c.order_id == order_id).order_by(subscriptions.c.id)
    await tx.execute(every.with_for_update(key_share=True))
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
    earliest: datetime,
    ends_at: datetime,
    now: datetime,
) -> Subscription | None:
    """Add the period that a payment bought, ending when the provider says; None when another one covers that time.

    It begins at `earliest`, or where a bought period within that time ends. Grace within it gives way.
    Payments may come in any order, a renewal before the first one as well.
    """
    starts_at = await periods.free_from(tx, subscription.id, ends_at=ends_at, earliest=earliest)
    if starts_at is None:
        return None
    # Grace is replaced by what was paid for after all.
    await periods.give_way(tx, subscription.id, starts_at=starts_at, ends_at=ends_at)
    await _add_period(tx, subscription, "paid", starts_at, ends_at, now, payment_id=payment_id)
    values: dict[str, object] = {}
    if first_charge_id is not None and subscription.first_charge_id is None:
        values["first_charge_id"] = first_charge_id
    if subscription.until is None or ends_at > subscription.until:
        values["status"] = "active"
    return await _update(tx, subscription.id, now, **values)


async def apply_stars_update(
    tx: AsyncConnection, *, payload: str, person_id: int, state: StarsState, now: datetime
) -> Change | None:
    """Follow Telegram's word on a person's subscription; None when it says nothing new or names none of theirs.

    canceled: it will not renew. active: it will again. failed: the charge failed, and grace begins where the paid
    time ends; when that was reckoned already, the Change has the same status before and after. Whatever was paid
    stays until its end.
    """
    # Whoever paid somebody else's invoice has a subscription at Telegram with the same payload.
    mine = (orders.c.payload == payload, orders.c.person_id == person_id, orders.c.kind == "subscription")
    order_id = (await tx.execute(sa.select(orders.c.id).where(*mine))).scalar_one_or_none()
    if order_id is None:
        return None
    subscription, _ = await lock_of_order(tx, order_id)
    if subscription is None:
        return None
    match state, subscription.status:
        case "canceled", "active":
            after = await _update(tx, subscription.id, now, status="cancel_scheduled")
        case "active", "cancel_scheduled":
            after = await _update(tx, subscription.id, now, status="active", next_plan_id=None)
        case "failed", "active":
            after = await _fall_due(tx, subscription, now)
        case "failed", "past_due":
            after = subscription
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


async def of_ids(connection: AsyncConnection, ids: Collection[int]) -> list[Subscription]:
    """Return subscriptions by their ids, the oldest first."""
    rows = await connection.execute(_SELECT.where(subscriptions.c.id.in_(ids)).order_by(subscriptions.c.id))
    return [Subscription(*row) for row in rows]


async def end_grace(
    tx: AsyncConnection, *, person_id: int, now: datetime, subscription_id: int | None = None
) -> list[Change]:
    """End a person's grace, on one subscription or on all: they bought another one, or want the free plan.

    One whose paid time runs still (the provider said early that it will not renew) ends with that time.
    """
    mine = [subscriptions.c.person_id == person_id, subscriptions.c.status == "past_due"]
    if subscription_id is not None:
        mine.append(subscriptions.c.id == subscription_id)
    chosen = sa.select(subscriptions.c.id).where(*mine).order_by(subscriptions.c.id).with_for_update(key_share=True)
    found = await tx.execute(chosen)
    changes = []
    for one in found.scalars().all():
        await periods.cut(tx, one, kind="grace", now=now)
        after = await _update(tx, one, now)
        if after.until is not None and after.until <= now:
            after = await _update(tx, one, now, status="expired")
        changes.append(Change(after, "past_due"))
    return changes


async def stop_renewing(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> Subscription | None:
    """Let a subscription that renews end with its paid time; None when it did not renew."""
    before = await find(tx, subscription_id)
    if before is None or before.status != "active":
        return None
    return await _update(tx, subscription_id, now, status="cancel_scheduled")


async def renew_again(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> Subscription | None:
    """Let a subscription renew after all while its paid time runs; None when it had not been cancelled."""
    before = await find(tx, subscription_id)
    if before is None or before.status != "cancel_scheduled" or before.until is None or before.until <= now:
        return None
    return await _update(tx, subscription_id, now, status="active", next_plan_id=None)


async def fall_due(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> Subscription | None:
    """Begin the grace of a subscription whose charge failed; None when it does not renew, or grace runs already."""
    before = await find(tx, subscription_id)
    return await _fall_due(tx, before, now) if before is not None and before.status == "active" else None


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
    # With nothing else paid, grace that followed the refunded period falls with it.
    await periods.cut(tx, before.id, period_id=period.id if covered else None, now=now)
    status = before.status if covered or before.status in TERMINAL else "revoked"
    return Change(await _update(tx, before.id, now, status=status), before.status)


async def _fall_due(tx: AsyncConnection, subscription: Subscription, now: datetime) -> Subscription:
    assert subscription.until is not None  # only what was active once falls due
    until = subscription.until
    await _add_period(tx, subscription, "grace", until, until + GRACE, now)
    return await _update(tx, subscription.id, now, status="past_due")


async def _add_period(
    tx: AsyncConnection,
    subscription: Subscription,
    kind: periods.Kind,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    *,
    payment_id: int | None = None,
) -> None:
    await periods.add(
        tx,
        subscription_id=subscription.id,
        person_id=subscription.person_id,
        plan_version_id=subscription.plan_version_id,
        kind=kind,
        starts_at=starts_at,
        ends_at=ends_at,
        payment_id=payment_id,
        now=now,
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
