"""Payments in Telegram Stars: recorded once each by Telegram's charge id, and credited in the same transaction.

Telegram reports what was paid after it took it, so nothing here can refuse: a payment for an old or paid order is
honoured where it can be, else it stands in quarantine.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import amounts, changes, crediting, ledger, orders, subscriptions
from billing import payments as records
from billing.crediting import Credit, Paid
from billing.orders import Order
from billing.payments import STARS, Payment, Reason
from billing.subscriptions import STARS_PERIOD, Subscription
from billing.tables import lots as lots_table
from billing.tables import payments
from kit.errors import Conflict

XTR = "XTR"


@dataclass(frozen=True, slots=True)
class _Report:
    """A successful payment in Stars, as Telegram reports it."""

    charge_id: str
    payload: str
    person_id: int
    amount: int
    is_recurring: bool
    is_first_recurring: bool
    expires_at: datetime | None


async def record(
    tx: AsyncConnection,
    *,
    charge_id: str,
    payload: str,
    person_id: int,
    amount: int,
    is_recurring: bool,
    is_first_recurring: bool,
    expires_at: datetime | None,
    now: datetime,
) -> Credit:
    """Record and credit a payment in Stars; idempotent by charge id. `amount` in Stars.

    A renewal carries the first payment's payload and a charge id of its own. A payment for an old or paid order is
    honoured where it can be, else it stands in quarantine with its reason. Raises Conflict when the charge id came
    before with another payload, payer or amount.
    """
    report = _Report(charge_id, payload, person_id, amounts.money(amount), is_recurring, is_first_recurring, expires_at)
    order = await orders.by_payload(tx, payload)
    if order:
        # The person's purchases come one after the other from here; the order may have changed meanwhile.
        await ledger.lock_wallet(tx, person_id=order.person_id, now=now)
        order = await orders.lock(tx, order.id)
    paid = await _insert(tx, report, order, now)
    if paid is None:
        return await _repeated(tx, report, order)
    reason = _misfit(report, order)
    if order is None or reason is not None:
        return await _quarantine(tx, paid, report, order, reason or "unknown_payload", now)
    if order.kind == "subscription":
        return await _credit_subscription(tx, paid, report, order, now)
    return await crediting.one_off(tx, paid, order, now=now)


async def record_refunded(
    tx: AsyncConnection, *, charge_id: str, payload: str, person_id: int, amount: int, now: datetime
) -> Payment:
    """Return the payment in Stars that a refund was reported for; one that was never reported is recorded now.

    It then stands in quarantine, so that its own report, which may still come, credits nothing.
    """
    report = _Report(charge_id, payload, person_id, amounts.money(amount), False, False, None)
    order = await orders.by_payload(tx, payload)
    if order:
        await ledger.lock_wallet(tx, person_id=order.person_id, now=now)
    paid = await _insert(tx, report, order, now)
    if paid is not None:
        await _quarantine(tx, paid, report, order, "refunded_first", now)
    found = await records.by_charge(tx, charge_id=charge_id)
    assert found is not None
    return found


async def _insert(tx: AsyncConnection, report: _Report, order: Order | None, now: datetime) -> Paid | None:
    payment_id = (
        await tx.execute(
            insert(payments)
            .values(
                provider=STARS,
                provider_payment_id=report.charge_id,
                payer_id=report.person_id,
                payload=report.payload,
                order_id=order.id if order else None,
                currency=XTR,
                amount=report.amount,
                status="succeeded",
                provider_expires_at=report.expires_at,
                created_at=now,
                updated_at=now,
            )
            .on_conflict_do_nothing(index_elements=["provider", "provider_payment_id"])
            .returning(payments.c.id)
        )
    ).scalar_one_or_none()
    return None if payment_id is None else Paid(payment_id, report.charge_id, XTR, report.amount)


def _misfit(report: _Report, order: Order | None) -> Reason | None:
    """Say why a report cannot belong to an order, None if it can."""
    if order is None:
        return "unknown_payload"
    if order.person_id != report.person_id:
        return "wrong_payer"
    if (order.amount, order.currency) != (report.amount, XTR):
        return "wrong_price"
    if (order.kind == "subscription") != report.is_recurring:
        return "wrong_kind"
    return None


async def _credit_subscription(tx: AsyncConnection, paid: Paid, report: _Report, order: Order, now: datetime) -> Credit:
    alive, ended = await subscriptions.lock_of_order(tx, order.id)
    refusal = await _refusal(tx, report, order, alive, ended)
    if refusal:
        return await _quarantine(tx, paid, report, order, refusal, now)
    begins = alive is None
    if alive is None:
        alive = await subscriptions.create(
            tx,
            person_id=order.person_id,
            plan_version_id=order.plan_version_id,
            provider=STARS,
            order_id=order.id,
            predecessor_id=ended.id if ended else None,
            now=now,
        )
    # The provider's expiry is authoritative; without one a period runs from where the last one ended.
    until = report.expires_at or max(now, alive.until or now) + STARS_PERIOD
    extended = await subscriptions.add_paid_period(
        tx,
        alive,
        payment_id=paid.payment_id,
        # Renewing and cancelling at Telegram go by the first charge; a successor still belongs to that one.
        first_charge_id=report.charge_id if report.is_first_recurring else (ended.first_charge_id if ended else None),
        # A first payment gives access at once. A renewal may come before what it renews, and leaves room for that.
        earliest=min(now, until - STARS_PERIOD) if report.is_first_recurring else until - STARS_PERIOD,
        ends_at=until,
        now=now,
    )
    if extended is None:
        return await _quarantine(tx, paid, report, order, "period_covered", now)
    credit = await crediting.period(tx, paid, order, subscription_id=extended.id, until=until, first=begins, now=now)
    # Whoever buys anew while another one waits for its charge must not be charged for both.
    replaced = await subscriptions.end_grace(tx, person_id=order.person_id, now=now) if begins else []
    charges = (change.subscription.first_charge_id for change in replaced)
    return replace(credit, cancel_charges=credit.cancel_charges + tuple(charge for charge in charges if charge))


async def _refusal(
    tx: AsyncConnection, report: _Report, order: Order, alive: Subscription | None, ended: Subscription | None
) -> Reason | None:
    """Say why a charge for a subscription cannot be credited, None if it can."""
    renewing = await subscriptions.renewing(tx, person_id=order.person_id)
    if report.is_first_recurring and alive and alive.first_charge_id is not None:
        return "second_subscription"  # the link was paid twice
    if alive is None and renewing and renewing.order_id != order.id and renewing.id != order.replaces_id:
        return "second_subscription"  # a late renewal of one that ended, too: another one took its place
    if alive and not report.is_first_recurring and await changes.is_replaced(tx, alive):
        return "second_subscription"  # its renewal was on the way while a better plan was paid
    if alive is None and ended and ended.status == "revoked" and not report.is_first_recurring:
        return "subscription_revoked"
    return None


async def _quarantine(
    tx: AsyncConnection, paid: Paid, report: _Report, order: Order | None, reason: Reason, now: datetime
) -> Credit:
    charges = await _first_charges(tx, report) if report.is_recurring else ()
    return await crediting.quarantine(tx, paid, order, reason, cancel_charges=charges, now=now)


async def _first_charges(tx: AsyncConnection, report: _Report) -> tuple[str, ...]:
    """Return the charge by which Telegram knows the subscription that a payment belongs to."""
    if report.is_first_recurring:
        return (report.charge_id,)
    earliest = await tx.execute(
        sa.select(payments.c.provider_payment_id)
        .where(payments.c.payer_id == report.person_id, payments.c.payload == report.payload)
        .order_by(payments.c.id)
        .limit(1)
    )
    return tuple(earliest.scalars())


async def _repeated(tx: AsyncConnection, report: _Report, order: Order | None) -> Credit:
    row = (
        await tx.execute(
            sa.select(payments, lots_table.c.granted, lots_table.c.expires_at)
            .outerjoin(lots_table, lots_table.c.payment_id == payments.c.id)
            .where(payments.c.provider == STARS, payments.c.provider_payment_id == report.charge_id)
            .order_by(lots_table.c.id)
            .limit(1)
        )
    ).one()
    if (row.payload, row.payer_id, row.amount) != (report.payload, report.person_id, report.amount):
        raise Conflict(f"charge of payment {row.id} came again with other terms")
    return Credit(
        "repeated",
        row.id,
        report.charge_id,
        report.amount,
        plan_id=order.plan_id if order else None,
        titles=order.titles if order else None,
        tokens=row.granted,
        until=row.provider_expires_at or row.expires_at,
        subscription_id=row.subscription_id,
        reason=row.quarantine_reason,
    )
