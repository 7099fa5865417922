"""Refunds in roubles: a row with its idempotency key before the call, and then only what YooKassa itself says.

    intent → sent → pending | unknown → succeeded | canceled

The tokens go with the intent and come back with `canceled` (billing.refunds). `unknown` moves by an object of
YooKassa's alone: by its id, by the same key and body while the key lives, by the payment's list of refunds after that.
An intent is kept until it was sent, however long that takes: somebody was promised their money. Parts of a payment may
go back by several refunds, of which we have one on its way at most.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import payments as records
from billing import refund_parts, refunds
from billing.payments import YOOKASSA
from billing.refund_parts import MoreThanLeft
from billing.refunds import OPEN, Refund
from billing.rouble_payments import ASK_EVERY, REPEAT_FOR
from billing.rouble_tables import yookassa_payments, yookassa_refunds
from billing.tables import orders, payments, plans
from billing.tables import refunds as rows
from billing.yookassa import objects, requests
from billing.yookassa.objects import rendered
from kit.errors import Conflict

# What our requests carry, and the objects bring back.
REFUND_KEY: Final = "forma_refund"
# Why a refund was booked that YooKassa told of and nobody had asked us for, and why one of ours gave way to it.
MADE_THERE: Final = "provider"
OVERTAKEN: Final = "overtaken"


@dataclass(frozen=True, slots=True)
class RoubleRefund:
    """A refund as YooKassa is asked for it. `amount` in kopecks; `request` is what is sent with `key`.

    An empty `request`: it was made at YooKassa, and not by us.
    """

    id: int
    payment_id: int
    provider_payment_id: str
    payer_id: int
    amount: int
    status: str
    key: str
    provider_refund_id: str | None
    created_at: datetime
    request: str
    sent_at: datetime | None
    posted_at: datetime | None
    asked_at: datetime | None
    reason: str | None

    def may_be_posted(self, now: datetime) -> bool:
        """Tell whether the request may go out (again): nothing is known of it, and its key still means this refund."""
        if not self.request or self.provider_refund_id or self.status not in ("intent", "sent", "unknown"):
            return False
        return self.sent_at is None or now < self.sent_at + REPEAT_FOR


@dataclass(frozen=True, slots=True)
class Followed:
    """What a refund of YooKassa's changed here. `reason`: why it was canceled, in YooKassa's words.

    `made_there`: nobody had asked us for it. `gave_way`: the refund of ours that cannot be made beside it any more.
    """

    refund: Refund
    before: str
    reason: str = ""
    made_there: bool = False
    gave_way: Refund | None = None

    @property
    def changed(self) -> bool:
        return self.before != self.refund.status


_SELECT: Final[sa.Select[Any]] = (
    sa.select(
        rows.c.id,
        rows.c.payment_id,
        payments.c.provider_payment_id,
        payments.c.payer_id,
        rows.c.amount,
        rows.c.status,
        rows.c.idempotency_key,
        rows.c.provider_refund_id,
        rows.c.created_at,
        yookassa_refunds.c.request,
        yookassa_refunds.c.sent_at,
        yookassa_refunds.c.posted_at,
        yookassa_refunds.c.asked_at,
        yookassa_refunds.c.reason,
    )
    .join(payments, payments.c.id == rows.c.payment_id)
    .join(yookassa_refunds, yookassa_refunds.c.refund_id == rows.c.id)
)


async def begin(tx: AsyncConnection, refund: Refund) -> None:
    """Write down what YooKassa is to be asked for an open refund of roubles. Idempotent."""
    if await find(tx, refund.id) is None:
        request = await _request(tx, refund)
        await tx.execute(sa.insert(yookassa_refunds).values(refund_id=refund.id, request=request))


async def find(connection: AsyncConnection, refund_id: int) -> RoubleRefund | None:
    """Return a refund by our number."""
    row = (await connection.execute(_SELECT.where(rows.c.id == refund_id))).one_or_none()
    return RoubleRefund(*row) if row else None


async def take_to_post(tx: AsyncConnection, refund_id: int, *, now: datetime) -> RoubleRefund | None:
    """Note that the request goes out now; None when it must not (known already, or its key is too old)."""
    found = await _lock(tx, refund_id)
    if found is None or not found.may_be_posted(now):
        return None
    # Whoever sent it a moment ago may have looked at the clock later, and been first all the same.
    at = max(now, found.posted_at or now)
    if found.status == "intent":
        await _set(tx, refund_id, now, status="sent")
        await _note(tx, refund_id, sent_at=at)
    await _note(tx, refund_id, posted_at=at, asked_at=at)
    return await find(tx, refund_id)


async def mark_asked(tx: AsyncConnection, refund_id: int, *, now: datetime) -> None:
    """Note that YooKassa is being asked, so that nobody else asks at the same time."""
    await _note(tx, refund_id, asked_at=now)


async def mark_unknown(tx: AsyncConnection, refund_id: int, *, now: datetime) -> None:
    """Note that the request may have been carried out; nothing but YooKassa's word moves it from there."""
    found = await _lock(tx, refund_id)
    if found is not None and found.status == "sent":
        await _set(tx, refund_id, now, status="unknown")


async def cancel(tx: AsyncConnection, refund_id: int, *, reason: str, now: datetime) -> Followed | None:
    """Note that nothing goes back: YooKassa refused, or its list lacks it. The tokens return. None: not new."""
    found = await find(tx, refund_id)
    if found is None:
        return None
    await refunds.lock(tx, found.payment_id, now=now)
    found = await _lock(tx, refund_id)
    if found is None or found.provider_refund_id is not None or found.status not in OPEN:
        return None
    await refunds.refuse(tx, refund_id=refund_id, now=now)
    await _note(tx, refund_id, reason=reason)
    return Followed(await _booked(tx, refund_id), found.status, reason)


async def due(connection: AsyncConnection, *, now: datetime, limit: int) -> list[RoubleRefund]:
    """Return the refunds that are to be sent or asked about, the longest unasked first."""
    asked = yookassa_refunds.c.asked_at
    found = await connection.execute(
        _SELECT.where(rows.c.status.in_(OPEN), sa.or_(asked.is_(None), asked <= now - ASK_EVERY))
        .order_by(asked.nulls_first(), rows.c.id)
        .limit(limit)
    )
    return [RoubleRefund(*row) for row in found]


async def follow(tx: AsyncConnection, found: objects.Refund, *, now: datetime) -> Followed | None:
    """Bring our row to what YooKassa says of a refund, with its money and tokens. Idempotent.

    One that nobody asked us for, made in YooKassa's cabinet, is booked like ours, of the whole or of a part. Returns
    None for what changes nothing here, such as a refund of no payment of ours. Raises Conflict.
    """
    payment = await records.by_charge(tx, charge_id=found.payment_id, provider=YOOKASSA)
    if payment is None:
        return None
    await refunds.lock(tx, payment.id, now=now)
    row, gave_way = await _ours(tx, payment.id, found), None
    if row is None or (row.status == "canceled" and row.provider_refund_id is None):
        # Nobody asked us for it, or we had given it up.
        if found.status != "succeeded":
            return None
        gave_way = await _make_way(tx, payment.id, found, now)
        row = await _made_there(tx, payment.id, found, now)
        if row is None:
            return None
    if row.status == "canceled" and found.status == "succeeded":
        raise Conflict(f"refund {row.id} is canceled here, and YooKassa calls it succeeded")
    if row.status not in OPEN:
        return Followed(await _booked(tx, row.id), row.status)
    if found.kopecks != row.amount:
        raise Conflict(f"refund {row.id} is of {row.amount} kopecks, at YooKassa of {found.kopecks}")
    if row.status == "intent":
        await _set(tx, row.id, now, status="sent")
    await _set(tx, row.id, now, provider_refund_id=found.id)
    if found.status == "succeeded":
        await refunds.confirm(tx, refund_id=row.id, now=now)
    elif found.status == "canceled":
        await refunds.refuse(tx, refund_id=row.id, now=now)
        await _note(tx, row.id, reason=found.reason)
    elif row.status != "pending":
        await _set(tx, row.id, now, status="pending")
    booked = await _booked(tx, row.id)
    return Followed(booked, row.status, found.reason, made_there=not row.request, gave_way=gave_way)


async def _ours(tx: AsyncConnection, payment_id: int, found: objects.Refund) -> RoubleRefund | None:
    """Return our row of an object: by its id, else by the number that our request carried."""
    by_id = _SELECT.where(rows.c.provider_refund_id == found.id, rows.c.payment_id == payment_id)
    row = (await tx.execute(by_id)).one_or_none()
    number = found.metadata.get(REFUND_KEY, "")
    if row is None and number.isdecimal() and number.isascii() and len(number) <= 18:
        ours = _SELECT.where(rows.c.id == int(number), rows.c.payment_id == payment_id)
        row = (await tx.execute(ours.where(rows.c.provider_refund_id.is_(None)))).one_or_none()
    return RoubleRefund(*row) if row else None


async def _made_there(
    tx: AsyncConnection, payment_id: int, found: objects.Refund, now: datetime
) -> RoubleRefund | None:
    """Return the row of a refund that somebody made in YooKassa's cabinet, None when the payment's money is gone here.

    A refund of ours that is on its way, of as much, and does not fit beside it, then has its money: YooKassa gives
    nothing back twice. Raises Conflict when more went back there than was paid.
    """
    ours = await refunds.open_of(tx, payment_id)
    if ours is not None and found.kopecks > await _left(tx, payment_id):
        row = await find(tx, ours.id)
        assert row is not None  # asked of YooKassa in the transaction that opened it
        return row
    try:
        refund = await refunds.request(
            tx,
            payment_id=payment_id,
            requested_by=None,
            reason=MADE_THERE,
            now=now,
            amount=found.kopecks,
            beside=True,
        )
    except refunds.NotRefundable:
        return None
    except MoreThanLeft as error:
        raise Conflict(f"{found.kopecks} kopecks of payment {payment_id} went back, of {error.left}") from error
    await tx.execute(sa.insert(yookassa_refunds).values(refund_id=refund.id, request=""))
    return await find(tx, refund.id)


async def _make_way(tx: AsyncConnection, payment_id: int, found: objects.Refund, now: datetime) -> Refund | None:
    """Cancel the refund of ours that does not fit beside one made in YooKassa's cabinet; return it, if there is one.

    YooKassa gives no more back than was paid, so ours cannot have gone through. One of the same amount stays: it has
    its money. Raises Conflict when YooKassa knows ours, and so contradicts itself.
    """
    ours = await refunds.open_of(tx, payment_id)
    if ours is None or found.kopecks <= await _left(tx, payment_id):
        return None
    row = await find(tx, ours.id)
    if row is None or row.provider_refund_id is not None:
        raise Conflict(f"{found.kopecks} kopecks of payment {payment_id} went back beside refund {ours.id}")
    if row.amount == found.kopecks:
        return None
    await refunds.refuse(tx, refund_id=row.id, now=now)
    await _note(tx, row.id, reason=OVERTAKEN)
    return await _booked(tx, row.id)


async def _left(tx: AsyncConnection, payment_id: int) -> int:
    """Return what no refund of a payment has yet, in kopecks."""
    sums = await refund_parts.sums(tx, payment_id)
    paid = await tx.scalar(sa.select(payments.c.amount).where(payments.c.id == payment_id))
    return int(paid or 0) - sums.back - sums.going


async def _request(tx: AsyncConnection, refund: Refund) -> str:
    """Return the body that asks for a refund. Its receipt names what the payment's did, to the same address.

    A payment that came without a request of ours, a second one of an order, has the receipt of the order's other one.
    """
    other, asked = payments.alias(), yookassa_payments.alias()
    of_order = (
        sa.select(asked.c.request)
        .join(other, other.c.id == asked.c.payment_id)
        .where(other.c.order_id == payments.c.order_id, asked.c.request != "")
        .order_by(other.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    request = sa.func.coalesce(sa.func.nullif(yookassa_payments.c.request, ""), of_order)
    paid = (
        await tx.execute(
            sa.select(request.label("request"), plans.c.titles)
            .select_from(payments)
            .join(yookassa_payments, yookassa_payments.c.payment_id == payments.c.id)
            .outerjoin(orders, orders.c.id == payments.c.order_id)
            .outerjoin(plans, plans.c.id == orders.c.plan_id)
            .where(payments.c.id == refund.payment_id)
        )
    ).one()
    title = (paid.titles or {}).get("ru", "")  # receipts and the payer's bank are Russian
    return requests.refund(
        refund.charge_id,
        kopecks=refund.amount,
        description=f"Возврат: {title}" if title else "Возврат",
        receipt=_receipt(paid.request, refund.amount),
        metadata={REFUND_KEY: str(refund.id)},
    )


def _receipt(payment_request: str | None, kopecks: int) -> dict[str, Any] | None:
    """Return the receipt of a payment's request with the amount that goes back, None if there was none.

    It is taken from there, and not from today's settings: the VAT is that of the sale, and so is the mode.
    """
    asked = orjson.loads(payment_request) if payment_request else {}
    receipt = asked.get("receipt")
    if receipt is None:
        return None
    [item] = receipt["items"]  # we sell one thing at a time
    return {**receipt, "items": [{**item, "amount": rendered(kopecks)}]}


async def _booked(tx: AsyncConnection, refund_id: int) -> Refund:
    found = await refunds.find(tx, refund_id)
    assert found is not None  # refunds stay
    return found


async def _lock(tx: AsyncConnection, refund_id: int) -> RoubleRefund | None:
    chosen = _SELECT.where(rows.c.id == refund_id).with_for_update(key_share=True, of=rows)
    row = (await tx.execute(chosen)).one_or_none()
    return RoubleRefund(*row) if row else None


async def _set(tx: AsyncConnection, refund_id: int, now: datetime, **values: object) -> None:
    await tx.execute(sa.update(rows).where(rows.c.id == refund_id).values(updated_at=now, **values))


async def _note(tx: AsyncConnection, refund_id: int, **values: object) -> None:
    await tx.execute(sa.update(yookassa_refunds).where(yookassa_refunds.c.refund_id == refund_id).values(**values))
