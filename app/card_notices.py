"""What is said about saved cards: each coming charge, each that came through or failed, and what was called off."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from app import persons
from app.alerts import alert
from app.context import App
from app.notices import tell
from billing import payment_methods, subscriptions
from billing.card_renewals import Coming, Judged
from billing.payment_methods import Method
from billing.rouble_following import Followed
from billing.subscriptions import Subscription

# YooKassa's reasons that have words of their own; every other one is told as a bank's refusal.
REASON_WORDS: Final = {
    "insufficient_funds": "insufficient_funds",
    "card_expired": "card_expired",
    "payment_method_limit_exceeded": "payment_method_limit_exceeded",
    "issuer_unavailable": "issuer_unavailable",
    "permission_revoked": "permission_revoked",
    "3d_secure_failed": "unconfirmed",
    # Nothing of the bank's: the charge never got there.
    "internal_timeout": "ours",
    "never_sent": "ours",
    "never_arrived": "ours",
}


async def coming(tx: AsyncConnection, announced: Coming, *, now: datetime) -> None:
    """Tell a person what will be charged, when, and from which card."""
    mine = announced.subscription
    args = _args(mine) | {"day": announced.at.isoformat(), "card": announced.method.ending}
    args["subscription"] = mine.id
    await tell(tx, mine.person_id, "card-charge-soon", args, f"{mine.id}:{announced.at.isoformat()}", now)


async def credited(app: App, tx: AsyncConnection, followed: Followed, *, now: datetime) -> None:
    """Tell person and operator that a month was paid, and whether the next one is charged."""
    credit, key = followed.credit, f"payment:{followed.payment_id}"
    assert credit is not None
    assert credit.subscription_id is not None
    mine = await subscriptions.find(tx, credit.subscription_id)
    assert mine is not None
    kept = (await payment_methods.of_person(tx, person_id=mine.person_id)).get(mine.id)
    args: dict[str, Any] = {
        "plan": followed.titles,
        "tokens": credit.tokens,
        "until": credit.until.isoformat() if credit.until else None,
        "amount": credit.amount,
        "currency": "RUB",
        "card": kept.ending if kept else "",
    }
    notice = "paid-month"
    if mine.renews:
        notice = "renewed-by-card" if followed.by_card else "paid-by-card"
    await tell(tx, mine.person_id, notice, args, key, now)
    if credit.bonus:
        await tell(tx, mine.person_id, "promo-bonus", {"tokens": credit.bonus}, key, now)
    person = await persons.find(tx, person_id=mine.person_id)
    said = {"kopecks": credit.amount, "what": followed.titles, "id": mine.person_id}
    said["name"] = person.first_name if person else "?"
    known = "admin-alert-payment-roubles" if credit.first else "admin-alert-renewal-roubles"
    await alert(app, tx, known, said, dedup_key=f"alert:{key}", now=now)


async def failed(app: App, tx: AsyncConnection, judged: Judged, *, payment_id: int, now: datetime) -> None:
    """Tell person and operator that a charge failed, and what follows; nothing yet where it is tried again at once."""
    mine, plan = judged.subscription, judged.plan
    if plan.quiet:
        return
    reason = REASON_WORDS.get(judged.reason, "other")
    args = _args(mine) | {"reason": reason, "card": judged.method.ending, "subscription": mine.id}
    args["dead"] = plan.dead
    args["next_at"] = plan.next_at.isoformat() if plan.next_at else None
    notice = "card-charge-failed" if plan.next_at else "card-charge-given-up"
    await tell(tx, mine.person_id, notice, args, f"payment:{payment_id}", now)
    said = {"id": mine.person_id, "plan": mine.titles, "kopecks": mine.amount, "reason": judged.reason}
    await alert(app, tx, "admin-alert-card-failed", said, dedup_key=f"alert:card:{payment_id}", now=now)


async def needs_email(app: App, tx: AsyncConnection, mine: Subscription, kept: Method, *, now: datetime) -> None:
    """Tell person and operator that a card was not charged, since its receipt has no address to go to."""
    key = f"{mine.id}:{now.isoformat()}"
    args = _args(mine) | {"card": kept.ending, "subscription": mine.id}
    await tell(tx, mine.person_id, "card-needs-email", args, key, now)
    said = {"id": mine.person_id, "plan": mine.titles, "kopecks": mine.amount, "reason": "no_email"}
    await alert(app, tx, "admin-alert-card-failed", said, dedup_key=f"alert:card-needs-email:{key}", now=now)


async def cancelled(
    app: App,
    tx: AsyncConnection,
    mine: Subscription,
    *,
    next_plan: dict[str, str] | None,
    under_way: bool,
    now: datetime,
) -> None:
    """Tell person and operator that nothing more is charged, or that one charge cannot be called back any more."""
    key = f"subscription:{mine.id}:cancelled:{now:%Y%m%d%H%M%S}"
    if next_plan is None:
        await tell(tx, mine.person_id, "cancelled", _args(mine), key, now)
    else:
        await tell(tx, mine.person_id, "cancelled-next-plan", _args(mine) | {"next_plan": next_plan}, key, now)
    if under_way:
        await still_under_way(tx, mine, now=now)
    said = _args(mine) | {"id": mine.person_id}
    await alert(app, tx, "admin-alert-subscription-cancelled", said, dedup_key=f"alert:{key}", now=now)


async def still_under_way(tx: AsyncConnection, mine: Subscription, *, now: datetime) -> None:
    """Tell a person that one charge cannot be called back any more."""
    key = f"subscription:{mine.id}:{now:%Y%m%d%H%M%S}"
    await tell(tx, mine.person_id, "charge-still-under-way", {}, key, now)


async def resumed(tx: AsyncConnection, mine: Subscription, *, now: datetime) -> None:
    """Tell a person that their subscription renews again."""
    key = f"subscription:{mine.id}:resumed:{now:%Y%m%d%H%M%S}"
    await tell(tx, mine.person_id, "resumed", _args(mine), key, now)


async def removed(tx: AsyncConnection, kept: Method, mine: Subscription, *, under_way: bool, now: datetime) -> None:
    """Tell a person that their card is never charged again."""
    args = _args(mine) | {"card": kept.ending}
    await tell(tx, mine.person_id, "card-removed", args, f"method:{kept.id}", now)
    if under_way:
        await still_under_way(tx, mine, now=now)


def _args(mine: Subscription) -> dict[str, Any]:
    return {
        "plan": mine.titles,
        "until": mine.until.isoformat() if mine.until else None,
        "amount": mine.amount,
        "currency": mine.currency,
    }
