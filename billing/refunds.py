"""Refunds: an intent that takes the tokens back at once, then the provider's word that settles or undoes it.

The tokens go before the money does, so that nobody spends a month while its refund is on the way. What was spent is
forgiven, or owed where the payer took the money back without us (a chargeback); what a hold reserves is taken when the
hold resolves. Telegram refunds a payment in Stars whole or not at all. What YooKassa is asked stands in
billing.rouble_refunds.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import debts, gifts, ledger, lots, once, stars, subscriptions
from billing import payments as records
from billing.subscriptions import Change
from billing.tables import accounts, orders, payments, refunds
from billing.tables import lots as lots_table
from kit.errors import Rejected

OPEN: Final = ("intent", "sent", "pending", "unknown")

Kind = Literal["refund", "chargeback"]


class NotRefundable(Rejected):
    """The payment is unknown, or its money never came or went back already."""

    code = "error-not-refundable"


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund of `amount` (Stars or kopecks). Of `tokens` bought: taken back, forgiven, owed, still held."""

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
).join(payments, payments.c.id == refunds.c.payment_id)


async def request(
    tx: AsyncConnection,
    *,
    payment_id: int,
    requested_by: int | None,
    reason: str,
    now: datetime,
    kind: Kind = "refund",
) -> Refund:
    """Open the refund of a whole payment and take its tokens back; the caller sees to it that the provider is asked.

    Idempotent: an open refund of the payment is returned again. Raises NotRefundable.
    """
    wallet, payment = await _lock(tx, payment_id, now)
    earlier = await _open_refund(tx, payment_id)
    if earlier:
        return earlier
    if payment is None or payment.status != "succeeded":
        raise NotRefundable(payment=payment_id)
    number = (
        await tx.execute(sa.select(sa.func.count()).select_from(refunds).where(refunds.c.payment_id == payment_id))
    ).scalar_one()
    refund_id: int = (
        await tx.execute(
            sa.insert(refunds)
            .values(
                payment_id=payment_id,
                kind=kind,
                amount=payment.amount,
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
    await gifts.withdraw(tx, payment_id=payment_id, now=now)
    if wallet is not None:
        await _take_back(tx, refund_id, kind, payment_id, wallet, now)
    return await _one(tx, refund_id)


async def confirm(tx: AsyncConnection, *, refund_id: int, now: datetime) -> Change | None:
    """Note that the money went back: books it, and takes back the access that the payment bought.

    Idempotent. Returns the change of the payment's subscription, if it had one.
    """
    refund = await _one(tx, refund_id)
    _, payment = await _lock(tx, refund.payment_id, now)
    refund = await _one(tx, refund_id)
    if refund.status not in OPEN or payment is None:
        return None
    await _set_status(tx, refund_id, "succeeded", now)
    # What left quarantine by a credit is earned like any other; what stands in it is unclear until now.
    credited = payment.quarantine_reason is None or payment.resolved_at is not None
    await tx.execute(
        sa.update(payments)
        .where(payments.c.id == payment.id)
        .values(
            status="refunded" if refund.kind == "refund" else "charged_back",
            updated_at=now,
            resolved_at=payment.resolved_at or (None if credited else now),
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


async def _open_refund(tx: AsyncConnection, payment_id: int) -> Refund | None:
    row = (
        await tx.execute(_SELECT.where(refunds.c.payment_id == payment_id, refunds.c.status.in_(OPEN)))
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

    None when its money is gone already. A refund in Stars that was under way is taken as made: it was granted, so it
    forgives. One in roubles moves by YooKassa's word alone, so until it has ended nothing is booked: None as well.
    """
    _, payment = await _lock(tx, payment_id, now)
    if payment is None or payment.status != "succeeded":
        return None
    if payment.provider != records.STARS and await _open_refund(tx, payment_id):
        return None
    refund = await request(tx, payment_id=payment_id, requested_by=None, reason=reason, now=now, kind="chargeback")
    change = await confirm(tx, refund_id=refund.id, now=now)
    return Confirmed(await _one(tx, refund.id), change)


async def _take_back(
    tx: AsyncConnection, refund_id: int, kind: Kind, payment_id: int, wallet: int, now: datetime
) -> None:
    """Make the payment's lots due at once in the refund's name, and expire what no answer holds."""
    bought = lots_table.c.payment_id == payment_id
    totals = (
        await tx.execute(
            sa.select(
                sa.func.sum(lots_table.c.granted).filter(lots_table.c.kind != "restored").label("bought"),
                sa.func.sum(lots_table.c.remaining).label("left"),
            ).where(bought)
        )
    ).one()
    if totals.bought is None:  # a payment in quarantine brought nothing
        return
    # What repaid a debt was not spent: it is owed again, and so taken back.
    revived = await debts.revive(tx, payment_id=payment_id, now=now)
    spent = totals.bought - totals.left - revived
    forgiven = spent if kind == "refund" else 0
    await tx.execute(
        sa.update(refunds)
        .where(refunds.c.id == refund_id)
        .values(tokens=totals.bought, tokens_taken=revived, tokens_forgiven=forgiven)
    )
    await debts.add(tx, refund_id=refund_id, wallet=wallet, tokens=spent - forgiven, now=now)
    await tx.execute(
        sa.update(lots_table)
        .where(bought)
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
