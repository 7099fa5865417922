"""Payments in roubles: a row with its idempotency key before the call, and then only what YooKassa itself says.

    intent → sent → pending | unknown → succeeded | canceled

`sent` is committed before the request goes out, so what a crash leaves is asked about and never forgotten. `unknown`
moves by an object of YooKassa's alone: by its id, by the same key and body while the key lives, by the list after that.
A charge of a saved card whose owner has called it off is never posted again, though its key lives.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.card_tables import payment_methods, renewal_tries
from billing.orders import Order
from billing.payments import YOOKASSA
from billing.rouble_tables import yookassa_payments
from billing.tables import payments, subscriptions

RUB: Final = "RUB"
# The states of a subscription in which its card may be charged.
CHARGING: Final = ("active", "past_due")
# YooKassa remembers a key for 24 h, and takes it for a new payment after that. The margin is for calls under way.
KEY_LIFE: Final = timedelta(hours=24)
REPEAT_FOR: Final = timedelta(hours=23)
# What was not sent by then belongs to a process that died before it, and whoever wanted it did not press again.
INTENT_LIFE: Final = timedelta(hours=1)
ASK_EVERY: Final = timedelta(minutes=1)
# A request that nothing was heard of since is not on its way any more.
UNDER_WAY_FOR: Final = timedelta(minutes=10)
# What our requests carry, and the objects bring back.
PAYMENT_KEY: Final = "forma_payment"
ORDER_KEY: Final = "forma_order"


@dataclass(frozen=True, slots=True)
class RoublePayment:
    """A payment of an order. `amount` in kopecks; `request` is what is sent with `key`; `reason`: why it was canceled.

    No `key`: YooKassa told of it without our having asked for it so. `by_card`: nobody confirms it, a saved card is
    charged. `called_off`: that card was removed, or the subscription ends without it.
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
    by_card: bool
    called_off: bool

    @property
    def saves(self) -> bool:
        """Whether its payer let the means of payment be kept."""
        return '"save_payment_method":true' in self.request  # JSON of ours: inside a text its quotes were escaped

    def may_be_posted(self, now: datetime) -> bool:
        """Tell whether the request may go out (again): nothing is known of it, and its key still means this payment."""
        if not self.key or self.provider_payment_id or self.status not in ("intent", "sent", "unknown"):
            return False
        return not self.called_off and (self.sent_at is None or now < self.sent_at + REPEAT_FOR)

    def may_be_looked_up(self, now: datetime) -> bool:
        """Tell whether the list of payments says the last word on it: what is not there by now was never made."""
        if self.sent_at is None:
            return False
        if self.called_off:
            return now >= (self.posted_at or self.sent_at) + UNDER_WAY_FOR
        return now >= self.sent_at + KEY_LIFE


_BY_CARD: Final = renewal_tries.c.method_id.is_not(None)
_CALLED_OFF: Final = sa.and_(
    _BY_CARD,
    sa.or_(
        subscriptions.c.status.not_in(CHARGING),
        ~sa.exists().where(payment_methods.c.id == renewal_tries.c.method_id, payment_methods.c.status == "active"),
    ),
)


def _of_try(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return whether a payment is a try to renew of which this is true."""
    tried = (
        sa.select(condition)
        .select_from(renewal_tries.join(subscriptions, subscriptions.c.id == renewal_tries.c.subscription_id))
        .where(renewal_tries.c.payment_id == payments.c.id)
        .correlate(payments)
        .scalar_subquery()
    )
    return sa.func.coalesce(tried, sa.false())


SELECT: Final[sa.Select[Any]] = sa.select(
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
    _of_try(_BY_CARD),
    _of_try(_CALLED_OFF),
).join(yookassa_payments, yookassa_payments.c.payment_id == payments.c.id)


async def begin(tx: AsyncConnection, order: Order, *, build: Callable[[int], str], now: datetime) -> RoublePayment:
    """Return the order's payment that goes on, or a new intent; `build` makes its request from its number.

    The caller holds the wallet's lock, so that two presses at once find one payment.
    """
    latest = await latest_of_order(tx, order.id)
    if latest is not None and latest.status != "canceled":
        return latest
    return await intend(tx, order, build=build, now=now)


async def intend(tx: AsyncConnection, order: Order, *, build: Callable[[int], str], now: datetime) -> RoublePayment:
    """Write down a payment of an order before it is asked for; `build` makes its request from its number."""
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
    """Return the latest payment that was begun for an order itself: what renews it pays the same order again."""
    renews = sa.exists().where(renewal_tries.c.payment_id == payments.c.id)
    row = await connection.execute(
        SELECT.where(payments.c.order_id == order_id, ~renews).order_by(payments.c.id.desc()).limit(1)
    )
    found = row.one_or_none()
    return RoublePayment(*found) if found else None


async def find(connection: AsyncConnection, payment_id: int) -> RoublePayment | None:
    """Return a payment by our number."""
    row = (await connection.execute(SELECT.where(payments.c.id == payment_id))).one_or_none()
    return RoublePayment(*row) if row else None


async def take_to_post(tx: AsyncConnection, payment_id: int, *, now: datetime) -> RoublePayment | None:
    """Note that the request goes out now; None when it must not (known already, or its key is too old)."""
    found = await lock(tx, payment_id)
    if found is None or not found.may_be_posted(now):
        return None
    # Whoever sent it a moment ago may have looked at the clock later, and been first all the same.
    at = max(now, found.posted_at or found.sent_at or now)
    if found.status == "intent":
        await set_status(tx, payment_id, "sent", now, sent_at=at)
    await note(tx, payment_id, posted_at=at, asked_at=at)
    return await find(tx, payment_id)


async def mark_asked(tx: AsyncConnection, payment_id: int, *, now: datetime) -> None:
    """Note that YooKassa is being asked, so that nobody else asks at the same time."""
    await note(tx, payment_id, asked_at=now)


async def mark_unknown(tx: AsyncConnection, payment_id: int, *, now: datetime) -> None:
    """Note that the request may have been carried out; nothing but YooKassa's word moves it from there."""
    found = await lock(tx, payment_id)
    if found is not None and found.status == "sent":
        await set_status(tx, payment_id, "unknown", now)


async def cancel(tx: AsyncConnection, payment_id: int, *, reason: str, now: datetime) -> bool:
    """Note that nothing was charged and nothing will be: refused, or not in YooKassa's list. True when it is new."""
    found = await lock(tx, payment_id)
    if found is None or found.provider_payment_id is not None or found.status not in ("intent", "sent", "unknown"):
        return False
    await set_status(tx, payment_id, "canceled", now)
    await note(tx, payment_id, reason=reason)
    return True


async def due(connection: AsyncConnection, *, now: datetime, limit: int) -> list[RoublePayment]:
    """Return the payments whose outcome is to be asked for, the longest unasked first.

    A charge that was written down and not sent is among them, since its worker died and nobody else will press for it.
    """
    rows = await connection.execute(
        SELECT.where(
            payments.c.status.in_(("sent", "pending", "unknown"))
            | ((payments.c.status == "intent") & _of_try(_BY_CARD)),
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


async def lock(tx: AsyncConnection, payment_id: int) -> RoublePayment | None:
    """Return a payment, locked until the transaction ends."""
    chosen = SELECT.where(payments.c.id == payment_id).with_for_update(key_share=True, of=payments)
    row = (await tx.execute(chosen)).one_or_none()
    return RoublePayment(*row) if row else None


async def set_status(tx: AsyncConnection, payment_id: int, status: str, now: datetime, **values: object) -> None:
    """Move a payment to a status; the database knows which ways there are."""
    await tx.execute(
        sa.update(payments).where(payments.c.id == payment_id).values(status=status, updated_at=now, **values)
    )


async def note(tx: AsyncConnection, payment_id: int, **values: object) -> None:
    """Write down what was done about a payment at YooKassa, and what it said."""
    await tx.execute(sa.update(yookassa_payments).where(yookassa_payments.c.payment_id == payment_id).values(**values))
