"""Invitations: who came by whose link, and the reward once a friend has paid and can no longer have it refunded.

A friend is bound at their very first start, to somebody who was here before them: never to oneself, never in a circle.
What counts is money that the friend paid for at half the price or more, and that nobody asked back within the refund
window. Whoever was given something has paid nothing, and brings no reward.

    bound → rewarded
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import ledger, lots
from billing.growth_tables import invites, promo_orders, referrals
from billing.refunds import OPEN as REFUND_OPEN
from billing.tables import orders, payments, refunds
from kit import ids

# Tokens of a reward lapse after so long.
REWARD_LIFE: Final = timedelta(days=365)
CODE_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Rule:
    """What an invitation brings: tokens for both, after `window`, for at most `month_max` friends in a month (UTC)."""

    inviter_tokens: int
    friend_tokens: int
    window: timedelta
    month_max: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a person's invitations: friends who came, who brought a reward, and the tokens earned."""

    came: int
    rewarded: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Due:
    """A friend whose inviter has earned the reward, by a payment."""

    friend_id: int
    inviter_id: int
    payment_id: int


async def code_of(tx: AsyncConnection, *, person_id: int, now: datetime) -> str:
    """Return the person's own code, made at the first time."""
    made = {"person_id": person_id, "code": ids.token(CODE_BYTES), "created_at": now}
    await tx.execute(insert(invites).values(made).on_conflict_do_nothing(index_elements=["person_id"]))
    code: str = (await tx.execute(sa.select(invites.c.code).where(invites.c.person_id == person_id))).scalar_one()
    return code


# Whoever invites was here first, so nobody comes by their own link, and no circle closes.
_BIND = sa.text(
    """
    INSERT INTO referrals (friend_id, inviter_id, status, created_at)
    SELECT friend.id, inviter.id, 'bound', :now
    FROM invites i JOIN persons inviter ON inviter.id = i.person_id JOIN persons friend ON friend.id = :friend
    WHERE i.code = :code AND inviter.id <> friend.id AND inviter.created_at < friend.created_at
    ON CONFLICT (friend_id) DO NOTHING RETURNING inviter_id
    """
)


async def bind(tx: AsyncConnection, *, friend_id: int, code: str, now: datetime) -> int | None:
    """Bind a newcomer to whoever invited them; return the inviter, None if nobody did or they are bound already."""
    inviter: int | None = await tx.scalar(_BIND, {"friend": friend_id, "code": code, "now": now})
    return inviter


async def standing(connection: AsyncConnection, *, person_id: int) -> Standing:
    """Return what became of a person's invitations."""
    rewarded = referrals.c.status == "rewarded"
    row = await connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count().filter(rewarded),
            sa.cast(sa.func.coalesce(sa.func.sum(referrals.c.inviter_tokens), 0), sa.BigInteger),
        ).where(referrals.c.inviter_id == person_id)
    )
    return Standing(*row.one())


async def due(connection: AsyncConnection, rule: Rule, *, now: datetime, limit: int) -> list[Due]:
    """Return up to `limit` friends whose inviters have earned a reward; `reward` decides under the wallets' locks."""
    rows = await connection.execute(_due(rule, now).order_by(referrals.c.friend_id).limit(limit))
    return [Due(*row) for row in rows]


async def reward(tx: AsyncConnection, friend_id: int, inviter_id: int, rule: Rule, *, now: datetime) -> Due | None:
    """Grant the reward of a friend, once; None when it is not due (any more). Both wallets are locked before."""
    for person_id in sorted((friend_id, inviter_id)):
        await ledger.lock_wallet(tx, person_id=person_id, now=now)
    row = (await tx.execute(_due(rule, now).where(referrals.c.friend_id == friend_id))).one_or_none()
    if row is None:
        return None
    earned = Due(*row)
    await tx.execute(
        sa.update(referrals)
        .where(referrals.c.friend_id == friend_id)
        .values(
            status="rewarded",
            payment_id=earned.payment_id,
            inviter_tokens=rule.inviter_tokens,
            friend_tokens=rule.friend_tokens,
            rewarded_at=now,
        )
    )
    for person_id, tokens in ((inviter_id, rule.inviter_tokens), (friend_id, rule.friend_tokens)):
        if tokens:
            await lots.grant(
                tx,
                person_id=person_id,
                tokens=tokens,
                kind="gift",
                ref_type="referral",
                ref_id=f"{friend_id}:{person_id}",
                expires_at=now + REWARD_LIFE,
                now=now,
            )
    return earned


def _due(rule: Rule, now: datetime) -> sa.Select[Any]:
    """Friends who paid, each with their first payment that counts, whose inviters have room left this month."""
    asked_back = sa.select(refunds.c.id).where(
        refunds.c.payment_id == payments.c.id, refunds.c.status.in_((*REFUND_OPEN, "succeeded"))
    )
    earlier = referrals.alias("earlier")
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    this_month = (
        sa.select(sa.func.count())
        .where(earlier.c.inviter_id == referrals.c.inviter_id, earlier.c.rewarded_at >= month)
        .correlate(referrals)
        .scalar_subquery()
    )
    full = sa.func.coalesce(promo_orders.c.full_amount, orders.c.amount)
    return (
        sa.select(referrals.c.friend_id, referrals.c.inviter_id, sa.func.min(payments.c.id))
        .join(payments, payments.c.payer_id == referrals.c.friend_id)
        .join(orders, orders.c.id == payments.c.order_id)
        .outerjoin(promo_orders, promo_orders.c.order_id == orders.c.id)
        .where(
            referrals.c.status == "bound",
            payments.c.status == "succeeded",
            payments.c.quarantine_reason.is_(None),
            payments.c.created_at <= now - rule.window,
            2 * payments.c.amount >= full,
            ~asked_back.exists(),
            this_month < rule.month_max,
        )
        .group_by(referrals.c.friend_id, referrals.c.inviter_id)
    )
