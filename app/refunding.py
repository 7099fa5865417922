"""Refunding: a person's own wish, decided by the policy; the operator's word on any payment; quarantine resolved."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import purchase
from app.alerts import alert
from app.context import App
from app.notices import tell
from billing import card_renewals, history, ledger, quarantine, refund_policy, refunds, subscriptions
from billing.cases import ANSWER_WITHIN, REMIND_BEFORE, REMIND_EVERY, REMINDERS_MAX
from billing.history import Purchase
from billing.payments import YOOKASSA
from billing.quarantine import Resolved
from billing.refund_policy import Rule, Verdict
from billing.tables import payments
from kit import audit
from kit.errors import Rejected

log = structlog.get_logger(__name__)

ID_DIGITS_MAX = 18
QUERY_CHARS_MAX = 128
_CODE = re.compile("[A-Z0-9]{4,8}")


class NotYours(Rejected):
    """The payment is not this person's, or is not there."""

    code = "error-payment-unknown"


class NotAtOnce(Rejected):
    """The policy does not let this payment go back at once; `why` is a Verdict."""

    code = "error-refund-not-at-once"

    def __init__(self, *, why: Verdict) -> None:
        super().__init__(why=why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person may expect who wants a payment back."""

    purchase: Purchase
    verdict: Verdict


def rule_of(app: App) -> Rule:
    """Return the operator's refund rule."""
    return Rule(app.settings.refund_hours, app.settings.refund_percent)


async def consider(app: App, connection: AsyncConnection, *, person_id: int, payment_id: int, now: datetime) -> Wish:
    """Say what becomes of a person's wish to have a payment of theirs back. Raises NotYours."""
    found = await history.find(connection, payment_id)
    if found is None or found.payer_id != person_id:
        raise NotYours
    automatic = await refund_policy.automatic_of(connection, person_id=person_id, now=now)
    return Wish(found, refund_policy.judge(found, rule_of(app), automatic=automatic, now=now))


async def refund_own(app: App, tx: AsyncConnection, *, person_id: int, payment_id: int, now: datetime) -> Purchase:
    """Refund a payment at its payer's word, within the policy: tokens go now, access when the money went.

    A renewal is stopped now: nobody is charged again while the refund is on its way. Raises NotYours, NotAtOnce.
    """
    # Two wishes at once must not both find room under the limit.
    await ledger.lock_wallet(tx, person_id=person_id, now=now)
    wish = await consider(app, tx, person_id=person_id, payment_id=payment_id, now=now)
    if wish.verdict != "at_once":
        raise NotAtOnce(why=wish.verdict)
    await purchase.request_refund(tx, payment_id=payment_id, requested_by=person_id, reason="policy", now=now)
    await _stop_renewal(tx, payment_id, now)
    log.info("refund_requested", payment=payment_id, person=person_id)
    return wish.purchase


async def _stop_renewal(tx: AsyncConnection, payment_id: int, now: datetime) -> None:
    """Stop charging for the subscription that a payment belongs to, here and at its provider."""
    of_payment = sa.select(payments.c.subscription_id).where(payments.c.id == payment_id)
    subscription_id = await tx.scalar(of_payment)
    found = await subscriptions.find(tx, subscription_id) if subscription_id is not None else None
    if found is None or not found.renews:
        return
    if found.provider == YOOKASSA:  # the person hears of it with the refund
        await card_renewals.stop(tx, found.id, now=now)
        return
    if found.first_charge_id is None or found.payload is None:
        return
    # Telegram tells nobody of a cancellation that the bot asked for; the person hears of it with the refund.
    await subscriptions.apply_stars_update(
        tx, payload=found.payload, person_id=found.person_id, state="canceled", now=now
    )
    await purchase.stop_renewal(tx, found.person_id, found.first_charge_id, now)


async def refund_any(
    tx: AsyncConnection, *, payment_id: int, actor_id: int, reason: str, now: datetime, amount: int | None = None
) -> refunds.Refund:
    """Refund a payment at the operator's word, whatever its age and also from quarantine, once: all of it, or `amount`.

    Raises NotRefundable, also while a refund of it is on its way: whoever asks second changes nothing. Raises
    MoreThanLeft, WholeOnly.
    """
    await refunds.lock(tx, payment_id, now=now)
    found = await history.find(tx, payment_id)
    if found is None or found.refunding:
        raise refunds.NotRefundable(payment=payment_id)
    refund = await purchase.request_refund(
        tx, payment_id=payment_id, requested_by=actor_id, reason=reason, now=now, amount=amount
    )
    log.info("refund_ordered", payment=payment_id, actor=actor_id, part=refund.partial)
    return refund


async def credit_after_all(tx: AsyncConnection, agreed: quarantine.Terms, *, actor_id: int, now: datetime) -> Resolved:
    """Credit a payment in quarantine, tell whoever has it now, and leave a row in the audit log.

    Raises what billing.quarantine.credit does.
    """
    resolved = await quarantine.credit(tx, agreed, now=now)
    credit = resolved.credit
    if resolved.stop_charge is not None:
        await purchase.stop_renewal(tx, agreed.payer_id, resolved.stop_charge, now)
    await audit.record(
        tx,
        actor_id=actor_id,
        action="quarantine_credit",
        subject_id=agreed.person_id,
        details={"payment": agreed.payment_id, "plan": agreed.plan_id, "tokens": agreed.tokens},
        now=now,
    )
    args = {
        "plan": agreed.titles,
        "tokens": agreed.tokens,
        "until": credit.until.isoformat() if credit.until else None,
        "ends": credit.until is not None,
        "kind": agreed.kind,
    }
    await tell(tx, agreed.person_id, "credited-after-all", args, str(agreed.payment_id), now)
    log.info("quarantine_credited", payment=agreed.payment_id, person=agreed.person_id, actor=actor_id)
    return resolved


async def remind_of_quarantine(app: App, tx: AsyncConnection, *, now: datetime, limit: int) -> None:
    """Remind the operator of payments whose payer was promised an answer: before it is due, when it is, and daily."""
    for waiting in await history.in_quarantine(tx, limit=limit):
        left = waiting.at + ANSWER_WITHIN - now
        nth = 0 if left > timedelta(0) else 1 + -left // REMIND_EVERY
        if waiting.refunding or left > REMIND_BEFORE or nth >= REMINDERS_MAX:
            continue
        args = {
            "payment_id": waiting.id,
            "person_id": waiting.payer_id,
            "age_s": int((now - waiting.at).total_seconds()),
            "amount": waiting.amount,
            "currency": waiting.currency,
        }
        key = f"quarantine-due:{waiting.id}:{nth}"
        await alert(app, tx, "admin-alert-quarantine-due", args, dedup_key=key, now=now)


# A code stands in what the person, or the operator, was told of the payment.
_OF_CODE = sa.text(
    """
    SELECT CAST(substring(dedup_key FROM 'payment:([0-9]+)$') AS bigint) FROM outbox
    WHERE payload -> 'args' ->> 'code' = :code AND dedup_key ~ 'payment:[0-9]+$' ORDER BY id DESC LIMIT 1
    """
)


async def find_purchase(connection: AsyncConnection, query: str) -> Purchase | None:
    """Return the purchase meant by a payment's number, an error code that its payer was shown, or a charge id."""
    query = query.strip().removeprefix("#")
    if not 0 < len(query) <= QUERY_CHARS_MAX or not query.isprintable():
        return None
    if query.isdecimal() and query.isascii() and len(query) <= ID_DIGITS_MAX:
        return await history.find(connection, int(query))
    if _CODE.fullmatch(query.upper()):
        payment_id = await connection.scalar(_OF_CODE, {"code": query.upper()})
        if payment_id is not None:
            return await history.find(connection, payment_id)
    return await history.by_charge(connection, query)
