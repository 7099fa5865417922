"""Refunds: an intent that takes the tokens back at once, then the provider's word that settles or undoes it.

The tokens go before the money does, so that nobody spends a month while its refund is on the way. What was spent is
forgiven, or owed where the payer took the money back without us (a chargeback); what a hold reserves is taken when the
hold resolves. Telegram refunds a payment in Stars whole or not at all; of one in roubles a part may go back, with its
share of the tokens (billing.refund_parts). What brings the parts to the whole takes whatever is left, and access. What
YooKassa is asked stands in billing.rouble_refunds.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import debts, gifts, ledger, lots, once, refund_parts, stars, subscriptions
from billing import payments as records
from billing.subscriptions import Change
from billing.tables import accounts, orders, payments, refunds
from billing.tables import lots as lots_table
from kit.errors import Rejected

OPEN: Final = ("intent", "sent", "pending", "unknown")
# The statuses of a payment whose money, or some of it, is still here.
KEPT: Final = ("succeeded", "partially_refunded")

Kind = Literal["refund", "chargeback"]


class NotRefundable(Rejected):
    """The payment is unknown, or its money never came or went back already."""

    code = "error-not-refundable"


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund of `amount` (Stars or kopecks) of what was `paid`. Of `tokens`: taken back, forgiven, owed, still held.

    `payment_status`: where the payment is now; `partially_refunded` while more of its money is here.
    """

    id: int
    payment_id: int
    charge_id: str
    payer_id: int
    amount: int
    status: str
    tokens: int
    tokens_taken: int
    tokens_forgiven: int
    tokens_owed: int
    kind: str
    provider: str
    partial: bool
    paid: int
    payment_status: str

    @property
    def tokens_held(self) -> int:
        return self.tokens - self.tokens_taken - self.tokens_forgiven - self.tokens_owed


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A refund whose money went back, and what became of the subscription that the payment was for, if it was."""

    refund: Refund
    change: Change | None


_SELECT: Final[sa.Select[Any]] = sa.select(
    refunds.c.id,
    refunds.c.payment_id,
    payments.c.provider_payment_id,
    payments.c.payer_id,
    refunds.c.amount,
    refunds.c.status,
    refunds.c.tokens,
    refunds.c.tokens_taken,
    refunds.c.tokens_forgiven,
    refunds.c.tokens_owed,
    refunds.c.kind,
    payments.c.provider,
    refunds.c.partial,
    payments.c.amount.label("paid"),
    payments.c.status.label("payment_status"),
).join(payments, payments.c.id == refunds.c.payment_id)


async def request(
    tx: AsyncConnection,
    *,
    payment_id: int,
    requested_by: int | None,
    reason: str,
    now: datetime,
    kind: Kind = "refund",
    amount: int | None = None,
    beside: bool = False,
) -> Refund:
    """Open the refund of all that a payment still has, or of `amount`, and take its tokens back.

    The caller sees to it that the provider is asked. Idempotent: an open refund of the payment is returned again, but
    not for one that the provider made `beside` it. Raises NotRefundable, MoreThanLeft, WholeOnly.
    """
    wallet, payment = await _lock(tx, payment_id, now)
    earlier = None if beside else await open_of(tx, payment_id)
    if earlier:
        return earlier
    if payment is None or payment.status not in KEPT:
        raise NotRefundable(payment=payment_id)
    asked = await refund_parts.ask(tx, payment, amount)
    number = (
        await tx.execute(sa.select(sa.func.count()).select_from(refunds).where(refunds.c.payment_id == payment_id))
    ).scalar_one()
    refund_id: int = (
        await tx.execute(
            sa.insert(refunds)
            .values(
                payment_id=payment_id,
                kind=kind,
                partial=asked.partial,
                amount=asked.amount,
                status="intent",
                # YooKassa knows a key for a day, whichever database it came from: no two may ever be the same.
                idempotency_key=(
                    f"refund:{payment_id}:{number + 1}" if payment.provider == records.STARS else str(uuid.uuid4())
                ),
                requested_by=requested_by,
                reason=reason,
                created_at=now,
                updated_at=now,
            )
            .returning(refunds.c.id)
        )
    ).scalar_one()
    if not asked.partial:
        await _take_all(tx, refund_id, kind, payment_id, wallet, now)
    elif wallet is not None:
        await refund_parts.take(tx, refund_id, payment_id, asked, wallet=wallet, now=now)
    return await _one(tx, refund_id)


async def confirm(tx: AsyncConnection, *, refund_id: int, now: datetime) -> Change | None:
    """Note that the money went back: books it, and with all of it takes back the access that the payment bought.

    Idempotent. Returns the change of the payment's subscription, if it had one.
    """
    refund = await _one(tx, refund_id)
    wallet, payment = await _lock(tx, refund.payment_id, now)
    refund = await _one(tx, refund_id)
    if refund.status not in OPEN or payment is None:
        return None
    await _set_status(tx, refund_id, "succeeded", now)
    whole = (await refund_parts.sums(tx, payment.id)).back == payment.amount
    if whole and refund.partial:
        await _take_all(tx, refund_id, "refund", payment.id, wallet, now)
    status = ("refunded" if refund.kind == "refund" else "charged_back") if whole else "partially_refunded"
    # What left quarantine by a credit is earned like any other; what stands in it is unclear until now.
    credited = payment.quarantine_reason is None or payment.resolved_at is not None
    await tx.execute(
        sa.update(payments)
        .where(payments.c.id == payment.id)
        .values(
            status=status,
            updated_at=now,
            resolved_at=payment.resolved_at or (now if whole and not credited else None),
        )
    )
    source = ledger.EARNED if credited else ledger.UNCLEAR
    await ledger.post(
        tx,
        kind="refund",
        ref_type="refund",
        ref_id=str(refund_id),
        entries=[
            (source[payment.currency], refund.amount),
            (ledger.CASH[payment.currency], -refund.amount),
        ],
        now=now,
    )
    if not whole:
        return None
    await once.stop(tx, payment_id=payment.id, now=now)
    return await subscriptions.revoke_payment(tx, payment_id=payment.id, now=now)


async def refuse(tx: AsyncConnection, *, refund_id: int, now: datetime) -> None:
    """Note that the provider will not refund: what was taken is granted again, until it would have lapsed.

    Idempotent.
    """
    refund = await _one(tx, refund_id)
    await _lock(tx, refund.payment_id, now)
    refund = await _one(tx, refund_id)
    if refund.status not in OPEN:
        return
    await _set_status(tx, refund_id, "canceled", now)
    if refund.partial:
        await refund_parts.restore(tx, refund_id=refund_id, now=now)
        return
    await gifts.restore(tx, payment_id=refund.payment_id, now=now)
    mine = lots_table.c.refund_id == refund_id
    # Of several months the last one's lot: what was taken came from those that had not lapsed.
    latest = (
        sa.select(lots_table)
        .where(mine)
        .order_by(lots_table.c.expires_at_before_refund.desc().nulls_first(), lots_table.c.id)
    )
    lot = (await tx.execute(latest.limit(1))).one_or_none()
    if lot is None:
        return
    # What answers still hold was never taken: it stays in its lot, with the expiry that it had.
    await tx.execute(
        sa.update(lots_table).where(mine).values(refund_id=None, expires_at=lots_table.c.expires_at_before_refund)
    )
    lapses = lot.expires_at_before_refund
    if refund.tokens_taken and (lapses is None or lapses > now):
        restored = await lots.grant(
            tx,
            person_id=await _owner(tx, lot.account_id),
            tokens=refund.tokens_taken,
            kind="restored",
            ref_type="refund",
            ref_id=str(refund_id),
            expires_at=lapses,
            now=now,
            payment_id=lot.payment_id,
            plan_version=lot.plan_version_id,
        )
        await debts.repay(tx, lot_id=restored.id, now=now)  # what was paid for repays what is owed, as before
        await tx.execute(
            sa.update(refunds).where(refunds.c.id == refund_id).values(tokens_restored=refund.tokens_taken)
        )


async def confirm_stars(
    tx: AsyncConnection, *, charge_id: str, payload: str, payer_id: int, amount: int, now: datetime
) -> Confirmed | None:
    """Book that Telegram says a payment in Stars was refunded, whoever asked for it; None if it was booked before.

    The refund may be reported before its payment, which then brings nothing.
    """
    known = await records.by_charge(tx, charge_id=charge_id)
    if known is not None:
        await gifts.lock_of_payment(tx, known.id)  # before any wallet
    payment = await stars.record_refunded(
        tx, charge_id=charge_id, payload=payload, person_id=payer_id, amount=amount, now=now
    )
    if payment.status in {"refunded", "charged_back"}:
        return None
    refund = await request(tx, payment_id=payment.id, requested_by=None, reason="provider", now=now)
    change = await confirm(tx, refund_id=refund.id, now=now)
    return Confirmed(await _one(tx, refund.id), change)


async def overdue(
    connection: AsyncConnection, *, provider: records.Provider, now: datetime, after: timedelta, limit: int
) -> list[Refund]:
    """Return the refunds of which a provider has said nothing since `after` or longer, the oldest first."""
    rows = await connection.execute(
        _SELECT.where(refunds.c.status.in_(OPEN), refunds.c.created_at <= now - after)
        .where(payments.c.provider == provider)
        .order_by(refunds.c.id)
        .limit(limit)
    )
    return [Refund(*row) for row in rows]


async def find(connection: AsyncConnection, refund_id: int) -> Refund | None:
    """Return a refund by id."""
    row = (await connection.execute(_SELECT.where(refunds.c.id == refund_id))).one_or_none()
    return Refund(*row) if row else None


async def lock(tx: AsyncConnection, payment_id: int, *, now: datetime) -> None:
    """Lock a payment, and before it the wallet of whoever's order it paid: what is read next stays as it is."""
    await _lock(tx, payment_id, now)


async def _one(tx: AsyncConnection, refund_id: int) -> Refund:
    return Refund(*(await tx.execute(_SELECT.where(refunds.c.id == refund_id))).one())


async def open_of(connection: AsyncConnection, payment_id: int) -> Refund | None:
    """Return the refund of a payment that is on its way; we have no two at once."""
    row = (
        await connection.execute(_SELECT.where(refunds.c.payment_id == payment_id, refunds.c.status.in_(OPEN)))
    ).one_or_none()
    return Refund(*row) if row else None


async def _lock(tx: AsyncConnection, payment_id: int, now: datetime) -> tuple[int | None, sa.Row[Any] | None]:
    """Lock the wallet that has what the payment bought, then the payment. A gift is locked first: it says whose."""
    gift = await gifts.lock_of_payment(tx, payment_id)
    owner = (gift and gift.receiver_id) or (
        await tx.execute(
            sa.select(orders.c.person_id)
            .join(payments, payments.c.order_id == orders.c.id)
            .where(payments.c.id == payment_id)
        )
    ).scalar_one_or_none()
    wallet = None if owner is None else await ledger.lock_wallet(tx, person_id=owner, now=now)
    chosen = sa.select(payments).where(payments.c.id == payment_id).with_for_update(key_share=True)
    return wallet, (await tx.execute(chosen)).one_or_none()


async def charge_back(tx: AsyncConnection, *, payment_id: int, reason: str, now: datetime) -> Confirmed | None:
    """Book that the payer took a payment back without us: what is left of its tokens goes, what was spent is owed.

    Of one that went back in part it is the rest. None when its money is gone already. A refund in Stars that was under
    way is taken as made: it was granted, so it forgives. One in roubles moves by YooKassa's word alone, so until it has
    ended nothing is booked: None as well.
    """
    _, payment = await _lock(tx, payment_id, now)
    if payment is None or payment.status not in KEPT:
        return None
    if payment.provider != records.STARS and await open_of(tx, payment_id):
        return None
    refund = await request(tx, payment_id=payment_id, requested_by=None, reason=reason, now=now, kind="chargeback")
    change = await confirm(tx, refund_id=refund.id, now=now)
    return Confirmed(await _one(tx, refund.id), change)


async def _take_all(
    tx: AsyncConnection, refund_id: int, kind: Kind, payment_id: int, wallet: int | None, now: datetime
) -> None:
    """Make the payment's lots due at once in the refund's name, and expire what no answer holds.

    What earlier parts took back or forgave is settled; a gift that nobody took is withdrawn.
    """
    await gifts.withdraw(tx, payment_id=payment_id, now=now)
    totals = await refund_parts.tokens_of(tx, payment_id)
    if totals is None or wallet is None:  # a payment in quarantine brought nothing
        return
    bought = totals.bought - totals.refunded
    # What repaid a debt was not spent: it is owed again, and so taken back.
    revived = await debts.revive(tx, payment_id=payment_id, now=now)
    spent = bought - totals.left - revived
    forgiven = spent if kind == "refund" else 0
    row = refunds.c
    await tx.execute(
        sa.update(refunds)
        .where(row.id == refund_id)
        .values(
            tokens=row.tokens + bought,
            tokens_taken=row.tokens_taken + revived,
            tokens_forgiven=row.tokens_forgiven + forgiven,
        )
    )
    await debts.add(tx, refund_id=refund_id, wallet=wallet, tokens=spent - forgiven, now=now)
    await tx.execute(
        sa.update(lots_table)
        .where(lots_table.c.payment_id == payment_id)
        .values(
            refund_id=refund_id,
            expires_at_before_refund=lots_table.c.expires_at,
            expires_at=sa.func.least(lots_table.c.expires_at, now),
        )
    )
    await lots.expire(tx, account_id=wallet, now=now)


async def _owner(tx: AsyncConnection, account_id: int) -> int:
    person_id: int = (await tx.execute(sa.select(accounts.c.person_id).where(accounts.c.id == account_id))).scalar_one()
    return person_id


async def _set_status(tx: AsyncConnection, refund_id: int, status: str, now: datetime) -> None:
    await tx.execute(sa.update(refunds).where(refunds.c.id == refund_id).values(status=status, updated_at=now))
