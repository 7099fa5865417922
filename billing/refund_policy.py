"""The refund policy: what goes back at once when its payer asks, and what a person must decide.

At once: within so many hours and with at most so many percent of the tokens spent, as people are told before they pay.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.history import Purchase
from billing.tables import payments, refunds

# Whoever buys and gives back again and again is not refunded at once any more: somebody looks at it first.
AUTOMATIC_MAX: Final = 2
AUTOMATIC_WITHIN: Final = timedelta(days=90)

Verdict = Literal[
    "at_once",
    "late",  # from here: a case
    "spent",
    "often",
    "gift",
    "review",
    "part",
    "refunding",  # from here: nothing to ask for
    "gone",
]
CASES: Final[frozenset[Verdict]] = frozenset({"late", "spent", "often", "gift", "review", "part"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Within `hours`, with at most `percent` of the tokens spent."""

    hours: int
    percent: int


def judge(purchase: Purchase, rule: Rule, *, automatic: int, now: datetime) -> Verdict:
    """Say what becomes of a payer's wish for a refund; `automatic`: how many they had at once lately."""
    if purchase.state == "refunding":
        return "refunding"
    if purchase.state == "partly_refunded":
        return "part"
    if purchase.status != "succeeded":
        return "gone"
    if purchase.state == "review":
        return "review"
    if purchase.owner_id != purchase.payer_id:
        return "gift"
    if now - purchase.at > timedelta(hours=rule.hours):
        return "late"
    if purchase.spent_percent > rule.percent:
        return "spent"
    return "often" if automatic >= AUTOMATIC_MAX else "at_once"


async def automatic_of(connection: AsyncConnection, *, person_id: int, now: datetime) -> int:
    """Count the refunds that a person got, or is getting, at their own word within AUTOMATIC_WITHIN."""
    count: int = (
        await connection.execute(
            sa.select(sa.func.count())
            .select_from(refunds)
            .join(payments, payments.c.id == refunds.c.payment_id)
            .where(
                payments.c.payer_id == person_id,
                refunds.c.requested_by == person_id,
                refunds.c.status != "canceled",
                refunds.c.created_at > now - AUTOMATIC_WITHIN,
            )
        )
    ).scalar_one()
    return count
