"""What YooKassa says of a payment, brought into the books: its status, its money, and what was bought for it.

Whatever a notification, the page or the schedule learned comes through here, in one transaction, as often as it comes.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import card_crediting, crediting, ledger, orders
from billing import rouble_payments as records
from billing.crediting import Credit, Paid
from billing.orders import Order
from billing.payments import OPEN, YOOKASSA, Reason
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY, RUB, RoublePayment
from billing.rouble_tables import yookassa_payments
from billing.tables import payments
from billing.yookassa import objects
from kit.errors import Conflict


@dataclass(frozen=True, slots=True)
class Followed:
    """What an object of YooKassa's changed here. `credit` is there once its money was taken, whatever became of it.

    `by_card`: nobody confirmed it, a saved card was charged.
    """

    payment_id: int
    person_id: int
    titles: dict[str, str]
    before: str
    status: str
    reason: str = ""
    credit: Credit | None = None
    by_card: bool = False

    @property
    def changed(self) -> bool:
        return self.before != self.status


async def follow(tx: AsyncConnection, found: objects.Payment, *, shop_id: str, now: datetime) -> Followed | None:
    """Bring our row to what YooKassa says, and credit what was paid, in this transaction. Idempotent.

    Returns None for a payment that Forma did not ask for. One that answers no row of ours as it should (its row was
    given up, or has another id) is recorded as one more payment once its money was taken.
    """
    owner = await _owner(tx, found)
    if owner is None:
        return None
    order = await orders.by_payload(tx, owner.payload)
    assert order is not None  # we asked for it
    await ledger.lock_wallet(tx, person_id=order.person_id, now=now)
    order = await orders.lock(tx, order.id)
    owner = await _owner(tx, found)  # a stray payment may have been recorded by whoever held the locks before
    row = await records.lock(tx, owner.id) if owner else None
    assert row is not None
    if row.provider_payment_id not in (None, found.id) or (row.status == "canceled" and not row.provider_payment_id):
        return await _follow_stray(tx, found, row, order, shop_id=shop_id, now=now)
    if row.status == "intent":
        await records.set_status(tx, row.id, "sent", now, sent_at=now)
    credit, status = None, row.status
    if row.status in OPEN:
        status = _STATUS_OF[found.status]
        if status != row.status:
            await records.set_status(tx, row.id, status, now, provider_payment_id=found.id)
        await records.note(
            tx, row.id, confirmation_url=found.confirmation_url or row.confirmation_url, reason=found.reason
        )
        if status == "succeeded":
            credit = await _credit(tx, row.id, row, found, order, shop_id=shop_id, now=now)
    elif row.status == "canceled" and found.status == "succeeded":
        raise Conflict(f"payment {row.id} was canceled by YooKassa, which now calls it succeeded")
    return Followed(row.id, order.person_id, order.titles, row.status, status, found.reason, credit, row.by_card)


_STATUS_OF: Final = {
    "pending": "pending",
    # Never asked for: we take payments in one stage. It is not paid for until it is taken.
    "waiting_for_capture": "pending",
    "succeeded": "succeeded",
    "canceled": "canceled",
}


async def _owner(tx: AsyncConnection, found: objects.Payment) -> RoublePayment | None:
    """Return our row of an object: by its id, else by the number and the order's payload that our request carried."""
    by_id = records.SELECT.where(payments.c.provider == YOOKASSA, payments.c.provider_payment_id == found.id)
    row = (await tx.execute(by_id)).one_or_none()
    if row is None:
        number, payload = found.metadata.get(PAYMENT_KEY, ""), found.metadata.get(ORDER_KEY, "")
        if not (number.isdecimal() and len(number) <= 18):
            return None
        ours = records.SELECT.where(payments.c.id == int(number), payments.c.provider == YOOKASSA)
        row = (await tx.execute(ours.where(payments.c.payload == payload))).one_or_none()
    return RoublePayment(*row) if row else None


async def _follow_stray(
    tx: AsyncConnection, found: objects.Payment, origin: RoublePayment, order: Order, *, shop_id: str, now: datetime
) -> Followed | None:
    """Record a second payment of an order, if its money was taken: it is credited like any other, or quarantined.

    `origin`: the payment that we asked for.
    """
    if found.status != "succeeded":
        return None
    payment_id = (
        await tx.execute(
            sa.insert(payments)
            .values(
                provider=YOOKASSA,
                provider_payment_id=found.id,
                payer_id=order.person_id,
                payload=order.payload,
                order_id=order.id,
                currency=RUB,
                amount=found.kopecks,
                status="succeeded",
                created_at=now,
                updated_at=now,
            )
            .returning(payments.c.id)
        )
    ).scalar_one()
    await tx.execute(sa.insert(yookassa_payments).values(payment_id=payment_id, request=""))
    credit = await _credit(tx, payment_id, origin, found, order, shop_id=shop_id, now=now)
    return Followed(payment_id, order.person_id, order.titles, "", "succeeded", credit=credit)


async def _credit(
    tx: AsyncConnection,
    payment_id: int,
    origin: RoublePayment,
    found: objects.Payment,
    order: Order,
    *,
    shop_id: str,
    now: datetime,
) -> Credit:
    reason = _misfit(found, order, shop_id)
    paid = Paid(payment_id, found.id, RUB, found.kopecks)
    if reason is None and order.kind == "subscription":
        # The answer to a charge of a kept card names that card as well: it was kept before.
        saved = found.saved_method if origin.saves else None
        return await card_crediting.credit(tx, paid, order, origin_id=origin.id, saved=saved, now=now)
    if reason is None:
        return await crediting.one_off(tx, paid, order, now=now)
    await tx.execute(sa.update(payments).where(payments.c.id == payment_id).values(amount=found.kopecks))
    return await crediting.quarantine(tx, paid, order, reason, now=now)


def _misfit(found: objects.Payment, order: Order, shop_id: str) -> Reason | None:
    """Say why what was paid is not what the order asked for, None if it is."""
    if found.account_id not in ("", shop_id):
        return "wrong_recipient"
    if (found.kopecks, found.currency) != (order.amount, order.currency):
        return "wrong_price"
    if found.metadata.get(ORDER_KEY) != order.payload:
        return "unknown_payload"
    return None
