"""Quarantine resolved: a payment that did not fit its order is credited to somebody after all.

It gets an order written after the fact, whose price is what was paid, so that the books say what was sold for it. Its
money, booked as unclear, is booked back and earned. A refund resolves it as well: that is billing.refunds' matter.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import crediting, ledger, orders, subscriptions
from billing.crediting import Credit, Paid
from billing.orders import PAYLOAD_PREFIX, Order
from billing.payments import STARS, Reason
from billing.subscriptions import STARS_PERIOD
from billing.tables import orders as orders_table
from billing.tables import payments, plan_versions, plans, refunds
from kit import ids
from kit.errors import Rejected

# What can be credited: nobody got anything for it, and nothing speaks against its payer having it.
CREDITABLE: Final[frozenset[Reason]] = frozenset({"unknown_payload", "wrong_price", "wrong_kind"})
_OPEN: Final = ("intent", "sent", "pending", "unknown")


class NotInQuarantine(Rejected):
    """The payment is unknown, does not stand in quarantine, or is being refunded."""

    code = "error-not-in-quarantine"


class OnlyRefundable(Rejected):
    """The reason leaves only a refund."""

    code = "error-only-refundable"


class ProductUnknown(Rejected):
    """The payment has no order of its own and no product was named, or none has this name."""

    code = "error-product-unknown"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a payment in quarantine is to be credited as: whose it becomes, and the version of the plan."""

    payment_id: int
    payer_id: int
    person_id: int
    plan_id: str
    plan_version_id: int
    kind: str
    tokens: int
    titles: dict[str, str]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a payment; `stop_charge`: the first charge of a renewal that nothing here would know again."""

    terms: Terms
    credit: Credit
    stop_charge: str | None


async def terms(
    connection: AsyncConnection, *, payment_id: int, person_id: int | None = None, product_id: str = ""
) -> Terms:
    """Return what a payment would be credited as: what its order says, or the named product for the named person.

    Changes nothing. Raises NotInQuarantine, OnlyRefundable, ProductUnknown.
    """
    payment = (await connection.execute(sa.select(payments).where(payments.c.id == payment_id))).one_or_none()
    await _check(connection, payment)
    assert payment is not None
    wanted = (plans.c.id == product_id) if product_id else (orders_table.c.id == payment.order_id)
    query = (
        sa.select(
            plans.c.id,
            plan_versions.c.id.label("version_id"),
            plans.c.kind,
            plan_versions.c.tokens,
            plans.c.titles,
            orders_table.c.person_id,
        )
        .select_from(plan_versions)
        .join(plans, plans.c.id == plan_versions.c.plan_id)
        .outerjoin(orders_table, orders_table.c.id == payment.order_id)
        .where(wanted)
        .order_by(plan_versions.c.version.desc())
    )
    if not product_id:
        query = query.where(plan_versions.c.id == orders_table.c.plan_version_id)
    row = (await connection.execute(query.limit(1))).one_or_none()
    if row is None or not row.tokens or row.kind == "free":
        raise ProductUnknown(payment_id=payment_id)
    if row.kind == "subscription" and payment.provider != STARS:
        raise OnlyRefundable  # only the period of Stars is known here
    owner = person_id or row.person_id or payment.payer_id
    return Terms(payment_id, payment.payer_id, owner, row.id, row.version_id, row.kind, row.tokens, row.titles)


async def credit(tx: AsyncConnection, agreed: Terms, *, now: datetime) -> Resolved:
    """Credit a payment in quarantine as agreed, once.

    A plan's time runs for one period from now and does not renew: what Telegram would charge again carries a payload
    that no order has. Raises NotInQuarantine when it was resolved, or a refund began, meanwhile.
    """
    await ledger.lock_wallet(tx, person_id=agreed.person_id, now=now)
    chosen = sa.select(payments).where(payments.c.id == agreed.payment_id).with_for_update(key_share=True)
    payment = (await tx.execute(chosen)).one_or_none()
    await _check(tx, payment)
    assert payment is not None
    order = await _order(tx, payment, agreed, now)
    await ledger.post(
        tx,
        kind="quarantine",
        ref_type="resolution",
        ref_id=str(payment.id),
        entries=[
            (ledger.UNCLEAR[payment.currency], payment.amount),
            (ledger.CASH[payment.currency], -payment.amount),
        ],
        now=now,
    )
    await tx.execute(
        sa.update(payments)
        .where(payments.c.id == payment.id)
        .values(order_id=order.id, resolved_at=now, updated_at=now)
    )
    paid = Paid(payment.id, payment.provider_payment_id, payment.currency, payment.amount)
    if order.kind == "subscription":
        credited = await _period(tx, paid, order, now)
    else:
        credited = await crediting.one_off(tx, paid, order, now=now)
    return Resolved(agreed, credited, await _first_charge(tx, payment) if payment.provider_expires_at else None)


async def _check(connection: AsyncConnection, payment: sa.Row[Any] | None) -> None:
    if payment is None or payment.status != "succeeded" or payment.quarantine_reason is None or payment.resolved_at:
        raise NotInQuarantine
    returning = sa.select(refunds.c.id).where(refunds.c.payment_id == payment.id, refunds.c.status.in_(_OPEN))
    if (await connection.execute(returning.limit(1))).one_or_none() is not None:
        raise NotInQuarantine
    if payment.quarantine_reason not in CREDITABLE:
        raise OnlyRefundable


async def _order(tx: AsyncConnection, payment: sa.Row[Any], agreed: Terms, now: datetime) -> Order:
    """Write the order that the payment should have had; it is as old as the payment."""
    # What the person was about to pay for they have now; its invoice would be paid once more.
    await tx.execute(
        sa.update(orders_table)
        .where(
            orders_table.c.person_id == agreed.person_id,
            orders_table.c.plan_id == agreed.plan_id,
            orders_table.c.status == "open",
        )
        .values(status="canceled", updated_at=now)
    )
    payload = PAYLOAD_PREFIX + ids.token(18)
    await tx.execute(
        sa.insert(orders_table).values(
            person_id=agreed.person_id,
            plan_id=agreed.plan_id,
            plan_version_id=agreed.plan_version_id,
            kind=agreed.kind,
            currency=payment.currency,
            amount=payment.amount,
            tokens=agreed.tokens,
            payload=payload,
            status="open",
            expires_at=now,
            created_at=payment.created_at,
            updated_at=now,
        )
    )
    order = await orders.by_payload(tx, payload)
    assert order is not None
    return order


async def _period(tx: AsyncConnection, paid: Paid, order: Order, now: datetime) -> Credit:
    opened = await subscriptions.create(
        tx,
        person_id=order.person_id,
        plan_version_id=order.plan_version_id,
        provider=STARS,
        order_id=order.id,
        predecessor_id=None,
        now=now,
    )
    until = now + STARS_PERIOD
    given = await subscriptions.add_paid_period(
        tx, opened, payment_id=paid.payment_id, first_charge_id=None, earliest=now, ends_at=until, now=now
    )
    assert given is not None  # it is the subscription's only one
    await subscriptions.apply_stars_update(
        tx, payload=order.payload, person_id=order.person_id, state="canceled", now=now
    )
    return await crediting.period(tx, paid, order, subscription_id=given.id, until=until, first=True, now=now)


async def _first_charge(tx: AsyncConnection, payment: sa.Row[Any]) -> str:
    """Return the charge by which Telegram knows the subscription that a renewing payment belongs to."""
    earliest: str = (
        await tx.execute(
            sa.select(payments.c.provider_payment_id)
            .where(payments.c.payer_id == payment.payer_id, payments.c.payload == payment.payload)
            .order_by(payments.c.id)
            .limit(1)
        )
    ).scalar_one()
    return earliest
