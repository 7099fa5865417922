"""Receipts in roubles on schedule: YooKassa is asked about those that are pending, the operator told of the missing.

How one stands comes with the object of its payment or refund (app.rouble_payments, app.rouble_refunds), whatever led
there: a notification, a question of theirs, the nightly lists, or the sweep here.
"""

import asyncio
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import rouble_payments, rouble_refunds
from app.alerts import alert
from app.context import App
from billing import rouble_receipts
from billing.rouble_receipts import Receipt
from billing.yookassa.errors import NotReached, Refused, Unknown
from kit import audit
from kit.errors import Conflict

log = structlog.get_logger(__name__)

ASKED_MAX = 50
TOGETHER_MAX = 4
# Of the missing so many are told one by one, a run; the others are counted, and /receipts shows them.
TOLD_MAX = 10
COUNTED_MAX = 500
ACTION = "receipt_by_hand"


async def sweep(app: App) -> None:
    """Ask about what is pending and tell what is missing. Several workers may do it at once."""
    if app.yookassa is None:
        return
    async with app.db.transaction() as tx:
        due = await rouble_receipts.take_due(tx, now=app.clock.now(), limit=ASKED_MAX)
    for start in range(0, len(due), TOGETHER_MAX):
        some = due[start : start + TOGETHER_MAX]
        ends = await asyncio.gather(*(_ask(app, one) for one in some), return_exceptions=True)
        away = False
        for one, end in zip(some, ends, strict=True):
            if isinstance(end, NotReached | Unknown):
                away = True
                log.warning("receipt_not_asked", receipt=one.id, detail=end.detail)
            elif isinstance(end, Conflict):
                log.error("receipt_contradicts", receipt=one.id, error=str(end))
            elif isinstance(end, BaseException):
                log.error("receipt_not_followed", receipt=one.id, error=type(end).__name__, exc_info=end)
        if away:
            break  # each has its next time already
    await _tell(app)


async def _ask(app: App, receipt: Receipt) -> None:
    """Look at the payment or the refund that a receipt is of. Raises NotReached, Unknown, Conflict."""
    if receipt.provider_id is None:
        return
    shop = rouble_payments.shop_of(app)
    try:
        if receipt.refund_id is None:
            await rouble_payments.record(app, await shop.payment(receipt.provider_id))
        else:
            await rouble_refunds.record(app, await shop.refund(receipt.provider_id))
    except Refused as refused:
        log.warning("receipt_not_shown", receipt=receipt.id, reason=str(refused))
        async with app.db.transaction() as tx:
            await rouble_receipts.stop_asking(tx, receipt.id, now=app.clock.now())


async def _tell(app: App) -> None:
    now = app.clock.now()
    async with app.db.transaction() as tx:
        missing = await rouble_receipts.take_missing(tx, now=now, limit=COUNTED_MAX)
        for one in missing[:TOLD_MAX]:
            log.error("receipt_missing", receipt=one.id, payment=one.payment_id, status=one.status)
            await alert(app, tx, "admin-alert-receipt-missing", card_args(one), now=now)
        if len(missing) > TOLD_MAX:
            log.error("receipts_missing", count=len(missing))
            await alert(app, tx, "admin-alert-receipts-missing-more", {"count": len(missing) - TOLD_MAX}, now=now)
        came = await rouble_receipts.take_came(tx, limit=TOLD_MAX)
        for one in came:
            await alert(app, tx, "admin-alert-receipt-came", card_args(one), now=now)


def card_args(receipt: Receipt) -> dict[str, object]:
    """Return what a receipt's alert and its line of /receipts say."""
    return {
        "receipt": receipt.id,
        "payment_id": receipt.payment_id,
        "kind": "payment" if receipt.refund_id is None else "refund",
        "kopecks": receipt.kopecks,
        "charge": receipt.provider_id or "?",
        "status": receipt.status,
    }


async def mark_by_hand(tx: AsyncConnection, receipt_id: int, *, actor_id: int, now: datetime) -> Receipt | None:
    """Note that the operator has made a receipt elsewhere, in the audit log too; None when it needs none any more."""
    made = await rouble_receipts.mark_by_hand(tx, receipt_id)
    if made is not None:
        details = {"receipt": made.id, "payment": made.payment_id, "refund": made.refund_id}
        await audit.record(tx, actor_id=actor_id, action=ACTION, subject_id=made.payer_id, details=details, now=now)
    return made
