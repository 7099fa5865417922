"""Payments in roubles: a row with its idempotency key before the call, and then only what YooKassa itself says.

    intent → sent → pending | unknown → succeeded | canceled

`sent` is committed before the request goes out, so what a crash leaves is asked about and never forgotten. `unknown`
moves by an object of YooKassa's alone: by its id, by the same key and body while the key lives, by the list after that.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import crediting, ledger, orders
from billing.crediting import Credit, Paid
from billing.orders import Order
from billing.payments import YOOKASSA, Reason
from billing.rouble_tables import yookassa_payments
from billing.tables import payments
from billing.yookassa import objects
from kit.errors import Conflict

RUB: Final = "RUB"
OPEN: Final = ("intent", "sent", "pending", "unknown")
# YooKassa remembers a key for 24 h, and takes it for a new payment after that. The margin is for calls under way.
KEY_LIFE: Final = timedelta(hours=24)
REPEAT_FOR: Final = timedelta(hours=23)
# What was not sent by then belongs to a process that died before it.
INTENT_LIFE: Final = timedelta(hours=1)
ASK_EVERY: Final = timedelta(minutes=1)
# What our requests carry, and the objects bring back.
PAYMENT_KEY: Final = "forma_payment"
ORDER_KEY: Final = "forma_order"


@dataclass(frozen=True, slots=True)
class RoublePayment:
    """A payment of an order. `amount` in kopecks; `request` is what is sent with `key`; `reason`: why it was canceled.

    No `key`: YooKassa told of it without our having asked for it so.
    """

    id: int
    person_id: int
    order_id: int | None
    payload: str
    amount: int
    status: str
    key: str | None
    provider_payment_id: str | None
    sent_at: datetime | None
    created_at: datetime
    request: str
    posted_at: datetime | None
    asked_at: datetime | None
    confirmation_url: str | None
    reason: str | None

    def may_be_posted(self, now: datetime) -> bool:
        """Tell whether the request may go out (again): nothing is known of it, and its key still means this payment."""
        if not self.key or self.provider_payment_id or self.status not in ("intent", "sent", "unknown"):
            return False
        return self.sent_at is None or now < self.sent_at + REPEAT_FOR


@dataclass(frozen=True, slots=True)
class Followed:
    """What an object of YooKassa's changed here. `credit` is there once its money was taken, whatever became of it."""

    payment_id: int
    person_id: int
    titles: dict[str, str]
    before: str
    status: str
    reason: str = ""
    credit: Credit | None = None

    @property
    def changed(self) -> bool:
        return self.before != self.status


_SELECT: Final[sa.Select[Any]] = sa.select(
    payments.c.id,
    payments.c.payer_id,
    payments.c.order_id,
    payments.c.payload,
    payments.c.amount,
    payments.c.status,
    payments.c.idempotency_key,
    payments.c.provider_payment_id,
    payments.c.sent_at,
    payments.c.created_at,
    yookassa_payments.c.request,
    yookassa_payments.c.posted_at,
    yookassa_payments.c.asked_at,
    yookassa_payments.c.confirmation_url,
    yookassa_payments.c.reason,
).join(yookassa_payments, yookassa_payments.c.payment_id == payments.c.id)


async def begin(tx: AsyncConnection, order: Order, *, build: Callable[[int], str], now: datetime) -> RoublePayment:
    """Return the order's payment that goes on, or a new intent; `build` makes its request from its number.

    The caller holds the wallet's lock, so that two presses at once find one payment.
    """
    latest = await latest_of_order(tx, order.id)
    if latest is not None and latest.status != "canceled":
        return latest
    payment_id = (
        await tx.execute(
            sa.insert(payments)
            .values(
                provider=YOOKASSA,
                idempotency_key=str(uuid.uuid4()),
                payer_id=order.person_id,
                payload=order.payload,
                order_id=order.id,
                currency=RUB,
                amount=order.amount,
                status="intent",
                created_at=now,
                updated_at=now,
            )
            .returning(payments.c.id)
        )
    ).scalar_one()
    await tx.execute(sa.insert(yookassa_payments).values(payment_id=payment_id, request=build(payment_id)))
    begun = await find(tx, payment_id)
    assert begun is not None
    return begun


async def latest_of_order(connection: AsyncConnection, order_id: int) -> RoublePayment | None:
    """Return the latest payment that was begun for an order."""
    row = await connection.execute(
        _SELECT.where(payments.c.order_id == order_id).order_by(payments.c.id.desc()).limit(1)
    )
    found = row.one_or_none()
    return RoublePayment(*found) if found else None


async def find(connection: AsyncConnection, payment_id: int) -> RoublePayment | None:
    """Return a payment by our number."""
    row = (await connection.execute(_SELECT.where(payments.c.id == payment_id))).one_or_none()
    return RoublePayment(*row) if row else None


async def take_to_post(tx: AsyncConnection, payment_id: int, *, now: datetime) -> RoublePayment | None:
    """Note that the request goes out now; None when it must not (known already, or its key is too old)."""
    found = await _lock(tx, payment_id)
    if found is None or not found.may_be_posted(now):
        return None
    if found.status == "intent":
        await _set_status(tx, payment_id, "sent", now, sent_at=now)
    await _note(tx, payment_id, posted_at=now, asked_at=now)
    return await find(tx, payment_id)


async def mark_asked(tx: AsyncConnection, payment_id: int, *, now: datetime) -> None:
    """Note that YooKassa is being asked, so that nobody else asks at the same time."""
    await _note(tx, payment_id, asked_at=now)


async def mark_unknown(tx: AsyncConnection, payment_id: int, *, now: datetime) -> None:
    """Note that the request may have been carried out; nothing but YooKassa's word moves it from there."""
    found = await _lock(tx, payment_id)
    if found is not None and found.status == "sent":
        await _set_status(tx, payment_id, "unknown", now)


async def cancel(tx: AsyncConnection, payment_id: int, *, reason: str, now: datetime) -> bool:
    """Note that nothing was charged and nothing will be: refused, or not in YooKassa's list. True when it is new."""
    found = await _lock(tx, payment_id)
    if found is None or found.provider_payment_id is not None or found.status not in ("intent", "sent", "unknown"):
        return False
    await _set_status(tx, payment_id, "canceled", now)
    await _note(tx, payment_id, reason=reason)
    return True


async def due(connection: AsyncConnection, *, now: datetime, limit: int) -> list[RoublePayment]:
    """Return the payments whose outcome is to be asked for, the longest unasked first."""
    rows = await connection.execute(
        _SELECT.where(
            payments.c.status.in_(("sent", "pending", "unknown")),
            sa.func.coalesce(yookassa_payments.c.asked_at, payments.c.updated_at) <= now - ASK_EVERY,
        )
        .order_by(sa.func.coalesce(yookassa_payments.c.asked_at, payments.c.updated_at))
        .limit(limit)
    )
    return [RoublePayment(*row) for row in rows]


async def cancel_unsent(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Close intents that were never sent; return how many."""
    chosen = (
        sa.select(payments.c.id)
        .where(payments.c.provider == YOOKASSA, payments.c.status == "intent")
        .where(payments.c.created_at <= now - INTENT_LIFE)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    left = (await tx.execute(chosen)).scalars().all()
    for payment_id in left:
        await cancel(tx, payment_id, reason="never_sent", now=now)
    return len(left)


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
    row = await _lock(tx, owner.id) if owner else None
    assert row is not None
    if row.provider_payment_id not in (None, found.id) or (row.status == "canceled" and not row.provider_payment_id):
        return await _follow_stray(tx, found, order, shop_id=shop_id, now=now)
    if row.status == "intent":
        await _set_status(tx, row.id, "sent", now, sent_at=now)
    credit, status = None, row.status
    if row.status in OPEN:
        status = _STATUS_OF[found.status]
        if status != row.status:
            await _set_status(tx, row.id, status, now, provider_payment_id=found.id)
        await _note(tx, row.id, confirmation_url=found.confirmation_url or row.confirmation_url, reason=found.reason)
        if status == "succeeded":
            credit = await _credit(tx, row.id, found, order, shop_id=shop_id, now=now)
    elif row.status == "canceled" and found.status == "succeeded":
        raise Conflict(f"payment {row.id} was canceled by YooKassa, which now calls it succeeded")
    return Followed(row.id, order.person_id, order.titles, row.status, status, found.reason, credit)


_STATUS_OF: Final = {
    "pending": "pending",
    # Never asked for: we take payments in one stage. It is not paid for until it is taken.
    "waiting_for_capture": "pending",
    "succeeded": "succeeded",
    "canceled": "canceled",
}


async def _owner(tx: AsyncConnection, found: objects.Payment) -> RoublePayment | None:
    """Return our row of an object: by its id, else by the number and the order's payload that our request carried."""
    by_id = _SELECT.where(payments.c.provider == YOOKASSA, payments.c.provider_payment_id == found.id)
    row = (await tx.execute(by_id)).one_or_none()
    if row is None:
        number, payload = found.metadata.get(PAYMENT_KEY, ""), found.metadata.get(ORDER_KEY, "")
        if not (number.isdecimal() and len(number) <= 18):
            return None
        ours = _SELECT.where(payments.c.id == int(number), payments.c.provider == YOOKASSA)
        row = (await tx.execute(ours.where(payments.c.payload == payload))).one_or_none()
    return RoublePayment(*row) if row else None


async def _follow_stray(
    tx: AsyncConnection, found: objects.Payment, order: Order, *, shop_id: str, now: datetime
) -> Followed | None:
    """Record a second payment of an order, if its money was taken: it is credited like any other, or quarantined."""
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
    credit = await _credit(tx, payment_id, found, order, shop_id=shop_id, now=now)
    return Followed(payment_id, order.person_id, order.titles, "", "succeeded", credit=credit)


async def _credit(
    tx: AsyncConnection, payment_id: int, found: objects.Payment, order: Order, *, shop_id: str, now: datetime
) -> Credit:
    reason = _misfit(found, order, shop_id)
    paid = Paid(payment_id, found.id, RUB, found.kopecks)
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
    if order.kind == "subscription":
        return "wrong_kind"
    return None


async def _lock(tx: AsyncConnection, payment_id: int) -> RoublePayment | None:
    chosen = _SELECT.where(payments.c.id == payment_id).with_for_update(key_share=True, of=payments)
    row = (await tx.execute(chosen)).one_or_none()
    return RoublePayment(*row) if row else None


async def _set_status(tx: AsyncConnection, payment_id: int, status: str, now: datetime, **values: object) -> None:
    await tx.execute(
        sa.update(payments).where(payments.c.id == payment_id).values(status=status, updated_at=now, **values)
    )


async def _note(tx: AsyncConnection, payment_id: int, **values: object) -> None:
    await tx.execute(sa.update(yookassa_payments).where(yookassa_payments.c.payment_id == payment_id).values(**values))
