"""Purchases as people see them: each payment with what it was for, what is left of it, and where its money is now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

State = Literal["paid", "review", "refunding", "refunded", "partly_refunded", "charged_back", "pending"]

_STATES: dict[str, State] = {
    "succeeded": "paid",
    "refunded": "refunded",
    "partially_refunded": "partly_refunded",
    "charged_back": "charged_back",
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """A payment with what it bought. `amount` in Stars or kopecks; `titles` by language, empty where no order is known.

    Of `tokens` bought, `tokens_left` are left; those that went with a part are in neither. `owner_id`: whose they are
    or will be, the payer's own or somebody's whom they were given to; None for a gift while nobody has it.
    `quarantined`: why it stood, or stands, in quarantine. `returned`: how much of the amount has gone back.
    """

    id: int
    payer_id: int
    provider: str
    charge_id: str | None
    at: datetime
    titles: dict[str, str]
    amount: int
    currency: str
    status: str
    quarantined: str | None
    resolved: bool
    refunding: bool
    tokens: int
    tokens_left: int
    owner_id: int | None
    returned: int

    @property
    def rest(self) -> int:
        """What of the amount has not gone back."""
        return self.amount - self.returned

    @property
    def refundable(self) -> bool:
        """Whether the operator can refund it, or what is left of it, now."""
        return self.state in {"paid", "review", "partly_refunded"}

    @property
    def state(self) -> State:
        """Where the money is, in one word."""
        if self.refunding:
            return "refunding"
        if self.in_quarantine and self.status == "succeeded":
            return "review"
        return _STATES.get(self.status, "pending")

    @property
    def in_quarantine(self) -> bool:
        return self.quarantined is not None and not self.resolved

    @property
    def spent_percent(self) -> int:
        """How much of the tokens is spent, rounded up: 1 of 1,000 is more than nothing."""
        return 0 if not self.tokens else -(-(self.tokens - self.tokens_left) * 100 // self.tokens)


_SELECT = """
    SELECT p.id, p.payer_id, p.provider, p.provider_payment_id, p.created_at, coalesce(l.titles, '{}'), p.amount,
           p.currency, p.status, p.quarantine_reason, p.resolved_at IS NOT NULL,
           EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id
                   AND r.status IN ('intent', 'sent', 'pending', 'unknown')),
           coalesce(b.bought - g.tokens, 0)::bigint, coalesce(b.remaining, 0)::bigint,
           coalesce(b.owner, CASE WHEN NOT o.gift THEN o.person_id END), g.returned
    FROM payments p
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN plans l ON l.id = o.plan_id
    LEFT JOIN LATERAL (
        SELECT sum(x.granted) FILTER (WHERE x.kind <> 'restored') AS bought, sum(x.remaining) AS remaining,
               max(a.person_id) AS owner
        FROM lots x JOIN accounts a ON a.id = x.account_id WHERE x.payment_id = p.id
    ) b ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(r.amount) FILTER (WHERE r.status = 'succeeded'), 0)::bigint AS returned,
               coalesce(sum(r.tokens) FILTER (WHERE r.partial AND r.status <> 'canceled'), 0) AS tokens
        FROM refunds r WHERE r.payment_id = p.id
    ) g
"""
# A sheet that nobody has paid yet, and one that came to nothing, is no purchase. What the provider has not told of yet
# may be one: the person is to see that it is looked after.
_MADE = "p.status NOT IN ('intent', 'sent', 'pending', 'canceled')"


async def of_person(connection: AsyncConnection, *, person_id: int, limit: int, offset: int = 0) -> list[Purchase]:
    """Return what a person paid for, the latest first."""
    sql = sa.text(f"{_SELECT} WHERE p.payer_id = :person AND {_MADE} ORDER BY p.id DESC LIMIT :limit OFFSET :offset")
    rows = await connection.execute(sql, {"person": person_id, "limit": limit, "offset": offset})
    return [Purchase(*row) for row in rows]


async def find(connection: AsyncConnection, payment_id: int) -> Purchase | None:
    """Return a purchase by its payment's number."""
    return await _one(connection, "p.id = :value", payment_id)


async def by_charge(connection: AsyncConnection, charge_id: str) -> Purchase | None:
    """Return a purchase by the provider's id of the charge, which people find in the provider's receipt."""
    return await _one(connection, "p.provider_payment_id = :value", charge_id)


async def in_quarantine(connection: AsyncConnection, *, limit: int) -> list[Purchase]:
    """Return the purchases that wait for a decision, the oldest first."""
    unclear = "p.quarantine_reason IS NOT NULL AND p.resolved_at IS NULL"
    rows = await connection.execute(sa.text(f"{_SELECT} WHERE {unclear} ORDER BY p.id LIMIT :limit"), {"limit": limit})
    return [Purchase(*row) for row in rows]


async def _one(connection: AsyncConnection, condition: str, value: Any) -> Purchase | None:
    sql = sa.text(f"{_SELECT} WHERE {condition} ORDER BY p.id LIMIT 1")
    row = (await connection.execute(sql, {"value": value})).one_or_none()
    return Purchase(*row) if row else None
