"""What becomes of refunds in roubles: sent, asked about, booked, told. YooKassa's word alone decides.

A refund is written down in the transaction that takes its tokens (app.refunding), and sent after it. A notification is
only a hint to ask, and YooKassa has none for a refund that was canceled: what is open is asked about every minute.
"""

import asyncio
import contextlib
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts import alert
from app.context import App
from app.notices import tell
from billing import rouble_receipts, rouble_refunds
from billing.refunds import Refund
from billing.rouble_payments import KEY_LIFE
from billing.rouble_refunds import OVERTAKEN, REFUND_KEY, Followed, RoubleRefund
from billing.yookassa import objects
from billing.yookassa.client import YooKassa
from billing.yookassa.errors import NotReached, Refused, Unknown
from kit import inbox
from kit.errors import Conflict, Unavailable

log = structlog.get_logger(__name__)

JOB = "send_refunds"
BATCH_MAX = 50
TOGETHER_MAX = 4
# A payment has as many refunds as it has kopecks at worst; ours are few.
PAGES_MAX = 10


async def hurry(app: App) -> None:
    """Have what was just written down sent at once; without Redis the schedule does it within a minute."""
    with contextlib.suppress(Unavailable):
        await app.jobs.enqueue(JOB)


async def post(app: App, refund_id: int) -> None:
    """Send a refund's request, for the first time or again; whatever happens, its row says so.

    Nothing is raised for YooKassa's being away: the row stays as it is, and the sweep goes on with it.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        going = await rouble_refunds.take_to_post(tx, refund_id, now=now)
    if going is None:
        return
    try:
        found = await _shop(app).create_refund(going.request, key=going.key)
    except Refused as refused:
        log.warning("refund_refused", refund=refund_id, reason=str(refused))
        await _give_up(app, refund_id, str(refused))
    except NotReached as error:
        log.warning("refund_not_sent", refund=refund_id, detail=error.detail)
    except Unknown as error:
        log.warning("refund_unknown", refund=refund_id, detail=error.detail)
        async with app.db.transaction() as tx:
            await rouble_refunds.mark_unknown(tx, refund_id, now=app.clock.now())
    else:
        await record(app, found)


async def record(app: App, found: objects.Refund, *, item: inbox.Item | None = None) -> Followed | None:
    """Bring the books to what YooKassa says of a refund, and tell person and operator, in one transaction.

    `item` is the notification that led here: handled with the effect. Raises Conflict.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        followed = await rouble_refunds.follow(tx, found, now=now)
        if followed is not None and followed.changed:
            refund = followed.refund
            log.info("refund_followed", refund=refund.id, status=refund.status, reason=followed.reason)
            if followed.gave_way is not None:
                # Its person hears of the money that does go back.
                await _alert_failed(app, tx, followed.gave_way, OVERTAKEN, now)
            await _tell(app, tx, refund, followed.reason, now, made_there=followed.made_there)
        if followed is not None:
            refund = followed.refund
            await rouble_receipts.note_refund(tx, refund.payment_id, refund.id, found, now=now)
        if item is not None:
            await inbox.mark_handled(tx, item.id, now=now)
    return followed


async def ask(app: App, going: RoubleRefund) -> None:
    """Find out how a refund stands: by its id, by the same request again, by the list. Raises NotReached, Unknown."""
    now = app.clock.now()
    if going.provider_refund_id is not None:
        async with app.db.transaction() as tx:
            await rouble_refunds.mark_asked(tx, going.id, now=now)
        try:
            await record(app, await _shop(app).refund(going.provider_refund_id))
        except Refused as refused:
            log.warning("refund_not_shown", refund=going.id, reason=str(refused))
    elif going.may_be_posted(now):
        await post(app, going.id)
    elif going.sent_at is not None and now >= going.sent_at + KEY_LIFE:
        await _look_through(app, going)
    else:
        # Too late to repeat, too early to say that it was never made: it waits, behind those that can be asked about.
        async with app.db.transaction() as tx:
            await rouble_refunds.mark_asked(tx, going.id, now=now)


async def _look_through(app: App, going: RoubleRefund) -> None:
    """Find a refund whose key has died among its payment's; only one that is not there was never made."""
    async with app.db.transaction() as tx:
        await rouble_refunds.mark_asked(tx, going.id, now=app.clock.now())
    cursor = ""
    for _ in range(PAGES_MAX):
        page = await _shop(app).refunds(payment_id=going.provider_payment_id, cursor=cursor)
        for found in page.items:
            if found.metadata.get(REFUND_KEY) == str(going.id):
                await record(app, found)
                return
        cursor = page.next_cursor
        if not cursor:
            log.warning("refund_never_arrived", refund=going.id)
            await _give_up(app, going.id, "never_arrived")
            return
    log.error("refund_list_too_long", refund=going.id, pages=PAGES_MAX)


async def sweep(app: App) -> None:
    """Send what is written down and ask about what is open. Several workers may do it at once."""
    if app.yookassa is None:
        return
    async with app.db.read() as connection:
        waiting = await rouble_refunds.due(connection, now=app.clock.now(), limit=BATCH_MAX)
    for start in range(0, len(waiting), TOGETHER_MAX):
        some = waiting[start : start + TOGETHER_MAX]
        ends = await asyncio.gather(*(ask(app, going) for going in some), return_exceptions=True)
        away = False
        for going, end in zip(some, ends, strict=True):
            if isinstance(end, NotReached | Unknown):
                away = True
                log.warning("refund_not_asked", refund=going.id, detail=end.detail)
            elif isinstance(end, Conflict):
                log.error("refund_contradicts", refund=going.id, error=str(end))
            elif isinstance(end, BaseException):
                log.error("refund_not_followed", refund=going.id, error=type(end).__name__, exc_info=end)
        if away:
            return  # the next minute is soon


async def tell_overdue(app: App, tx: AsyncConnection, refund: Refund, *, now: datetime) -> None:
    """Tell the operator that YooKassa has not yet said how a refund ended: once a day. The sweep goes on asking."""
    args = {"kopecks": refund.amount, "id": refund.payer_id, "payment_id": refund.payment_id}
    key = f"alert:overdue:refund:{refund.id}:{now:%Y%m%d}"
    await alert(app, tx, "admin-alert-refund-overdue-roubles", args, dedup_key=key, now=now)


async def _give_up(app: App, refund_id: int, reason: str) -> None:
    """Close a refund that will not be made: the tokens go back, and a person has to look."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        canceled = await rouble_refunds.cancel(tx, refund_id, reason=reason, now=now)
        if canceled is not None:
            await _tell(app, tx, canceled.refund, reason, now)


async def _tell(
    app: App, tx: AsyncConnection, refund: Refund, reason: str, now: datetime, *, made_there: bool = False
) -> None:
    """Tell person and operator how a refund ended: with its effect, so that each is told once."""
    args: dict[str, Any] = {"kopecks": refund.amount, "tokens": refund.tokens_taken}
    said: dict[str, Any] = {"kopecks": refund.amount, "id": refund.payer_id, "payment_id": refund.payment_id}
    if refund.status == "succeeded" and refund.payment_status == "partially_refunded":
        key, told = "refunded-part-roubles", "admin-alert-refunded-part-roubles"
        args["paid"] = refund.paid
        said |= args | {"made": "there" if made_there else "here"}
    elif refund.status == "succeeded":
        key, told = "refunded-roubles", "admin-alert-refunded-roubles"
    elif refund.status == "canceled":
        await tell(tx, refund.payer_id, "refund-failed-roubles", args, str(refund.id), now)
        await _alert_failed(app, tx, refund, reason, now)
        return
    else:
        return
    await tell(tx, refund.payer_id, key, args, str(refund.id), now)
    await alert(app, tx, told, said, dedup_key=f"alert:{key}:{refund.id}", now=now)


async def _alert_failed(app: App, tx: AsyncConnection, refund: Refund, reason: str, now: datetime) -> None:
    args = {"kopecks": refund.amount, "id": refund.payer_id, "payment_id": refund.payment_id, "reason": reason or "?"}
    key = f"alert:refund-failed-roubles:{refund.id}"
    await alert(app, tx, "admin-alert-refund-failed-roubles", args, dedup_key=key, now=now)


def _shop(app: App) -> YooKassa:
    assert app.yookassa is not None, "roubles are off"
    return app.yookassa
