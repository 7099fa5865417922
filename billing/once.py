"""Paid time that does not renew: a year, or months as a gift. Its tokens come month by month, on the anchor day.

The months are planned when the time begins, and each is granted once. What is granted names its payment, so that a
refund takes it back and ends the months that are still due. See docs/decisions/years-and-gifts.md.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import ledger, lots, months, periods, refund_parts, subscriptions
from billing.lots import ROLL_OVER
from billing.subscriptions import Subscription
from billing.tables import payments, plan_versions, refunds
from billing.tables import subscription_months as planned
from billing.tables import subscription_periods as all_periods
from billing.tables import subscriptions as rows

# After what new time begins: after all that the person has, or after what is at least as good and not before.
Behind = Literal["all", "as_good"]


@dataclass(frozen=True, slots=True)
class Begun:
    """Paid time as it was added: from `starts_at`, which may lie ahead, to `ends_at`."""

    subscription: Subscription
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Granted:
    """Months that were granted together: their `tokens`, less what parts refunded took, which lapse at `until`."""

    subscription: Subscription
    tokens: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Outlook:
    """What comes of a person's paid time: when it begins, and when the next tokens do (None: there are no more)."""

    starts_at: datetime
    tokens_at: datetime | None
    tokens: int


async def starts_at(
    connection: AsyncConnection, *, person_id: int, plan_version_id: int, behind: Behind, now: datetime
) -> datetime:
    """Return when a person's new paid time begins: now, or where what they have ends. Grace delays nothing."""
    weight = sa.select(plan_versions.c.weight).where(plan_versions.c.id == plan_version_id).scalar_subquery()
    has = [all_periods.c.person_id == person_id, all_periods.c.kind != "grace", all_periods.c.ends_at > now]
    if behind == "as_good":
        has.append(plan_versions.c.weight >= weight)
    ends = await connection.scalar(
        sa.select(sa.func.max(all_periods.c.ends_at))
        .join(plan_versions, plan_versions.c.id == all_periods.c.plan_version_id)
        .where(*has)
    )
    return max(now, ends) if ends else now


async def begin(
    tx: AsyncConnection,
    *,
    person_id: int,
    order_id: int | None,
    plan_version_id: int,
    payment_id: int,
    tokens: int,
    count: int,
    behind: Behind,
    now: datetime,
) -> Begun:
    """Add `count` months of a plan, `tokens` each, that a payment bought; grant the first if it begins now.

    The caller has locked the person's wallet. An order that is paid again adds its months to the ones before. Without
    an order it is a gift: the order is the giver's.
    """
    begins = await starts_at(tx, person_id=person_id, plan_version_id=plan_version_id, behind=behind, now=now)
    anchor = begins.day
    ends = months.later(begins, months=count, anchor_day=anchor)
    alive, ended = (None, None) if order_id is None else await subscriptions.lock_of_order(tx, order_id)
    if alive is None:
        paid_by = await tx.scalar(sa.select(payments.c.provider).where(payments.c.id == payment_id))
        alive = await subscriptions.create(
            tx,
            person_id=person_id,
            plan_version_id=plan_version_id,
            provider="house" if order_id is None else str(paid_by),
            order_id=order_id,
            predecessor_id=ended.id if ended else None,
            now=now,
        )
        # Nothing will charge again; the graph leads there through `active` alone.
        await _set(tx, alive.id, now, status="active", anchor_day=anchor)
    await periods.add(
        tx,
        subscription_id=alive.id,
        person_id=person_id,
        plan_version_id=plan_version_id,
        kind="paid",
        starts_at=begins,
        ends_at=ends,
        payment_id=payment_id,
        now=now,
    )
    until = max(ends, alive.until or ends)
    await _set(tx, alive.id, now, status="cancel_scheduled", until=until)
    await tx.execute(
        sa.update(payments).where(payments.c.id == payment_id).values(subscription_id=alive.id, updated_at=now)
    )
    await _plan(tx, alive.id, payment_id, begins, anchor, count, tokens, now)
    await grant_due(tx, alive.id, now=now)
    begun = await subscriptions.find(tx, alive.id)
    assert begun is not None
    return Begun(begun, begins, ends)


async def _plan(
    tx: AsyncConnection,
    subscription_id: int,
    payment_id: int,
    begins: datetime,
    anchor: int,
    count: int,
    tokens: int,
    now: datetime,
) -> None:
    last = await tx.scalar(sa.select(sa.func.max(planned.c.number)).where(planned.c.subscription_id == subscription_id))
    first = 0 if last is None else last + 1
    bounds = [months.later(begins, months=number, anchor_day=anchor) for number in range(count + 1)]
    await tx.execute(
        sa.insert(planned),
        [
            {
                "subscription_id": subscription_id,
                "number": first + number,
                "payment_id": payment_id,
                "starts_at": bounds[number],
                "ends_at": bounds[number + 1],
                "tokens": tokens,
                "updated_at": now,
            }
            for number in range(count)
        ],
    )


# A month is granted while its money is ours: not once the rest of it was asked back, and again when that was refused.
_KEPT: Final = (
    sa.select(payments.c.id)
    .where(
        payments.c.id == planned.c.payment_id,
        payments.c.status.in_(("succeeded", "partially_refunded")),
        ~sa.select(refunds.c.id)
        .where(refunds.c.payment_id == payments.c.id, refunds.c.status.not_in(["succeeded", "canceled"]))
        .where(~refunds.c.partial)
        .correlate(payments)
        .exists(),
    )
    .correlate(planned)
    .exists()
)


async def due(connection: AsyncConnection, *, now: datetime, limit: int) -> list[int]:
    """Return up to `limit` subscriptions with a month that has begun and was not granted, the oldest first."""
    found = await connection.execute(
        sa.select(planned.c.subscription_id)
        .where(planned.c.status == "due", planned.c.starts_at <= now, _KEPT)
        .group_by(planned.c.subscription_id)
        .order_by(sa.func.min(planned.c.starts_at))
        .limit(limit)
    )
    return list(found.scalars())


async def grant_due(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> Granted | None:
    """Grant a subscription's months that have begun, each once; None when there was nothing to grant.

    A month that passed ungranted was lost to our own outage: its tokens come with the current month's and live as long.
    Once the paid time is over there is no month to give them with, and they count as missed.
    """
    subscription = await subscriptions.find(tx, subscription_id)
    assert subscription is not None
    await ledger.lock_wallet(tx, person_id=subscription.person_id, now=now)
    mine = planned.c.subscription_id == subscription_id
    begun = (
        await tx.execute(
            sa.select(planned)
            .where(mine, planned.c.status == "due", planned.c.starts_at <= now, _KEPT)
            .order_by(planned.c.number)
            .with_for_update(key_share=True)
        )
    ).all()
    if not begun:
        return None
    current = await tx.scalar(
        sa.select(sa.func.max(planned.c.ends_at)).where(
            mine, planned.c.starts_at <= now, planned.c.ends_at > now, planned.c.status != "void"
        )
    )
    if current is None:
        await _mark(tx, subscription_id, [month.number for month in begun], now, status="missed")
        return None
    rolls = await tx.scalar(
        sa.select(plan_versions.c.tokens_roll_over).where(plan_versions.c.id == subscription.plan_version_id)
    )
    tokens = 0
    for month in begun:
        lot = await lots.grant(
            tx,
            person_id=subscription.person_id,
            tokens=month.tokens,
            kind="gift" if subscription.order_id is None else "plan",
            ref_type="month",
            ref_id=f"{subscription_id}:{month.number}",
            expires_at=current + ROLL_OVER if rolls else current,
            now=now,
            payment_id=month.payment_id,
            plan_version=subscription.plan_version_id,
        )
        await _mark(tx, subscription_id, [month.number], now, status="granted", lot_id=lot.id)
        gone = await refund_parts.take_of_lot(tx, payment_id=month.payment_id, lot_id=lot.id, now=now)
        tokens += month.tokens - gone
    return Granted(subscription, tokens, current)


async def stop(tx: AsyncConnection, *, payment_id: int, now: datetime) -> None:
    """End the months of a payment that are still due: its money went back."""
    await tx.execute(
        sa.update(planned)
        .where(planned.c.payment_id == payment_id, planned.c.status == "due")
        .values(status="void", updated_at=now)
    )


async def outlook(connection: AsyncConnection, *, person_id: int, now: datetime) -> dict[int, Outlook]:
    """Return what comes of each subscription of a person that brings its tokens month by month, by its number."""
    ahead = sa.and_(planned.c.status == "due", planned.c.starts_at > now)
    found = await connection.execute(
        sa.select(
            planned.c.subscription_id,
            sa.func.min(planned.c.starts_at),
            sa.func.min(planned.c.starts_at).filter(ahead),
            sa.func.max(planned.c.tokens),
        )
        .join(rows, rows.c.id == planned.c.subscription_id)
        .where(rows.c.person_id == person_id, planned.c.status != "void", planned.c.ends_at > now)
        .group_by(planned.c.subscription_id)
    )
    return {number: Outlook(*what) for number, *what in found}


async def _mark(tx: AsyncConnection, subscription_id: int, numbers: list[int], now: datetime, **values: object) -> None:
    await tx.execute(
        sa.update(planned)
        .where(planned.c.subscription_id == subscription_id, planned.c.number.in_(numbers))
        .values(updated_at=now, **values)
    )


async def _set(tx: AsyncConnection, subscription_id: int, now: datetime, **values: object) -> None:
    await tx.execute(sa.update(rows).where(rows.c.id == subscription_id).values(updated_at=now, **values))
