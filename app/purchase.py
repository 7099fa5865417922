"""Purchase by Telegram Stars: order, payment, renewal, refund — the use cases behind the money handlers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts import alert
from app.context import App
from app.persons import Person
from billing import payments, refunds, subscriptions
from billing.payments import Credit
from billing.subscriptions import Change, StarsState
from kit import audit, ids, outbox

log = structlog.get_logger(__name__)

REFUND_METHOD = "refundStarPayment"
EDIT_SUBSCRIPTION_METHOD = "editUserStarSubscription"


@dataclass(frozen=True, slots=True)
class StarsPayment:
    """A successful payment as Telegram reports it; `expires_at` for subscriptions only. `amount` in Stars."""

    charge_id: str
    payload: str
    person_id: int
    amount: int
    is_recurring: bool
    is_first_recurring: bool
    expires_at: datetime | None


async def record(app: App, tx: AsyncConnection, person: Person, paid: StarsPayment, *, now: datetime) -> Credit:
    """Record and credit a payment, tell the person and the operator, send back what was paid by mistake.

    Idempotent by charge id: a repeated report changes nothing and tells nobody twice.
    """
    credit = await payments.record_stars(
        tx,
        charge_id=paid.charge_id,
        payload=paid.payload,
        person_id=paid.person_id,
        amount=paid.amount,
        is_recurring=paid.is_recurring,
        is_first_recurring=paid.is_first_recurring,
        expires_at=paid.expires_at,
        now=now,
    )
    log.info("payment_recorded", payment=credit.payment_id, person=person.id, outcome=credit.outcome)
    if credit.outcome == "credited":
        await _tell_credited(app, tx, person, credit, now)
    elif credit.outcome == "quarantined":
        await _tell_quarantined(app, tx, person, paid, credit, now)
    return credit


async def _tell_credited(app: App, tx: AsyncConnection, person: Person, credit: Credit, now: datetime) -> None:
    key = f"payment:{credit.payment_id}"
    args: dict[str, Any] = {
        "plan": credit.titles,
        "tokens": credit.tokens,
        "until": credit.until.isoformat() if credit.until else None,
        "stars": credit.amount,
    }
    renewal = credit.subscription_id is not None and not credit.first
    notice = "paid-pack" if credit.subscription_id is None else "renewed" if renewal else "paid-subscription"
    await _notice(tx, person.id, notice, args, key, now)
    operator = {"stars": credit.amount, "plan": credit.titles, "what": credit.titles, "id": person.id}
    await alert(
        app,
        tx,
        "admin-alert-renewal" if renewal else "admin-alert-payment",
        {**operator, "name": person.first_name},
        dedup_key=f"alert:{key}",
        now=now,
    )


async def _tell_quarantined(
    app: App, tx: AsyncConnection, person: Person, paid: StarsPayment, credit: Credit, now: datetime
) -> None:
    code, key = ids.error_code(), f"payment:{credit.payment_id}"
    log.error("payment_quarantined", payment=credit.payment_id, reason=credit.reason, code=code)
    await alert(
        app,
        tx,
        "admin-alert-quarantine",
        {"stars": credit.amount, "id": person.id, "code": code},
        dedup_key=f"alert:{key}",
        now=now,
    )
    if not credit.refund_due:
        await _notice(tx, person.id, "paid-unclear", {"code": code}, key, now)
        return
    if paid.is_first_recurring:
        await _call(
            tx,
            person.id,
            EDIT_SUBSCRIPTION_METHOD,
            {"user_id": paid.person_id, "telegram_payment_charge_id": paid.charge_id, "is_canceled": True},
            f"cancel:{paid.charge_id}",
            now,
        )
    await request_refund(tx, payment_id=credit.payment_id, requested_by=None, reason=str(credit.reason), now=now)
    notice = "paid-other-person" if credit.reason == "wrong_payer" else "paid-twice"
    await _notice(tx, person.id, notice, {"stars": credit.amount}, key, now)


async def request_refund(
    tx: AsyncConnection, *, payment_id: int, requested_by: int | None, reason: str, now: datetime
) -> refunds.Refund:
    """Open a refund and put its call into the outbox. Raises NotRefundable."""
    refund = await refunds.request(tx, payment_id=payment_id, requested_by=requested_by, reason=reason, now=now)
    await audit.record(
        tx,
        actor_id=requested_by or 0,
        action="refund",
        subject_id=refund.payer_id,
        details={"payment": payment_id, "refund": refund.id, "reason": reason},
        now=now,
    )
    await _call(
        tx,
        refund.payer_id,
        REFUND_METHOD,
        {"user_id": refund.payer_id, "telegram_payment_charge_id": refund.charge_id},
        f"refund:{refund.id}",
        now,
    )
    return refund


async def confirm_refund(app: App, tx: AsyncConnection, *, charge_id: str, now: datetime) -> None:
    """Book a refund that Telegram reports: ours, or one that was made without us. Idempotent; tells the person once."""
    payment = await payments.by_charge(tx, charge_id=charge_id)
    if payment is None:
        log.error("refund_of_unknown_payment")
        return
    if payment.status == "refunded":
        return
    refund = await refunds.request(tx, payment_id=payment.id, requested_by=None, reason="provider", now=now)
    await refunds.confirm(tx, refund_id=refund.id, now=now)
    args = {"stars": payment.amount, "id": payment.payer_id}
    await _notice(tx, payment.payer_id, "refunded", {"stars": payment.amount}, f"refunded:{refund.id}", now)
    await alert(app, tx, "admin-alert-refunded", args, dedup_key=f"alert:refunded:{refund.id}", now=now)


async def follow_stars(app: App, tx: AsyncConnection, *, payload: str, state: StarsState, now: datetime) -> None:
    """Follow what Telegram says of a subscription: cancelled, active again, or a charge that failed."""
    change = await subscriptions.apply_stars_update(tx, payload=payload, state=state, now=now)
    if change is not None:
        await tell_change(app, tx, change, now=now)


async def tell_change(app: App, tx: AsyncConnection, change: Change, *, now: datetime) -> None:
    """Tell person and operator of a change of a subscription's status, once each."""
    subscription = change.subscription
    until = subscription.until.isoformat() if subscription.until else None
    args = {
        "plan": subscription.titles,
        "until": until,
        "stars": subscription.amount,
        "grace_s": max(0, int((subscription.until - now).total_seconds())) if subscription.until else 0,
    }
    notice = {
        "cancel_scheduled": "cancelled",
        "active": "resumed",
        "past_due": "renewal-failed",
        "expired": "expired",
    }.get(change.after)
    key = f"subscription:{subscription.id}:{change.after}:{until}:{now:%Y%m%d%H%M%S}"
    if notice:
        await _notice(tx, subscription.person_id, notice, args, key, now)
    told = {"cancel_scheduled": "admin-alert-subscription-cancelled", "past_due": "admin-alert-renewal-failed"}
    if change.after in told:
        await alert(
            app, tx, told[change.after], {**args, "id": subscription.person_id}, dedup_key=f"alert:{key}", now=now
        )


async def _notice(
    tx: AsyncConnection, person_id: int, notice: str, args: dict[str, Any], key: str, now: datetime
) -> None:
    await outbox.add(
        tx,
        kind=outbox.NOTICE,
        chat_id=person_id,
        payload={"notice": notice, "args": args},
        dedup_key=f"{notice}:{key}",
        now=now,
    )


async def _call(
    tx: AsyncConnection, person_id: int, method: str, data: dict[str, Any], key: str, now: datetime
) -> None:
    await outbox.add(
        tx, kind=outbox.CALL, chat_id=person_id, payload={"method": method, "data": data}, dedup_key=key, now=now
    )
