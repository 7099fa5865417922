"""Gifts: taken by a code, offered to somebody, given back for money while nobody took them."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import gift_notices, persons, purchase
from app.context import App
from app.persons import Person
from billing import gifts
from billing.gifts import Gift, Redeemed
from kit import audit
from kit.errors import Rejected

log = structlog.get_logger(__name__)


class NotYours(Rejected):
    """The gift is somebody else's, or no longer to be given."""

    code = "error-gift-not-yours"


class TooLateToReturn(Rejected):
    """The time in which a gift is refunded without questions is over."""

    code = "error-gift-return-late"


class OfferedOften(Rejected):
    """The gift was offered to as many persons as it may be."""

    code = "error-gift-offered-often"


async def redeem(tx: AsyncConnection, person: Person, code: str, *, now: datetime) -> Redeemed:
    """Give a person what a code holds, and tell its giver. Idempotent; raises as `billing.gifts.redeem`."""
    taken = await gifts.redeem(tx, code=code, person_id=person.id, now=now)
    if taken.repeated:
        return taken
    gift = taken.gift
    log.info("gift_redeemed", gift=gift.id, person=person.id, giver=gift.giver_id)
    await audit.record(
        tx,
        actor_id=person.id,
        action="gift_redeemed",
        subject_id=gift.giver_id,
        details={"gift": gift.id, "payment": gift.payment_id},
        now=now,
    )
    await gift_notices.taken(tx, gift, person, now=now)
    if taken.until is not None and gift.kind != "pack":
        await purchase.warn_of_renewal(tx, person.id, key=f"gift:{gift.id}", now=now)
    return taken


async def own(connection: AsyncConnection, *, person_id: int, gift_id: int) -> Gift:
    """Return a gift that a person gave. Raises NotYours."""
    gift = await gifts.find(connection, gift_id)
    if gift is None or gift.giver_id != person_id:
        raise NotYours
    return gift


async def offer(tx: AsyncConnection, giver: Person, gift_id: int, *, to: int, now: datetime) -> tuple[Gift, bool]:
    """Offer a gift to somebody whom its giver chose; whether they were told: those whom Forma knows are.

    Raises NotYours and OfferedOften.
    """
    gift = await own(tx, person_id=giver.id, gift_id=gift_id)
    if gift.status != "open" or gift.expires_at <= now:
        raise NotYours
    known = await persons.find(tx, person_id=to)
    if known is None or known.blocked or to == giver.id:
        return gift, False
    if not await gifts.count_offer(tx, gift.id, now=now):
        raise OfferedOften
    await gift_notices.offered(tx, gift, giver, to=to, now=now)
    return gift, True


def returnable(app: App, gift: Gift, *, now: datetime) -> bool:
    """Whether a gift's money goes back without questions: nobody took it, and it was bought lately."""
    lately = now - gift.created_at <= timedelta(hours=app.settings.refund_hours)
    return gift.status == "open" and not gift.refunded and lately


async def give_back(app: App, tx: AsyncConnection, giver: Person, gift_id: int, *, now: datetime) -> Gift:
    """Withdraw a gift that nobody took and ask for its money back. Raises NotYours and TooLateToReturn."""
    gift = await own(tx, person_id=giver.id, gift_id=gift_id)
    locked = await gifts.lock_of_payment(tx, gift.payment_id)
    assert locked is not None
    if locked.status not in {"open", "expired"} or locked.refunded:
        raise NotYours
    if not returnable(app, locked, now=now):
        raise TooLateToReturn
    await purchase.request_refund(
        tx, payment_id=gift.payment_id, requested_by=giver.id, reason="gift_not_taken", now=now
    )
    return locked
