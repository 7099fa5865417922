"""When a saved card is charged: announced first, then tried once at a time, and judged by what came of it.

    announced (3 days before) → tried as the paid time ends → paid | declined → tried again within the grace → given up

What was not announced a day before has no date, and what has no date is not charged: the database holds to both. The
caller of each step that changes something has no lock yet; the wallet is locked first, as everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import card_crediting, declines, ledger, orders, payment_methods, rouble_payments, subscriptions
from billing.card_crediting import TRY, Try
from billing.card_tables import card_renewals, renewal_tries
from billing.orders import Order
from billing.payment_methods import Method
from billing.rouble_payments import CHARGING, RoublePayment
from billing.rouble_tables import yookassa_payments
from billing.subscriptions import GRACE, Subscription
from billing.tables import payments
from billing.tables import subscription_periods as periods
from billing.tables import subscriptions as rows
from kit.errors import Rejected

# Nobody is charged sooner after they were told than this, also where the schedule stood still.
NOTICE_MIN: Final = timedelta(hours=24)


class ChargeUnderWay(Rejected):
    """Another charge for the same month has not ended yet."""

    code = "error-charge-under-way"


class MonthPaid(Rejected):
    """The month is paid already, or the subscription is not what it was."""

    code = "error-month-paid"


@dataclass(frozen=True, slots=True)
class Coming:
    """A charge that was announced with this transaction: of what, from which card, and when (`at`)."""

    subscription: Subscription
    method: Method
    at: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """A charge that failed, and what follows; `subscription` is as it is now."""

    subscription: Subscription
    method: Method
    reason: str
    plan: declines.Plan


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with what a card pays: which card, and whether a charge is under way, or has failed this time."""

    method: Method
    under_way: bool
    failed: bool


_PAID_UNTIL: Final = (
    sa.select(sa.func.max(periods.c.ends_at))
    .where(periods.c.subscription_id == card_renewals.c.subscription_id, periods.c.kind != "grace")
    .correlate(card_renewals)
    .scalar_subquery()
)


async def announce(tx: AsyncConnection, *, now: datetime, within: timedelta, limit: int) -> list[Coming]:
    """Plan up to `limit` charges that are due within a time from now; the caller tells of each, in `tx`.

    A charge is planned for the end of the paid time, and never sooner than a day from now.
    """
    chosen = await tx.execute(
        sa.select(card_renewals.c.subscription_id, card_renewals.c.method_id, _PAID_UNTIL.label("paid_until"))
        .join(rows, rows.c.id == card_renewals.c.subscription_id)
        .where(
            rows.c.status.in_(CHARGING),
            now + within >= _PAID_UNTIL,
            card_renewals.c.announced_for.is_distinct_from(_PAID_UNTIL),
        )
        .order_by(card_renewals.c.subscription_id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=card_renewals)
    )
    coming = []
    for subscription_id, method_id, paid_until in chosen.all():
        method = await payment_methods.find(tx, method_id)
        subscription = await subscriptions.find(tx, subscription_id)
        assert method is not None
        assert subscription is not None
        if not method.active or subscription.status not in CHARGING:  # it was called off meanwhile
            continue
        at = max(paid_until, now + NOTICE_MIN)
        await _plan(tx, subscription_id, now, announced_for=paid_until, announced_at=now, next_at=at)
        coming.append(Coming(subscription, method, at))
    return coming


async def due(connection: AsyncConnection, *, now: datetime, limit: int) -> list[int]:
    """Return up to `limit` subscriptions whose card is to be charged now, the longest due first."""
    found = await connection.execute(
        sa.select(card_renewals.c.subscription_id)
        .join(rows, rows.c.id == card_renewals.c.subscription_id)
        .where(card_renewals.c.next_at <= now, rows.c.status.in_(CHARGING), ~_open_try().exists())
        .order_by(card_renewals.c.next_at)
        .limit(limit)
    )
    return list(found.scalars())


async def begin(
    tx: AsyncConnection, subscription_id: int, *, build: Callable[[int, Order, Method], str], now: datetime
) -> RoublePayment | None:
    """Write down the charge that is due, before it is asked for; None when it is not due any more.

    `build` makes its request from the payment's number. Its date goes with it: only a judgement gives another one.
    """
    found = await _due_now(tx, subscription_id, now)
    if found is None:
        return None
    subscription, card, method = found
    order = await _order(tx, subscription)
    going = await rouble_payments.intend(tx, order, build=lambda number: build(number, order, method), now=now)
    await _add_try(tx, subscription_id, card.paid_until, going.id, now, method_id=method.id, told=card.announced_at)
    await _plan(tx, subscription_id, now, next_at=None)
    return going


async def pass_over(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> tuple[Subscription, Method] | None:
    """Let the charge that is due go, since it cannot be asked for: grace begins; None when it is not due any more."""
    found = await _due_now(tx, subscription_id, now)
    if found is None:
        return None
    subscription, _, method = found
    await forget_plan(tx, subscription_id, now=now)
    return await subscriptions.fall_due(tx, subscription_id, now=now) or subscription, method


async def begin_by_hand(
    tx: AsyncConnection,
    subscription_id: int,
    *,
    period_start: datetime,
    build: Callable[[int, Order], str],
    keep: bool,
    now: datetime,
) -> RoublePayment:
    """Return the payment of a month that its person makes on the page, begun now or going on.

    Raises ChargeUnderWay while the card is being charged for it, MonthPaid when there is nothing to pay any more, and
    SecondSubscription when a card is to be kept beside something else that renews.
    """
    subscription = await _lock(tx, subscription_id, now)
    going = await open_try(tx, subscription_id)
    if going is not None:
        found = await rouble_payments.find(tx, going.payment_id)
        assert found is not None
        if going.method_id is not None:
            raise ChargeUnderWay
        if found.status != "canceled":
            return found
        await card_crediting.note_judged(tx, going.id, now)
    paid_until = await card_crediting.paid_until(tx, subscription_id)
    if subscription.status in subscriptions.TERMINAL or paid_until != period_start:
        raise MonthPaid
    other = await subscriptions.other_renewing(tx, subscription) if keep else None
    if other is not None:
        raise orders.SecondSubscription(plan=other.plan_id)
    order = await _order(tx, subscription)
    begun = await rouble_payments.intend(tx, order, build=lambda number: build(number, order), now=now)
    await _add_try(tx, subscription_id, period_start, begun.id, now)
    return begun


async def by_hand(connection: AsyncConnection, subscription_id: int, period_start: datetime) -> RoublePayment | None:
    """Return the latest payment that was begun on the page for a month."""
    tried = TRY.where(
        renewal_tries.c.subscription_id == subscription_id,
        renewal_tries.c.period_start == period_start,
        renewal_tries.c.method_id.is_(None),
    )
    row = (await connection.execute(tried.order_by(renewal_tries.c.number.desc()).limit(1))).one_or_none()
    return await rouble_payments.find(connection, Try(*row).payment_id) if row else None


async def open_try(connection: AsyncConnection, subscription_id: int) -> Try | None:
    """Return the charge of a subscription whose end is not known, or was not looked at yet."""
    row = await connection.execute(
        TRY.where(renewal_tries.c.subscription_id == subscription_id, renewal_tries.c.judged_at.is_(None))
    )
    found = row.one_or_none()
    return Try(*found) if found else None


async def unjudged(connection: AsyncConnection, *, limit: int) -> list[int]:
    """Return up to `limit` charges that failed and were not judged, by their payments, the oldest first."""
    found = await connection.execute(
        sa.select(renewal_tries.c.payment_id)
        .join(payments, payments.c.id == renewal_tries.c.payment_id)
        .where(renewal_tries.c.judged_at.is_(None), payments.c.status == "canceled")
        .order_by(renewal_tries.c.id)
        .limit(limit)
    )
    return list(found.scalars())


async def judge(tx: AsyncConnection, payment_id: int, *, now: datetime) -> Judged | None:
    """Decide what follows a charge that failed, once; None when nothing does: it was by hand, or called off."""
    tried = await card_crediting.try_of(tx, payment_id)
    if tried is None:
        return None
    subscription = await _lock(tx, tried.subscription_id, now)
    going = await rouble_payments.lock(tx, payment_id)
    if going is None or going.status != "canceled" or not await card_crediting.note_judged(tx, tried.id, now):
        return None
    until = await card_crediting.paid_until(tx, subscription.id)
    if tried.method_id is None or subscription.status not in CHARGING or until != tried.period_start:
        return None
    method = await payment_methods.find(tx, tried.method_id)
    assert method is not None
    reasons = await _reasons(tx, tried)
    plan = declines.plan(reasons, now=now, grace_until=tried.period_start + GRACE)
    if plan.dead:
        await payment_methods.bury(tx, method.id, reason=reasons[-1], now=now)
    if method.active and not plan.dead:
        await _plan(tx, subscription.id, now, next_at=plan.next_at)
    else:
        plan = declines.Plan(None, dead=plan.dead)
    after = await subscriptions.fall_due(tx, subscription.id, now=now) or subscription
    return Judged(after, method, reasons[-1], plan)


async def stop(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> Subscription | None:
    """Let a subscription end with its paid time; None when it does not renew. Nothing more is planned in any case."""
    await _lock(tx, subscription_id, now)
    await forget_plan(tx, subscription_id, now=now)
    return await subscriptions.stop_renewing(tx, subscription_id, now=now)


async def resume(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> Subscription | None:
    """Let a cancelled subscription renew from its card again, its charge announced anew; None when it cannot."""
    subscription = await _lock(tx, subscription_id, now)
    kept = (await payment_methods.of_person(tx, person_id=subscription.person_id)).get(subscription_id)
    if kept is None or not kept.active:
        return None
    if await subscriptions.other_renewing(tx, subscription) is not None:  # paid since the button was pressed
        return None
    await _plan(tx, subscription_id, now, announced_for=None, announced_at=None, next_at=None)
    return await subscriptions.renew_again(tx, subscription_id, now=now)


async def standing(connection: AsyncConnection, *, person_id: int) -> dict[int, Standing]:
    """Return how each subscription of a person stands that a card pays, by its number."""
    kept = await payment_methods.of_person(connection, person_id=person_id)
    tried = renewal_tries.c.period_start == _PAID_UNTIL
    charges = await connection.execute(
        sa.select(
            renewal_tries.c.subscription_id,
            sa.func.bool_or(renewal_tries.c.judged_at.is_(None)),
            sa.func.bool_or(renewal_tries.c.judged_at.is_not(None) & tried),
        )
        .join(card_renewals, card_renewals.c.subscription_id == renewal_tries.c.subscription_id)
        .where(renewal_tries.c.subscription_id.in_(kept), renewal_tries.c.method_id.is_not(None))
        .group_by(renewal_tries.c.subscription_id)
    )
    known = {number: (under_way, failed) for number, under_way, failed in charges}
    let_go = await connection.execute(
        sa.select(card_renewals.c.subscription_id)
        .where(card_renewals.c.subscription_id.in_(kept), card_renewals.c.next_at.is_(None))
        .where(card_renewals.c.announced_for == _PAID_UNTIL)
    )
    passed_over = set(let_go.scalars())
    standings = {}
    for number, method in kept.items():
        under_way, failed = known.get(number, (False, False))
        standings[number] = Standing(method, under_way, failed or (number in passed_over and not under_way))
    return standings


async def charged_from(connection: AsyncConnection, method_id: int) -> list[int]:
    """Return the subscriptions that a card pays for."""
    found = await connection.execute(
        sa.select(card_renewals.c.subscription_id)
        .where(card_renewals.c.method_id == method_id)
        .order_by(card_renewals.c.subscription_id)
    )
    return list(found.scalars())


async def forget_plan(tx: AsyncConnection, subscription_id: int, *, now: datetime) -> None:
    """Plan no further charge in the period that is due."""
    await _plan(tx, subscription_id, now, next_at=None)


async def _due_now(
    tx: AsyncConnection, subscription_id: int, now: datetime
) -> tuple[Subscription, sa.Row[Any], Method] | None:
    """Return a subscription whose charge is due now, what is planned for it, and its card; locked. None: not due."""
    subscription = await _lock(tx, subscription_id, now)
    card = (
        await tx.execute(
            sa.select(card_renewals, _PAID_UNTIL.label("paid_until"))
            .where(card_renewals.c.subscription_id == subscription_id)
            .with_for_update(of=card_renewals)
        )
    ).one()
    method = await payment_methods.find(tx, card.method_id)
    assert method is not None
    planned = card.next_at is not None and card.next_at <= now and card.announced_for == card.paid_until
    if not planned or subscription.status not in CHARGING or not method.active:
        return None
    return None if await open_try(tx, subscription_id) is not None else (subscription, card, method)


def _open_try() -> sa.Select[Any]:
    return (
        sa.select(renewal_tries.c.id)
        .where(renewal_tries.c.subscription_id == card_renewals.c.subscription_id, renewal_tries.c.judged_at.is_(None))
        .correlate(card_renewals)
    )


async def _lock(tx: AsyncConnection, subscription_id: int, now: datetime) -> Subscription:
    """Return a subscription, its person's wallet and itself locked until the transaction ends."""
    found = await subscriptions.find(tx, subscription_id)
    assert found is not None
    await ledger.lock_wallet(tx, person_id=found.person_id, now=now)
    await tx.execute(sa.select(rows.c.id).where(rows.c.id == subscription_id).with_for_update(key_share=True))
    found = await subscriptions.find(tx, subscription_id)
    assert found is not None
    return found


async def _order(tx: AsyncConnection, subscription: Subscription) -> Order:
    assert subscription.order_id is not None  # a card pays what was ordered
    return await orders.lock(tx, subscription.order_id)


async def _add_try(
    tx: AsyncConnection,
    subscription_id: int,
    period_start: datetime,
    payment_id: int,
    now: datetime,
    *,
    method_id: int | None = None,
    told: datetime | None = None,
) -> None:
    last = sa.select(sa.func.coalesce(sa.func.max(renewal_tries.c.number), 0)).where(
        renewal_tries.c.subscription_id == subscription_id, renewal_tries.c.period_start == period_start
    )
    await tx.execute(
        sa.insert(renewal_tries).values(
            subscription_id=subscription_id,
            period_start=period_start,
            number=last.scalar_subquery() + 1,
            payment_id=payment_id,
            method_id=method_id,
            announced_at=told,
            created_at=now,
        )
    )


async def _reasons(tx: AsyncConnection, tried: Try) -> list[str]:
    """Return why the charges of a period failed, the latest last."""
    found = await tx.execute(
        sa.select(sa.func.coalesce(yookassa_payments.c.reason, ""))
        .join(renewal_tries, renewal_tries.c.payment_id == yookassa_payments.c.payment_id)
        .where(
            renewal_tries.c.subscription_id == tried.subscription_id,
            renewal_tries.c.period_start == tried.period_start,
            renewal_tries.c.method_id == tried.method_id,
            renewal_tries.c.judged_at.is_not(None),
        )
        .order_by(renewal_tries.c.number)
    )
    return list(found.scalars())


async def _plan(tx: AsyncConnection, subscription_id: int, now: datetime, **values: object) -> None:
    await tx.execute(
        sa.update(card_renewals)
        .where(card_renewals.c.subscription_id == subscription_id)
        .values(updated_at=now, **values)
    )
