"""Crediting: what a payment that succeeded brings, the same for every provider, in the transaction that records it.

What cannot be credited as it stands is kept in quarantine with a reason, its money booked as unclear: never swallowed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import changes, discounts, gifts, ledger, lots, once, orders
from billing.gifts import Gift
from billing.lots import ROLL_OVER
from billing.orders import Order
from billing.payments import REFUND_DUE, Reason
from billing.subscriptions import Subscription
from billing.tables import payments


@dataclass(frozen=True, slots=True)
class Credit:
    """What became of a payment. `tokens`, `until` and the rest say what it brought; all None in quarantine.

    outcome "repeated": recorded before, with what it brought then. `reason`: why it stands in quarantine;
    `refund_due`: the caller refunds it without asking. `first`: it began a subscription rather than renewing one.
    `bonus`: tokens on top, by a promo code.
    `cancel_charges`: first charges of subscriptions whose renewal the caller stops at the provider.
    kind "once": time that does not renew, from `starts_at`. `gift`: for somebody else, who has nothing of it yet.
    `replaced`: the subscription in whose place this one was bought.
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
    bonus: int = 0
    cancel_charges: tuple[str, ...] = ()
    kind: str | None = None
    starts_at: datetime | None = None
    gift: Gift | None = None
    replaced: Subscription | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment that succeeded: its row, the provider's id of the charge, and its amount in Stars or kopecks."""

    payment_id: int
    charge_id: str
    currency: str
    amount: int


async def one_off(tx: AsyncConnection, paid: Paid, order: Order, *, now: datetime) -> Credit:
    """Credit what was bought once: a pack, time that does not renew, or a gift of either."""
    await orders.mark_paid(tx, order, now=now)
    if order.gift:
        await _book(tx, paid, order, now)
        gift = await gifts.create(tx, giver_id=order.person_id, payment_id=paid.payment_id, now=now)
        return replace(_credited(paid, order, None), gift=gift)
    if order.kind == "once":
        await _book(tx, paid, order, now)
        begun = await once.begin(
            tx,
            person_id=order.person_id,
            order_id=order.id,
            plan_version_id=order.plan_version_id,
            payment_id=paid.payment_id,
            tokens=order.tokens,
            count=order.months or 1,
            behind="as_good",
            now=now,
        )
        credit = _credited(paid, order, begun.ends_at, subscription_id=begun.subscription.id, first=True)
        return replace(credit, starts_at=begun.starts_at)
    until = None if order.tokens_days is None else now + timedelta(days=order.tokens_days)
    bonus = await _grant(tx, paid, order, "pack", until, now)
    return _credited(paid, order, until, bonus=bonus)


async def period(
    tx: AsyncConnection, paid: Paid, order: Order, *, subscription_id: int, until: datetime, first: bool, now: datetime
) -> Credit:
    """Credit the tokens of a period of a subscription that the caller has added, ending at `until`."""
    await orders.mark_paid(tx, order, now=now)
    await tx.execute(
        sa.update(payments).where(payments.c.id == paid.payment_id).values(subscription_id=subscription_id)
    )
    bonus = await _grant(tx, paid, order, "plan", until + ROLL_OVER if order.tokens_roll_over else until, now)
    credit = _credited(paid, order, until, subscription_id=subscription_id, first=first, bonus=bonus)
    replaced = await changes.stop_replaced(tx, order, now=now) if first else None
    charge = replaced.first_charge_id if replaced else None
    return replace(credit, replaced=replaced, cancel_charges=(charge,) if charge else ())


async def quarantine(
    tx: AsyncConnection,
    paid: Paid,
    order: Order | None,
    reason: Reason,
    *,
    cancel_charges: tuple[str, ...] = (),
    now: datetime,
) -> Credit:
    """Keep a payment that cannot be credited; its money is booked as unclear until somebody decides."""
    await tx.execute(sa.update(payments).where(payments.c.id == paid.payment_id).values(quarantine_reason=reason))
    await ledger.post(
        tx,
        kind="quarantine",
        ref_type="payment",
        ref_id=str(paid.payment_id),
        entries=[(ledger.CASH[paid.currency], paid.amount), (ledger.UNCLEAR[paid.currency], -paid.amount)],
        now=now,
    )
    return Credit(
        "quarantined",
        paid.payment_id,
        paid.charge_id,
        paid.amount,
        plan_id=order.plan_id if order else None,
        titles=order.titles if order else None,
        reason=reason,
        refund_due=reason in REFUND_DUE,
        cancel_charges=cancel_charges if reason in REFUND_DUE else (),
    )


async def _book(tx: AsyncConnection, paid: Paid, order: Order, now: datetime) -> None:
    """Book the money of what brings its tokens later, or to somebody else; a percentage off it is used up."""
    await ledger.post(
        tx,
        kind="purchase",
        ref_type="payment",
        ref_id=str(paid.payment_id),
        entries=[(ledger.CASH[paid.currency], paid.amount), (ledger.EARNED[paid.currency], -paid.amount)],
        now=now,
    )
    await discounts.spend(
        tx, order_id=order.id, person_id=order.person_id, payment_id=paid.payment_id, until=None, now=now
    )


async def _grant(
    tx: AsyncConnection, paid: Paid, order: Order, kind: lots.Kind, until: datetime | None, now: datetime
) -> int:
    """Grant what the order says, and what a promo code brings on top; return how many tokens that is."""
    await lots.purchase(
        tx,
        person_id=order.person_id,
        tokens=order.tokens,
        kind=kind,
        payment_id=paid.payment_id,
        currency=order.currency,
        amount=order.amount,
        plan_version=order.plan_version_id,
        expires_at=until,
        now=now,
    )
    return await discounts.spend(
        tx, order_id=order.id, person_id=order.person_id, payment_id=paid.payment_id, until=until, now=now
    )


def _credited(
    paid: Paid,
    order: Order,
    until: datetime | None,
    *,
    subscription_id: int | None = None,
    first: bool = False,
    bonus: int = 0,
) -> Credit:
    return Credit(
        "credited",
        paid.payment_id,
        paid.charge_id,
        paid.amount,
        plan_id=order.plan_id,
        titles=order.titles,
        tokens=order.tokens,
        until=until,
        subscription_id=subscription_id,
        first=first,
        kind=order.kind,
        bonus=bonus,
    )
