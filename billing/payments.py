"""Payments: what a provider says was paid, recorded once each by the provider's id and credited in one transaction.

What cannot be credited as it stands is kept in quarantine with a reason, its money booked as unclear: never swallowed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import amounts, ledger, lots, orders, subscriptions
from billing.orders import Order
from billing.subscriptions import STARS_PERIOD, Subscription
from billing.tables import lots as lots_table
from billing.tables import payments
from kit.errors import Conflict

STARS: Final = "stars"

Reason = Literal[
    "unknown_payload",  # no order of ours
    "wrong_payer",  # an invoice made for somebody else
    "wrong_price",  # amount or currency are not the order's
    "wrong_kind",  # a renewing charge for a one-off product, or the other way round
    "second_subscription",  # the person has one that renews
    "subscription_revoked",  # a renewal of what was refunded
    "period_covered",  # the provider's expiry lies within what was paid for already
    "refunded_first",  # its refund was reported before it
]
# Taken by mistake, whoever's: the money goes back without asking anybody.
REFUND_DUE: Final[frozenset[Reason]] = frozenset({"wrong_payer", "second_subscription", "subscription_revoked"})


@dataclass(frozen=True, slots=True)
class Credit:
    """What became of a payment. `tokens`, `until` and the rest say what it brought; all None in quarantine.

    outcome "repeated": recorded before, with what it brought then. `reason`: why it stands in quarantine;
    `refund_due`: the caller refunds it without asking. `first`: it began a subscription rather than renewing one.
    `cancel_charges`: first charges of subscriptions whose renewal the caller stops at the provider.
    """

    outcome: Literal["credited", "repeated", "quarantined"]
    payment_id: int
    charge_id: str
    amount: int
    plan_id: str | None = None
    titles: dict[str, str] | None = None
    tokens: int | None = None
    until: datetime | None = None
    subscription_id: int | None = None
    first: bool = False
    reason: str | None = None
    refund_due: bool = False
    cancel_charges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it is listed. `amount` in Stars or kopecks."""

    id: int
    provider: str
    provider_payment_id: str | None
    payer_id: int
    order_id: int | None
    currency: str
    amount: int
    status: str
    quarantine_reason: str | None
    resolved_at: datetime | None
    created_at: datetime


_SELECT: Final[sa.Select[Any]] = sa.select(
    payments.c.id,
    payments.c.provider,
    payments.c.provider_payment_id,
    payments.c.payer_id,
    payments.c.order_id,
    payments.c.currency,
    payments.c.amount,
    payments.c.status,
    payments.c.quarantine_reason,
    payments.c.resolved_at,
    payments.c.created_at,
)


@dataclass(frozen=True, slots=True)
class _Stars:
    """A successful payment in Stars, as Telegram reports it."""

    charge_id: str
    payload: str
    person_id: int
    amount: int
    is_recurring: bool
    is_first_recurring: bool
    expires_at: datetime | None


async def record_stars(
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
    paid = _Stars(charge_id, payload, person_id, amounts.money(amount), is_recurring, is_first_recurring, expires_at)
    order = await orders.by_payload(tx, payload)
    if order:
        # The person's purchases come one after the other from here; the order may have changed meanwhile.
        await ledger.lock_wallet(tx, person_id=order.person_id, now=now)
        order = await orders.lock(tx, order.id)
    payment_id = await _insert(tx, paid, order, now)
    if payment_id is None:
        return await _repeated(tx, paid, order)
    if order is None:
        return await _quarantine(tx, payment_id, paid, None, "unknown_payload", now)
    if order.person_id != paid.person_id:
        return await _quarantine(tx, payment_id, paid, order, "wrong_payer", now)
    if (order.amount, order.currency) != (paid.amount, "XTR"):
        return await _quarantine(tx, payment_id, paid, order, "wrong_price", now)
    if (order.kind == "subscription") != paid.is_recurring:
        return await _quarantine(tx, payment_id, paid, order, "wrong_kind", now)
    if order.kind == "subscription":
        return await _credit_subscription(tx, payment_id, paid, order, now)
    await orders.mark_paid(tx, order, now=now)
    until = None if order.tokens_days is None else now + timedelta(days=order.tokens_days)
    await _grant(tx, payment_id, order, "pack", until, now)
    return _credited(payment_id, paid, order, until)


async def record_refunded(
    tx: AsyncConnection, *, charge_id: str, payload: str, person_id: int, amount: int, now: datetime
) -> Payment:
    """Return the payment in Stars that a refund was reported for; one that was never reported is recorded now.

    It then stands in quarantine, so that its own report, which may still come, credits nothing.
    """
    paid = _Stars(charge_id, payload, person_id, amounts.money(amount), False, False, None)
    order = await orders.by_payload(tx, payload)
    if order:
        await ledger.lock_wallet(tx, person_id=order.person_id, now=now)
    payment_id = await _insert(tx, paid, order, now)
    if payment_id is not None:
        await _quarantine(tx, payment_id, paid, order, "refunded_first", now)
    found = await by_charge(tx, charge_id=charge_id)
    assert found is not None
    return found


async def by_charge(connection: AsyncConnection, *, charge_id: str) -> Payment | None:
    """Return the payment in Stars with Telegram's charge id."""
    row = (
        await connection.execute(
            _SELECT.where(payments.c.provider == STARS, payments.c.provider_payment_id == charge_id)
        )
    ).one_or_none()
    return Payment(*row) if row else None


async def of_person(connection: AsyncConnection, *, person_id: int, limit: int) -> list[Payment]:
    """Return a person's payments, the latest first."""
    rows = await connection.execute(
        _SELECT.where(payments.c.payer_id == person_id).order_by(payments.c.id.desc()).limit(limit)
    )
    return [Payment(*row) for row in rows]


async def in_quarantine(connection: AsyncConnection, *, limit: int) -> list[Payment]:
    """Return the payments that wait for a decision, the oldest first."""
    rows = await connection.execute(
        _SELECT.where(payments.c.quarantine_reason.is_not(None), payments.c.resolved_at.is_(None))
        .order_by(payments.c.id)
        .limit(limit)
    )
    return [Payment(*row) for row in rows]


async def _insert(tx: AsyncConnection, paid: _Stars, order: Order | None, now: datetime) -> int | None:
    payment_id: int | None = (
        await tx.execute(
            insert(payments)
            .values(
                provider=STARS,
                provider_payment_id=paid.charge_id,
                payer_id=paid.person_id,
                payload=paid.payload,
                order_id=order.id if order else None,
                currency="XTR",
                amount=paid.amount,
                status="succeeded",
                provider_expires_at=paid.expires_at,
                created_at=now,
                updated_at=now,
            )
            .on_conflict_do_nothing(index_elements=["provider", "provider_payment_id"])
            .returning(payments.c.id)
        )
    ).scalar_one_or_none()
    return payment_id


async def _credit_subscription(
    tx: AsyncConnection, payment_id: int, paid: _Stars, order: Order, now: datetime
) -> Credit:
    alive, ended = await subscriptions.lock_of_order(tx, order.id)
    refusal = await _refusal(tx, paid, order, alive, ended)
    if refusal:
        return await _quarantine(tx, payment_id, paid, order, refusal, now)
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
    until = paid.expires_at or max(now, alive.until or now) + STARS_PERIOD
    extended = await subscriptions.add_paid_period(
        tx,
        alive,
        payment_id=payment_id,
        # Renewing and cancelling at Telegram go by the first charge; a successor still belongs to that one.
        first_charge_id=paid.charge_id if paid.is_first_recurring else (ended.first_charge_id if ended else None),
        # A first payment gives access at once. A renewal may come before what it renews, and leaves room for that.
        earliest=min(now, until - STARS_PERIOD) if paid.is_first_recurring else until - STARS_PERIOD,
        ends_at=until,
        now=now,
    )
    if extended is None:
        return await _quarantine(tx, payment_id, paid, order, "period_covered", now)
    await orders.mark_paid(tx, order, now=now)
    await tx.execute(sa.update(payments).where(payments.c.id == payment_id).values(subscription_id=extended.id))
    await _grant(tx, payment_id, order, "plan", until + STARS_PERIOD if order.tokens_roll_over else until, now)
    # Whoever buys anew while another one waits for its charge must not be charged for both.
    replaced = await subscriptions.end_grace(tx, person_id=order.person_id, now=now) if begins else []
    return replace(
        _credited(payment_id, paid, order, until, subscription_id=extended.id, first=begins),
        cancel_charges=tuple(
            change.subscription.first_charge_id for change in replaced if change.subscription.first_charge_id
        ),
    )


async def _refusal(
    tx: AsyncConnection, paid: _Stars, order: Order, alive: Subscription | None, ended: Subscription | None
) -> Reason | None:
    """Say why a charge for a subscription cannot be credited, None if it can."""
    renewing = await subscriptions.renewing(tx, person_id=order.person_id)
    if paid.is_first_recurring and alive and alive.first_charge_id is not None:
        return "second_subscription"  # the link was paid twice
    if alive is None and renewing and renewing.order_id != order.id:
        return "second_subscription"  # a late renewal of one that ended, too: another one took its place
    if alive is None and ended and ended.status == "revoked" and not paid.is_first_recurring:
        return "subscription_revoked"
    return None


async def _grant(
    tx: AsyncConnection, payment_id: int, order: Order, kind: lots.Kind, until: datetime | None, now: datetime
) -> None:
    await lots.purchase(
        tx,
        person_id=order.person_id,
        tokens=order.tokens,
        kind=kind,
        payment_id=payment_id,
        currency=order.currency,
        amount=order.amount,
        plan_version=order.plan_version_id,
        expires_at=until,
        now=now,
    )


async def _quarantine(
    tx: AsyncConnection, payment_id: int, paid: _Stars, order: Order | None, reason: Reason, now: datetime
) -> Credit:
    await tx.execute(sa.update(payments).where(payments.c.id == payment_id).values(quarantine_reason=reason))
    await ledger.post(
        tx,
        kind="quarantine",
        ref_type="payment",
        ref_id=str(payment_id),
        entries=[(ledger.CASH["XTR"], paid.amount), (ledger.UNCLEAR["XTR"], -paid.amount)],
        now=now,
    )
    return Credit(
        "quarantined",
        payment_id,
        paid.charge_id,
        paid.amount,
        plan_id=order.plan_id if order else None,
        titles=order.titles if order else None,
        reason=reason,
        refund_due=reason in REFUND_DUE,
        cancel_charges=await _first_charges(tx, paid) if reason in REFUND_DUE and paid.is_recurring else (),
    )


async def _first_charges(tx: AsyncConnection, paid: _Stars) -> tuple[str, ...]:
    """Return the charge by which the provider knows the subscription that a payment belongs to."""
    if paid.is_first_recurring:
        return (paid.charge_id,)
    earliest = await tx.execute(
        sa.select(payments.c.provider_payment_id)
        .where(payments.c.payer_id == paid.person_id, payments.c.payload == paid.payload)
        .order_by(payments.c.id)
        .limit(1)
    )
    return tuple(earliest.scalars())


def _credited(
    payment_id: int,
    paid: _Stars,
    order: Order,
    until: datetime | None,
    *,
    subscription_id: int | None = None,
    first: bool = False,
) -> Credit:
    return Credit(
        "credited",
        payment_id,
        paid.charge_id,
        paid.amount,
        plan_id=order.plan_id,
        titles=order.titles,
        tokens=order.tokens,
        until=until,
        subscription_id=subscription_id,
        first=first,
    )


async def _repeated(tx: AsyncConnection, paid: _Stars, order: Order | None) -> Credit:
    row = (
        await tx.execute(
            sa.select(payments, lots_table.c.granted, lots_table.c.expires_at)
            .outerjoin(lots_table, lots_table.c.payment_id == payments.c.id)
            .where(payments.c.provider == STARS, payments.c.provider_payment_id == paid.charge_id)
            .order_by(lots_table.c.id)
            .limit(1)
        )
    ).one()
    if (row.payload, row.payer_id, row.amount) != (paid.payload, paid.person_id, paid.amount):
        raise Conflict(f"charge of payment {row.id} came again with other terms")
    return Credit(
        "repeated",
        row.id,
        paid.charge_id,
        paid.amount,
        plan_id=order.plan_id if order else None,
        titles=order.titles if order else None,
        tokens=row.granted,
        until=row.provider_expires_at or row.expires_at,
        subscription_id=row.subscription_id,
        reason=row.quarantine_reason,
    )
