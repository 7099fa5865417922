"""What becomes of payments in roubles: sent, asked about, credited, told. YooKassa's word alone decides.

A notification is only a hint to ask. What neither a notification nor the page brought is asked for every minute.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import card_notices, persons, purchase, rouble_refunds
from app.alerts import alert
from app.context import App
from app.notices import tell
from billing import rouble_following, rouble_payments, rouble_receipts
from billing.payments import YOOKASSA
from billing.rouble_following import Followed
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY, RoublePayment
from billing.yookassa import objects
from billing.yookassa.client import YooKassa
from billing.yookassa.errors import NotReached, Refused, Unknown
from kit import ids, inbox
from kit.errors import Conflict, Unavailable
from kit.words import Key

log = structlog.get_logger(__name__)

BATCH_MAX = 50
TOGETHER_MAX = 4
NOTIFICATIONS_MAX = 100
# One object that YooKassa does not tell of holds up no other; after so many it is away.
UNTOLD_MAX = 3
# The list is looked through for what a lost request may have made: so long around it, so many pages.
WINDOW_BEFORE, WINDOW_AFTER = timedelta(minutes=5), timedelta(hours=1)
PAGES_MAX = 100
# The person left the page without paying, or paid elsewhere: nothing to tell.
QUIET_REASONS = frozenset({"expired_on_confirmation", "canceled_by_merchant"})
REFUSED = "refused"
# YooKassa's reasons that have words of their own; every other one is told as a bank's refusal.
REASON_WORDS = {
    "insufficient_funds": "insufficient_funds",
    "card_expired": "card_expired",
    "invalid_card_number": "invalid_card_number",
    "invalid_csc": "invalid_csc",
    "3d_secure_failed": "unconfirmed",
    "payment_method_limit_exceeded": "payment_method_limit_exceeded",
    "country_forbidden": "country_forbidden",
    "expired_on_confirmation": "expired_on_confirmation",
}


def shop_of(app: App) -> YooKassa:
    """Return the shop; only what runs while roubles are taken may ask."""
    assert app.yookassa is not None, "roubles are off"
    return app.yookassa


async def post(app: App, payment_id: int) -> bool:
    """Send a payment's request, for the first time or again; whatever happens, its row says so.

    Nothing is raised for YooKassa's being away: the row stays as it is, and the sweep goes on with it. False then.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        going = await rouble_payments.take_to_post(tx, payment_id, now=now)
    if going is None or going.key is None:
        return True
    try:
        found = await shop_of(app).create_payment(going.request, key=going.key)
    except Refused as refused:
        await _refused(app, payment_id, refused)
    except NotReached as error:
        log.warning("payment_not_sent", payment=payment_id, detail=error.detail)
        return False
    except Unknown as error:
        log.warning("payment_unknown", payment=payment_id, detail=error.detail)
        async with app.db.transaction() as tx:
            await rouble_payments.mark_unknown(tx, payment_id, now=app.clock.now())
        return False
    else:
        await record(app, found)
    return True


async def _refused(app: App, payment_id: int, refused: Refused) -> None:
    """Close a payment that YooKassa will not take; whoever has to look is the operator, not the person."""
    log.warning("payment_refused", payment=payment_id, reason=str(refused))
    now = app.clock.now()
    async with app.db.transaction() as tx:
        if await rouble_payments.cancel(tx, payment_id, reason=REFUSED, now=now):
            args = {"reason": str(refused)}
            await alert(app, tx, "admin-alert-roubles-refused", args, dedup_key=f"alert:refused:{now:%Y%m%d}", now=now)


async def record(app: App, found: objects.Payment, *, item: inbox.Item | None = None) -> Followed | None:
    """Bring the books to what YooKassa says of a payment, and tell person and operator, in one transaction.

    `item` is the notification that led here: handled with the effect. Raises Conflict.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        followed = await rouble_following.follow(tx, found, shop_id=shop_of(app).shop_id, now=now)
        if followed is not None and (followed.changed or followed.credit):
            log.info("payment_followed", payment=followed.payment_id, status=followed.status, reason=followed.reason)
            await _tell(app, tx, followed)
        if followed is not None:
            await rouble_receipts.note_payment(tx, followed.payment_id, found, now=now)
        if item is not None:
            await inbox.mark_handled(tx, item.id, now=now)
    return followed


async def ask(app: App, going: RoublePayment) -> None:
    """Find out how a payment stands: by its id, by the same request again, by the list. Raises NotReached, Unknown."""
    now = app.clock.now()
    if going.provider_payment_id is not None:
        async with app.db.transaction() as tx:
            await rouble_payments.mark_asked(tx, going.id, now=now)
        try:
            await record(app, await shop_of(app).payment(going.provider_payment_id))
        except Refused as refused:
            log.warning("payment_not_shown", payment=going.id, reason=str(refused))
    elif going.may_be_posted(now):
        await post(app, going.id)
    elif going.may_be_looked_up(now):
        await _look_through(app, going)
    else:
        # It must not be repeated, and it is too early to say that it was never made: it waits, behind those that can
        # be asked about.
        async with app.db.transaction() as tx:
            await rouble_payments.mark_asked(tx, going.id, now=now)


async def _look_through(app: App, going: RoublePayment) -> None:
    """Find a payment whose key has died in YooKassa's list; only one that is not there was never made."""
    assert going.sent_at is not None
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await rouble_payments.mark_asked(tx, going.id, now=now)
    since, until = going.sent_at - WINDOW_BEFORE, (going.posted_at or going.sent_at) + WINDOW_AFTER
    cursor = ""
    for _ in range(PAGES_MAX):
        page = await shop_of(app).payments(created_from=since, created_until=until, cursor=cursor)
        for found in page.items:
            names = (found.metadata.get(PAYMENT_KEY), found.metadata.get(ORDER_KEY))
            if names == (str(going.id), going.payload):
                await record(app, found)
                return
        cursor = page.next_cursor
        if not cursor:
            log.warning("payment_never_arrived", payment=going.id)
            async with app.db.transaction() as tx:
                await rouble_payments.cancel(tx, going.id, reason="never_arrived", now=now)
            return
    log.error("payment_list_too_long", payment=going.id, pages=PAGES_MAX)


async def sweep(app: App) -> None:
    """Handle notifications, ask about what is open, close what was never sent. Several workers may do it at once."""
    if app.yookassa is None:
        return
    await heed(app)
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await rouble_payments.cancel_unsent(tx, now=now, limit=BATCH_MAX)
    async with app.db.read() as connection:
        waiting = await rouble_payments.due(connection, now=now, limit=BATCH_MAX)
    for start in range(0, len(waiting), TOGETHER_MAX):
        some = waiting[start : start + TOGETHER_MAX]
        ends = await asyncio.gather(*(ask(app, going) for going in some), return_exceptions=True)
        away = False
        for going, end in zip(some, ends, strict=True):
            if isinstance(end, NotReached | Unknown):
                away = True
                log.warning("payment_not_asked", payment=going.id, detail=end.detail)
            elif isinstance(end, BaseException):
                log.error("payment_not_followed", payment=going.id, error=type(end).__name__, exc_info=end)
        if away:
            return  # the next minute is soon


async def heed(app: App) -> None:
    """Look at what the notifications of YooKassa point to. What they say themselves is not believed."""
    if app.yookassa is None:
        return
    async with app.db.read() as connection:
        items = await inbox.unhandled(connection, source=inbox.YOOKASSA, limit=NOTIFICATIONS_MAX)
    untold = 0
    for item in items:
        try:
            await _heed(app, item)
        except (NotReached, Unknown) as error:
            log.warning("notification_waits", item=item.id, detail=error.detail)
            untold += 1
            if isinstance(error, NotReached) or untold == UNTOLD_MAX:
                return
        except Unavailable:
            raise
        except Conflict as error:
            await _failed(app, item, str(error), tries=1)
        except Exception as error:
            log.exception("notification_failed", item=item.id)
            await _failed(app, item, type(error).__name__, tries=inbox.ATTEMPTS_MAX)


async def _heed(app: App, item: inbox.Item) -> None:
    pointed = item.body.get("object")
    object_id = pointed.get("id") if isinstance(pointed, dict) else None
    event = str(item.body.get("event", ""))
    if event.startswith("refund.") and objects.is_id(object_id):
        await _heed_refund(app, item, str(object_id))
        return
    if event.startswith("payment.") and objects.is_id(object_id):
        try:
            found = await shop_of(app).payment(str(object_id))
        except Refused as refused:
            log.warning("notification_of_nothing", item=item.id, reason=str(refused))
        else:
            await record(app, found, item=item)
            return
    async with app.db.transaction() as tx:
        await inbox.mark_handled(tx, item.id, now=app.clock.now())


async def _heed_refund(app: App, item: inbox.Item, refund_id: str) -> None:
    """Look at a refund. Its payment first: the word of that may have been lost, and only what came can go back."""
    try:
        found = await shop_of(app).refund(refund_id)
        await record(app, await shop_of(app).payment(found.payment_id))
    except Refused as refused:
        log.warning("notification_of_nothing", item=item.id, reason=str(refused))
        async with app.db.transaction() as tx:
            await inbox.mark_handled(tx, item.id, now=app.clock.now())
    else:
        await rouble_refunds.record(app, found, item=item)


async def _failed(app: App, item: inbox.Item, error: str, *, tries: int) -> None:
    """Count that a notification contradicts the books or cannot be handled; at the last try the operator looks."""
    now, code = app.clock.now(), ids.error_code()
    async with app.db.transaction() as tx:
        await inbox.mark_failed(tx, item.id, error=error, now=now)
        if item.attempts + 1 < tries:
            return
        log.error("notification_set_aside", item=item.id, code=code, error=error)
        await inbox.mark_handled(tx, item.id, now=now)
        args = {"where": YOOKASSA, "code": code}
        await alert(app, tx, "admin-alert-bug", args, dedup_key=f"alert:inbox:{item.id}", now=now)


async def _tell(app: App, tx: AsyncConnection, followed: Followed) -> None:
    """Tell person and operator what became of a payment: with its effect, so that each is told once.

    Whether the person can be reached is the outbox's matter: a payment is done when its money is booked.
    """
    now, key, credit = app.clock.now(), f"payment:{followed.payment_id}", followed.credit
    if credit is not None and credit.outcome == "credited" and credit.kind == "subscription":
        await card_notices.credited(app, tx, followed, now=now)
        await _call_off_beside(tx, followed, now)
    elif credit is not None and credit.outcome == "credited":
        until = credit.until.isoformat() if credit.until else None
        args: dict[str, Any] = {"plan": followed.titles, "tokens": credit.tokens, "until": until}
        if credit.starts_at is not None:
            sold = app.plans.plan(credit.plan_id) if credit.plan_id else None
            args["day"] = credit.starts_at.isoformat()
            month = sold is not None and sold.kind == "subscription"
            at_once = Key("paid-month") if month else Key("paid-once")
            later = Key("paid-month-later") if month else Key("paid-once-later")
            await tell(tx, followed.person_id, at_once if credit.starts_at <= now else later, args, key, now)
            await purchase.warn_of_renewal(tx, followed.person_id, key=key, now=now)
        else:
            await tell(tx, followed.person_id, "paid-pack" if until else "paid-pack-forever", args, key, now)
        person = await persons.find(tx, person_id=followed.person_id)
        said = {"kopecks": credit.amount, "what": followed.titles, "id": followed.person_id}
        said["name"] = person.first_name if person else "?"
        await alert(app, tx, "admin-alert-payment-roubles", said, dedup_key=f"alert:{key}", now=now)
    elif credit is not None and credit.outcome == "quarantined":
        code = ids.error_code()
        log.error("payment_quarantined", payment=followed.payment_id, reason=credit.reason, code=code)
        if credit.refund_due:
            reason = str(credit.reason)
            await purchase.request_refund(tx, payment_id=credit.payment_id, requested_by=None, reason=reason, now=now)
            await tell(tx, followed.person_id, "paid-twice-roubles", {"kopecks": credit.amount}, key, now)
        else:
            await tell(tx, followed.person_id, "paid-unclear-roubles", {"code": code}, key, now)
        said = {"kopecks": credit.amount, "id": followed.person_id, "code": code}
        await alert(app, tx, "admin-alert-quarantine-roubles", said, dedup_key=f"alert:{key}", now=now)
    elif followed.status == "canceled" and not followed.by_card and followed.reason not in QUIET_REASONS:
        args = {"plan": followed.titles, "reason": REASON_WORDS.get(followed.reason, "other")}
        await tell(tx, followed.person_id, "payment-declined", args, key, now)


async def _call_off_beside(tx: AsyncConnection, followed: Followed, now: datetime) -> None:
    """Stop what a month by card took the place of, where Telegram would charge for it."""
    credit = followed.credit
    assert credit is not None
    for charge in credit.cancel_charges:
        await purchase.stop_renewal(tx, followed.person_id, charge, now)
    if credit.replaced is not None:
        await purchase.tell_replaced(tx, credit.replaced, key=f"payment:{followed.payment_id}", now=now)
