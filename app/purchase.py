"""Purchase by Telegram Stars: order, payment, renewal, refund — the use cases behind the money handlers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import card_notices, free_access, gift_notices
from app.alerts import alert
from app.context import App
from app.notices import tell
from app.persons import Person
from billing import card_renewals, debts, entitlements, gifts, payments, refunds, rouble_refunds, stars, subscriptions
from billing.crediting import Credit
from billing.house_access import HOUSE
from billing.once import Granted
from billing.subscriptions import Change, StarsState, Subscription
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
    credit = await stars.record(
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
    for first_charge in credit.cancel_charges:
        await _stop_renewal(tx, person.id, first_charge, now, key=f"payment:{credit.payment_id}")
    if credit.outcome == "credited":
        await _tell_credited(app, tx, person, credit, now)
    elif credit.outcome == "quarantined":
        await _tell_quarantined(app, tx, person, credit, now)
    return credit


async def _tell_credited(app: App, tx: AsyncConnection, person: Person, credit: Credit, now: datetime) -> None:
    key = f"payment:{credit.payment_id}"
    args: dict[str, Any] = {
        "plan": credit.titles,
        "tokens": credit.tokens,
        "until": credit.until.isoformat() if credit.until else None,
        "stars": credit.amount,
    }
    repaid = await debts.repaid_by(tx, payment_id=credit.payment_id)
    if repaid:
        left = await debts.owed(tx, person_id=person.id)
        await tell(tx, person.id, "debt-repaid", {"tokens": repaid, "left": left}, key, now)
    renewal = credit.subscription_id is not None and not credit.first
    if credit.gift is not None:
        await gift_notices.ready(tx, credit.gift, now=now)
    elif credit.starts_at is not None:
        begun = credit.starts_at <= now
        args["day"] = credit.starts_at.isoformat()
        await tell(tx, person.id, "paid-once" if begun else "paid-once-later", args, key, now)
        await warn_of_renewal(tx, person.id, key=key, now=now)
    else:
        notice = "paid-pack" if credit.subscription_id is None else "renewed" if renewal else "paid-subscription"
        await tell(tx, person.id, notice, args, key, now)
    if credit.bonus:
        await tell(tx, person.id, "promo-bonus", {"tokens": credit.bonus}, key, now)
    if credit.replaced is not None:
        await tell_replaced(tx, credit.replaced, key=key, now=now)
    operator = {"stars": credit.amount, "plan": credit.titles, "what": credit.titles, "id": person.id}
    await alert(
        app,
        tx,
        "admin-alert-renewal" if renewal else "admin-alert-payment",
        {**operator, "name": person.first_name},
        dedup_key=f"alert:{key}",
        now=now,
    )


async def tell_replaced(tx: AsyncConnection, replaced: Subscription, *, key: str, now: datetime) -> None:
    """Tell a person that the plan whose place another one took is not charged for any more."""
    await tell(tx, replaced.person_id, "plan-changed", _args_of(replaced), key, now)


async def _tell_quarantined(app: App, tx: AsyncConnection, person: Person, credit: Credit, now: datetime) -> None:
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
        await tell(tx, person.id, "paid-unclear", {"code": code}, key, now)
        return
    await request_refund(tx, payment_id=credit.payment_id, requested_by=None, reason=str(credit.reason), now=now)
    notice = "paid-other-person" if credit.reason == "wrong_payer" else "paid-twice"
    await tell(tx, person.id, notice, {"stars": credit.amount}, key, now)


async def request_refund(
    tx: AsyncConnection,
    *,
    payment_id: int,
    requested_by: int | None,
    reason: str,
    now: datetime,
    amount: int | None = None,
) -> refunds.Refund:
    """Open a refund of all that a payment still has, or of `amount`, with its call in the outbox.

    In roubles with what YooKassa is to be asked. Raises NotRefundable, MoreThanLeft, WholeOnly.
    """
    refund = await refunds.request(
        tx, payment_id=payment_id, requested_by=requested_by, reason=reason, now=now, amount=amount
    )
    await audit.record(
        tx,
        actor_id=requested_by or 0,
        action="refund",
        subject_id=refund.payer_id,
        details={"payment": payment_id, "refund": refund.id, "reason": reason, "amount": refund.amount},
        now=now,
    )
    if refund.provider == payments.STARS:
        await _call_refund(tx, refund, f"refund:{refund.id}", now)
    else:
        await rouble_refunds.begin(tx, refund)
    return refund


async def insist_on_refund(app: App, tx: AsyncConnection, refund: refunds.Refund, *, now: datetime) -> None:
    """Ask Telegram again for a refund that did not come through, and tell the operator: once a day each."""
    key = f"refund:{refund.id}:{now:%Y%m%d}"
    await _call_refund(tx, refund, key, now)
    args = {"stars": refund.amount, "id": refund.payer_id}
    await alert(app, tx, "admin-alert-refund-overdue", args, dedup_key=f"alert:overdue:{key}", now=now)


async def refund_made(app: App, tx: AsyncConnection, *, charge_id: str, now: datetime) -> None:
    """Book a refund that Telegram has just made at our word; its own report, if it still comes, finds it booked."""
    payment = await payments.by_charge(tx, charge_id=charge_id)
    if payment is None:
        return
    try:
        await confirm_refund(app, tx, StarsRefund(charge_id, "", payment.payer_id, payment.amount), now=now)
    except refunds.NotRefundable:
        log.warning("refund_not_open", payment=payment.id, status=payment.status)  # charged back meanwhile


@dataclass(frozen=True, slots=True)
class StarsRefund:
    """A refund as Telegram reports it: of which charge, of whose. `amount` in Stars."""

    charge_id: str
    payload: str
    person_id: int
    amount: int


async def confirm_refund(app: App, tx: AsyncConnection, refunded: StarsRefund, *, now: datetime) -> None:
    """Book a refund that Telegram reports: ours, or one that was made without us. Idempotent; tells the person once.

    A subscription that ends by it must not charge again: Telegram would go on after a refund.
    """
    confirmed = await refunds.confirm_stars(
        tx,
        charge_id=refunded.charge_id,
        payload=refunded.payload,
        payer_id=refunded.person_id,
        amount=refunded.amount,
        now=now,
    )
    if confirmed is None:
        return
    refund, change = confirmed.refund, confirmed.change
    log.info("refund_booked", refund=refund.id, payment=refund.payment_id, person=refund.payer_id)
    if change and change.before != change.after and change.subscription.first_charge_id:
        await _stop_renewal(tx, refund.payer_id, change.subscription.first_charge_id, now)
    gift = await gifts.of_payment(tx, refund.payment_id)
    if gift is not None:
        await gift_notices.refunded(tx, gift, key=f"refunded:{refund.id}", now=now)
    else:
        await tell(tx, refund.payer_id, "refunded", {"stars": refund.amount}, f"refunded:{refund.id}", now)
    args = {"stars": refund.amount, "id": refund.payer_id}
    await alert(app, tx, "admin-alert-refunded", args, dedup_key=f"alert:refunded:{refund.id}", now=now)


async def follow_stars(
    app: App, tx: AsyncConnection, *, person_id: int, payload: str, state: StarsState, now: datetime
) -> None:
    """Follow what Telegram says of a person's subscription: cancelled, active again, or a charge that failed."""
    change = await subscriptions.apply_stars_update(tx, payload=payload, person_id=person_id, state=state, now=now)
    if change is not None:
        await tell_change(app, tx, change, now=now)


async def tell_change(app: App, tx: AsyncConnection, change: Change, *, now: datetime) -> None:
    """Tell person and operator of a change of a subscription's status, once each."""
    if change.after == "past_due":
        await tell_failed(app, tx, change.subscription, now=now)
        return
    subscription = change.subscription
    if subscription.provider == HOUSE:
        await free_access.tell_ended(tx, change, now=now)
        return
    notice = {"cancel_scheduled": "cancelled", "active": "resumed", "expired": "expired"}.get(change.after)
    args = _args_of(subscription)
    key = f"subscription:{subscription.id}:{change.after}:{args['until']}:{now:%Y%m%d%H%M%S}"
    following = app.plans.plan(subscription.next_plan_id) if subscription.next_plan_id else None
    if change.after == "expired":
        goes_on = await entitlements.current(tx, person_id=subscription.person_id, now=now)
        if goes_on.until is not None:
            notice, args["next_plan"], args["until"] = "expired-goes-on", goes_on.titles, goes_on.until.isoformat()
        elif await subscriptions.renewing(tx, person_id=subscription.person_id):
            notice = None  # another one's charge is just being reported: nothing has ended for the person
        elif following and subscription.currency == "RUB" and following.price("RUB"):
            notice, args["kopecks"] = "expired-next-plan-roubles", following.price("RUB")
            args["next_plan"] = following.titles
        elif following and following.terms.price_xtr:
            notice, args["product"] = "expired-next-plan", following.id
            args |= {"next_plan": following.titles, "stars": following.terms.price_xtr}
    elif change.after == "cancel_scheduled" and following:
        notice, args["next_plan"] = "cancelled-next-plan", following.titles
    if notice:
        await tell(tx, subscription.person_id, notice, args, key, now)
    if change.after == "cancel_scheduled":
        args["id"] = subscription.person_id
        await alert(app, tx, "admin-alert-subscription-cancelled", args, dedup_key=f"alert:{key}", now=now)


async def tell_failed(app: App, tx: AsyncConnection, subscription: Subscription, *, now: datetime) -> None:
    """Tell person and operator that a charge failed and grace runs: once for each grace, whoever noticed first."""
    assert subscription.until is not None  # grace has an end
    args = _args_of(subscription) | {
        "stars": subscription.amount,
        "grace_s": max(0, int((subscription.until - now).total_seconds())),
        "subscription": subscription.id,
        "product": subscription.plan_id,
    }
    key = f"subscription:{subscription.id}:past_due:{args['until']}"
    await tell(tx, subscription.person_id, "renewal-failed", args, key, now)
    args["id"] = subscription.person_id
    await alert(app, tx, "admin-alert-renewal-failed", args, dedup_key=f"alert:{key}", now=now)


async def tell_month(tx: AsyncConnection, granted: Granted, *, now: datetime) -> None:
    """Tell a person that the tokens of a month have come."""
    args = {"plan": granted.subscription.titles, "tokens": granted.tokens, "until": granted.until.isoformat()}
    key = f"month:{granted.subscription.id}:{args['until']}"
    await tell(tx, granted.subscription.person_id, "month-granted", args, key, now)


async def warn_of_renewal(tx: AsyncConnection, person_id: int, *, key: str, now: datetime) -> None:
    """Tell whoever got time that they would pay for it twice, when they have a subscription that renews."""
    renewing = await subscriptions.renewing(tx, person_id=person_id)
    if renewing is not None:
        args = _args_of(renewing) | {"subscription": renewing.id}
        args["day"] = args["until"]
        await tell(tx, person_id, "renews-beside", args, key, now)


async def tell_renewal(tx: AsyncConnection, subscription: Subscription, *, now: datetime) -> None:
    """Tell a person what Telegram will charge and when: once for each charge."""
    args = _args_of(subscription) | {"stars": subscription.amount}
    args["day"] = args["until"]
    key = f"subscription:{subscription.id}:{args['until']}"
    await tell(tx, subscription.person_id, "renewal-soon", args, key, now)


async def to_free(app: App, tx: AsyncConnection, subscription: Subscription, *, now: datetime) -> None:
    """End the grace of a subscription whose charge failed, as its person wishes, and its charges with it."""
    changes = await subscriptions.end_grace(
        tx, person_id=subscription.person_id, subscription_id=subscription.id, now=now
    )
    if changes and await card_renewals.open_try(tx, subscription.id) is not None:
        await card_notices.still_under_way(tx, subscription, now=now)
    for change in changes:
        if subscription.first_charge_id:
            await _stop_renewal(tx, subscription.person_id, subscription.first_charge_id, now)
        if change.after == "expired":
            await tell_change(app, tx, change, now=now)
        else:  # paid time runs still
            key = f"subscription:{subscription.id}:to-free"
            await tell(tx, subscription.person_id, "cancelled", _args_of(change.subscription), key, now)


def _args_of(subscription: Subscription) -> dict[str, Any]:
    return {
        "plan": subscription.titles,
        "until": subscription.until.isoformat() if subscription.until else None,
        "amount": subscription.amount,
        "currency": subscription.currency,
    }


async def _stop_renewal(
    tx: AsyncConnection, person_id: int, first_charge: str, now: datetime, *, key: str = "end"
) -> None:
    """Stop a renewal at Telegram; `key` tells apart the reasons, for what was stopped once may be resumed."""
    await _call(
        tx,
        person_id,
        EDIT_SUBSCRIPTION_METHOD,
        {"user_id": person_id, "telegram_payment_charge_id": first_charge, "is_canceled": True},
        f"cancel:{first_charge}:{key}",
        now,
    )


async def stop_renewal(tx: AsyncConnection, person_id: int, first_charge: str, now: datetime) -> None:
    """Have Telegram charge no more for the subscription that began with this charge: once, whoever asks."""
    await _stop_renewal(tx, person_id, first_charge, now)


async def _call_refund(tx: AsyncConnection, refund: refunds.Refund, key: str, now: datetime) -> None:
    data = {"user_id": refund.payer_id, "telegram_payment_charge_id": refund.charge_id}
    await _call(tx, refund.payer_id, REFUND_METHOD, data, key, now)


async def _call(
    tx: AsyncConnection, person_id: int, method: str, data: dict[str, Any], key: str, now: datetime
) -> None:
    await outbox.add(
        tx, kind=outbox.CALL, chat_id=person_id, payload={"method": method, "data": data}, dedup_key=key, now=now
    )
