"""Gifts: what somebody paid for and somebody else takes, by a code that works once.

open → redeemed | withdrawn | expired; expired → withdrawn; withdrawn → open, when its refund was refused.

The gift says whose wallet its tokens go to, so its row is locked before any wallet, by whoever redeems or refunds it.
A refund withdraws a gift that nobody took; the person who took one loses what is left of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import ledger, lots, once
from billing.tables import gifts, orders, payments, plan_versions, plans
from kit import ids
from kit.errors import Rejected

# How long a code can be redeemed, and when the giver of one that nobody took is reminded.
LIFE: Final = timedelta(days=365)
REMIND_BEFORE: Final = timedelta(days=30)
# To how many persons the bot carries word of one gift: strangers are not to be pestered with it.
OFFERS_MAX: Final = 5
CODE_BYTES: Final = 15
CODE_CHARS_MAX: Final = 32


class GiftUnknown(Rejected):
    """No gift has this code."""

    code = "error-gift-unknown"


class GiftTaken(Rejected):
    """Somebody else was first."""

    code = "error-gift-taken"


class GiftExpired(Rejected):
    """The code was valid for LIFE."""

    code = "error-gift-expired"


class GiftWithdrawn(Rejected):
    """Its money went back to the giver, or is on the way there."""

    code = "error-gift-withdrawn"


@dataclass(frozen=True, slots=True)
class Gift:
    """A gift, and what is in it: `tokens` for a pack, else `tokens` in each of `months`. `amount` as it was paid."""

    id: int
    code: str
    payment_id: int
    giver_id: int
    receiver_id: int | None
    status: str
    expires_at: datetime
    created_at: datetime
    order_id: int
    kind: str
    amount: int
    currency: str
    tokens: int
    plan_version_id: int
    months: int | None
    tokens_days: int | None
    titles: dict[str, str]
    payment_status: str

    @property
    def refunded(self) -> bool:
        return self.payment_status != "succeeded"


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A gift that was taken. Time runs from `starts_at` to `until`; a pack lapses at `until`. `repeated`: as before."""

    gift: Gift
    starts_at: datetime | None = None
    until: datetime | None = None
    repeated: bool = False


_SELECT: Final[sa.Select[Any]] = (
    sa.select(
        gifts.c.id,
        gifts.c.code,
        gifts.c.payment_id,
        gifts.c.giver_id,
        gifts.c.receiver_id,
        gifts.c.status,
        gifts.c.expires_at,
        gifts.c.created_at,
        orders.c.id.label("order_id"),
        orders.c.kind,
        orders.c.amount,
        orders.c.currency,
        orders.c.tokens,
        orders.c.plan_version_id,
        plan_versions.c.period_months,
        plan_versions.c.tokens_days,
        plans.c.titles,
        payments.c.status.label("payment_status"),
    )
    .join(payments, payments.c.id == gifts.c.payment_id)
    .join(orders, orders.c.id == payments.c.order_id)
    .join(plan_versions, plan_versions.c.id == orders.c.plan_version_id)
    .join(plans, plans.c.id == orders.c.plan_id)
)


async def create(tx: AsyncConnection, *, giver_id: int, payment_id: int, now: datetime) -> Gift:
    """Make the gift that a payment bought, with a code of its own."""
    values = {
        "code": ids.token(CODE_BYTES),
        "payment_id": payment_id,
        "giver_id": giver_id,
        "status": "open",
        "expires_at": now + LIFE,
        "created_at": now,
        "updated_at": now,
    }
    gift_id = (await tx.execute(sa.insert(gifts).values(values).returning(gifts.c.id))).scalar_one()
    made = await find(tx, gift_id)
    assert made is not None
    return made


async def find(connection: AsyncConnection, gift_id: int) -> Gift | None:
    """Return a gift by number."""
    return await _first(connection, gifts.c.id == gift_id)


async def by_code(connection: AsyncConnection, code: str) -> Gift | None:
    """Return a gift by its code, which may be anything that somebody typed."""
    if not 0 < len(code) <= CODE_CHARS_MAX or not code.isascii() or not code.isprintable():
        return None
    return await _first(connection, gifts.c.code == code)


async def of_giver(connection: AsyncConnection, *, giver_id: int, limit: int) -> list[Gift]:
    """Return what a person gave, the latest first."""
    rows = await connection.execute(
        _SELECT.where(gifts.c.giver_id == giver_id).order_by(gifts.c.id.desc()).limit(limit)
    )
    return [Gift(*row) for row in rows]


async def redeem(tx: AsyncConnection, *, code: str, person_id: int, now: datetime) -> Redeemed:
    """Give a person what a code holds. Idempotent for them; of several persons the first one has it.

    Paid time begins where all that they have ends. Raises GiftUnknown, GiftTaken, GiftExpired and GiftWithdrawn.
    """
    known = await by_code(tx, code)
    if known is None:
        raise GiftUnknown
    gift = await _lock(tx, known.id)
    if gift.receiver_id == person_id:
        return Redeemed(gift, repeated=True)
    if gift.receiver_id is not None:
        raise GiftTaken
    if gift.status == "withdrawn" or gift.refunded:
        raise GiftWithdrawn
    if gift.status == "expired" or gift.expires_at <= now:
        raise GiftExpired
    await ledger.lock_wallet(tx, person_id=person_id, now=now)
    await _set(tx, gift.id, now, status="redeemed", receiver_id=person_id)
    gift = await _lock(tx, gift.id)
    if gift.kind == "pack":
        until = None if gift.tokens_days is None else now + timedelta(days=gift.tokens_days)
        await lots.grant(
            tx,
            person_id=person_id,
            tokens=gift.tokens,
            kind="gift",
            ref_type="gift",
            ref_id=str(gift.id),
            expires_at=until,
            now=now,
            payment_id=gift.payment_id,
            plan_version=gift.plan_version_id,
        )
        return Redeemed(gift, until=until)
    begun = await once.begin(
        tx,
        person_id=person_id,
        order_id=None,
        plan_version_id=gift.plan_version_id,
        payment_id=gift.payment_id,
        tokens=gift.tokens,
        count=gift.months or 1,
        behind="all",
        now=now,
    )
    return Redeemed(gift, begun.starts_at, begun.ends_at)


async def lock_of_payment(tx: AsyncConnection, payment_id: int) -> Gift | None:
    """Return the gift that a payment bought, locked until the transaction ends; before any wallet."""
    gift_id = await tx.scalar(sa.select(gifts.c.id).where(gifts.c.payment_id == payment_id))
    return None if gift_id is None else await _lock(tx, gift_id)


async def of_payment(connection: AsyncConnection, payment_id: int) -> Gift | None:
    """Return the gift that a payment bought."""
    return await _first(connection, gifts.c.payment_id == payment_id)


async def withdraw(tx: AsyncConnection, *, payment_id: int, now: datetime) -> None:
    """Stop a gift that nobody took from being taken: its money is to go back."""
    await tx.execute(
        sa.update(gifts)
        .where(gifts.c.payment_id == payment_id, gifts.c.status.in_(["open", "expired"]))
        .values(status="withdrawn", updated_at=now)
    )


async def restore(tx: AsyncConnection, *, payment_id: int, now: datetime) -> None:
    """Let a withdrawn gift be taken again: its money did not go back."""
    await tx.execute(
        sa.update(gifts)
        .where(gifts.c.payment_id == payment_id, gifts.c.status == "withdrawn")
        .values(status="open", updated_at=now)
    )


async def count_offer(tx: AsyncConnection, gift_id: int, *, now: datetime) -> bool:
    """Count that a gift is offered to somebody by the bot; False when that was done OFFERS_MAX times."""
    counted = await tx.execute(
        sa.update(gifts)
        .where(gifts.c.id == gift_id, gifts.c.status == "open", gifts.c.offers < OFFERS_MAX)
        .values(offers=gifts.c.offers + 1, updated_at=now)
    )
    return counted.rowcount == 1


async def expire_due(tx: AsyncConnection, *, now: datetime, limit: int) -> list[Gift]:
    """End up to `limit` gifts that nobody took in time; return them."""
    return await _take(tx, limit, gifts.c.expires_at <= now, status="expired", updated_at=now)


async def take_reminders(tx: AsyncConnection, *, now: datetime, limit: int) -> list[Gift]:
    """Return gifts that end within REMIND_BEFORE and whose givers were not reminded; they count as reminded now."""
    soon = (gifts.c.expires_at > now, gifts.c.expires_at <= now + REMIND_BEFORE, ~gifts.c.reminded)
    return await _take(tx, limit, *soon, reminded=True)


async def _take(tx: AsyncConnection, limit: int, *conditions: sa.ColumnElement[bool], **values: object) -> list[Gift]:
    chosen = (
        sa.select(gifts.c.id)
        .where(gifts.c.status == "open", *conditions)
        .order_by(gifts.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    numbers = (await tx.execute(chosen)).scalars().all()
    await tx.execute(sa.update(gifts).where(gifts.c.id.in_(numbers)).values(values))
    rows = await tx.execute(_SELECT.where(gifts.c.id.in_(numbers)).order_by(gifts.c.id))
    return [Gift(*row) for row in rows]


async def _lock(tx: AsyncConnection, gift_id: int) -> Gift:
    await tx.execute(sa.select(gifts.c.id).where(gifts.c.id == gift_id).with_for_update(key_share=True))
    return Gift(*(await tx.execute(_SELECT.where(gifts.c.id == gift_id))).one())


async def _set(tx: AsyncConnection, gift_id: int, now: datetime, **values: object) -> None:
    await tx.execute(sa.update(gifts).where(gifts.c.id == gift_id).values(updated_at=now, **values))


async def _first(connection: AsyncConnection, *conditions: sa.ColumnElement[bool]) -> Gift | None:
    row = (await connection.execute(_SELECT.where(*conditions))).one_or_none()
    return Gift(*row) if row else None
