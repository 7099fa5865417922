"""Entitlements: the plan and limits that a person has at an instant, read from the periods that cover it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.errors import Misconfigured

_CURRENT = sa.text(
    """
    SELECT p.id, p.kind, p.titles, e.plan_version_id, e.subscription_id, s.until,
           v.requests_per_minute, v.tokens_per_minute, v.tokens_per_day, v.in_flight, v.queued,
           v.context_tokens, v.answer_tokens, v.photos_per_day, v.weight, v.daily_tokens
    FROM entitlement_at(:person, :now) e
    JOIN plan_versions v ON v.id = e.plan_version_id
    JOIN plans p ON p.id = v.plan_id
    LEFT JOIN subscriptions s ON s.id = e.subscription_id
    """
).bindparams(sa.bindparam("person", type_=sa.BigInteger()), sa.bindparam("now", type_=sa.DateTime(timezone=True)))


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a person may use. `until` and `subscription_id` are None on the free plan.

    `tokens_per_minute`, `tokens_per_day`: 0 means no such limit. `titles`: the plan's name by language.
    """

    plan_id: str
    plan_kind: str
    titles: dict[str, str]
    plan_version_id: int
    subscription_id: int | None
    until: datetime | None
    requests_per_minute: int
    tokens_per_minute: int
    tokens_per_day: int
    in_flight: int
    queued: int
    context_tokens: int
    answer_tokens: int
    photos_per_day: int
    weight: int
    daily_tokens: int


async def current(tx: AsyncConnection, *, person_id: int, now: datetime) -> Entitlement:
    """Return the best plan among the periods that cover `now`, else the free plan. One indexed query.

    Raises Misconfigured when no catalog was ever published.
    """
    row = (await tx.execute(_CURRENT, {"person": person_id, "now": now})).one_or_none()
    if row is None:
        raise Misconfigured("plans.toml has not been published to this database: run `forma migrate`")
    return Entitlement(*row)
