"""Payments as they are recorded and listed, whoever the provider: one row for each of the provider's charges.

What was paid is credited by billing.crediting; how each provider reports it is billing.stars' matter.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.tables import payments

STARS: Final = "stars"
YOOKASSA: Final = "yookassa"

Provider = Literal["stars", "yookassa"]
Reason = Literal[
    "unknown_payload",  # no order of ours
    "wrong_payer",  # an invoice made for somebody else
    "wrong_price",  # amount or currency are not the order's
    "wrong_kind",  # a renewing charge for a one-off product, or the other way round
    "second_subscription",  # the person has one that renews
    "subscription_revoked",  # a renewal of what was refunded
    "period_covered",  # the provider's expiry lies within what was paid for already
    "refunded_first",  # its refund was reported before it
    "wrong_recipient",  # the money went to another shop than ours
]
# Begun, and its end is not known.
OPEN: Final = ("intent", "sent", "pending", "unknown")
# Taken by mistake, whoever's: the money goes back without asking anybody.
REFUND_DUE: Final[frozenset[Reason]] = frozenset({"wrong_payer", "second_subscription", "subscription_revoked"})


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it is listed. `amount` in Stars or kopecks."""

    id: int
    provider: str
    provider_payment_id: str | None
    payer_id: int
    order_id: int | None
    currency: str
    amount: int
    status: str
    quarantine_reason: str | None
    resolved_at: datetime | None
    created_at: datetime


_SELECT: Final[sa.Select[Any]] = sa.select(
    payments.c.id,
    payments.c.provider,
    payments.c.provider_payment_id,
    payments.c.payer_id,
    payments.c.order_id,
    payments.c.currency,
    payments.c.amount,
    payments.c.status,
    payments.c.quarantine_reason,
    payments.c.resolved_at,
    payments.c.created_at,
)


async def by_charge(connection: AsyncConnection, *, charge_id: str, provider: Provider = STARS) -> Payment | None:
    """Return the payment that a provider knows by this id."""
    row = (
        await connection.execute(
            _SELECT.where(payments.c.provider == provider, payments.c.provider_payment_id == charge_id)
        )
    ).one_or_none()
    return Payment(*row) if row else None


async def of_person(connection: AsyncConnection, *, person_id: int, limit: int) -> list[Payment]:
    """Return a person's payments, the latest first."""
    rows = await connection.execute(
        _SELECT.where(payments.c.payer_id == person_id).order_by(payments.c.id.desc()).limit(limit)
    )
    return [Payment(*row) for row in rows]


async def in_quarantine(connection: AsyncConnection, *, limit: int) -> list[Payment]:
    """Return the payments that wait for a decision, the oldest first."""
    rows = await connection.execute(
        _SELECT.where(payments.c.quarantine_reason.is_not(None), payments.c.resolved_at.is_(None))
        .order_by(payments.c.id)
        .limit(limit)
    )
    return [Payment(*row) for row in rows]
