"""Access that nobody pays for: a trial, and days of a plan that were given. It ends by itself and never charges.

Days given are never lost to somebody who has a plan as good already: they wait, and begin once that one has ended. A
better plan begins at once, beside the other one. The provider of these subscriptions is the house; what is granted
stands in `cancel_scheduled` from its first moment, since it runs to its end and does not renew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import ledger, lots, periods, subscriptions
from billing.growth_tables import access_grants
from billing.subscriptions import TERMINAL, Subscription
from billing.tables import plan_versions, plans
from billing.tables import subscriptions as subscriptions_table

HOUSE: Final = "house"
# A month's tokens are for so many days; days given bring their share of them.
MONTH_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Grant:
    """Days of a plan that were given, with `tokens` that come when they begin; `until` is None while they wait."""

    id: int
    person_id: int
    plan_id: str
    titles: dict[str, str]
    days: int
    tokens: int
    until: datetime | None


async def begin(
    tx: AsyncConnection,
    *,
    person_id: int,
    plan_version_id: int,
    kind: Literal["trial", "granted"],
    days: int,
    tokens: int,
    ref_type: str,
    ref_id: str,
    now: datetime,
) -> Subscription:
    """Give access from now for `days`, and a lot of `tokens` that lapses with it; the caller has locked the wallet."""
    made = await subscriptions.create(
        tx,
        person_id=person_id,
        plan_version_id=plan_version_id,
        provider=HOUSE,
        order_id=None,
        predecessor_id=None,
        now=now,
    )
    until = now + timedelta(days=days)
    await periods.add(
        tx,
        subscription_id=made.id,
        person_id=person_id,
        plan_version_id=plan_version_id,
        kind=kind,
        starts_at=now,
        ends_at=until,
        payment_id=None,
        now=now,
    )
    for status in ("trialing",) if kind == "trial" else ("active", "cancel_scheduled"):
        await tx.execute(
            sa.update(subscriptions_table)
            .where(subscriptions_table.c.id == made.id)
            .values(status=status, until=until, updated_at=now)
        )
    await lots.grant(
        tx,
        person_id=person_id,
        tokens=tokens,
        kind="trial" if kind == "trial" else "promo",
        ref_type=ref_type,
        ref_id=ref_id,
        expires_at=until,
        now=now,
        plan_version=plan_version_id,
    )
    begun = await subscriptions.find(tx, made.id)
    assert begun is not None
    return begun


async def give(
    tx: AsyncConnection, *, person_id: int, plan_id: str, days: int, ref_type: str, ref_id: str, now: datetime
) -> Grant | None:
    """Give days of a plan under its present terms, once for each (ref_type, ref_id); they begin now or wait.

    None when the plan is not sold any more, or was no subscription.
    """
    await ledger.lock_wallet(tx, person_id=person_id, now=now)
    version = (
        await tx.execute(
            sa.select(plan_versions.c.id, plan_versions.c.tokens)
            .join(plans, plans.c.id == plan_versions.c.plan_id)
            .where(plans.c.id == plan_id, plans.c.kind == "subscription", plans.c.withdrawn_at.is_(None))
            .order_by(plan_versions.c.version.desc())
            .limit(1)
        )
    ).one_or_none()
    if version is None:
        return None
    values = {
        "person_id": person_id,
        "plan_version_id": version.id,
        "days": days,
        "tokens": -(-version.tokens * days // MONTH_DAYS),  # rounded up, in the person's favour
        "ref_type": ref_type,
        "ref_id": ref_id,
        "created_at": now,
    }
    await tx.execute(insert(access_grants).values(values).on_conflict_do_nothing())
    mine = (access_grants.c.ref_type == ref_type, access_grants.c.ref_id == ref_id)
    grant_id = (await tx.execute(sa.select(access_grants.c.id).where(*mine))).scalar_one()
    return await begin_if_free(tx, grant_id, now=now)


async def waiting(connection: AsyncConnection, *, person_id: int) -> list[Grant]:
    """Return the days that a person was given and that wait for their plan to end, the oldest first."""
    mine = (access_grants.c.person_id == person_id, access_grants.c.begun_at.is_(None))
    rows = await connection.execute(_SELECT.where(*mine).order_by(access_grants.c.id))
    return [Grant(*row) for row in rows]


async def due(connection: AsyncConnection, *, limit: int) -> list[tuple[int, int]]:
    """Return (grant, person) of days that wait for nothing any more; `begin_if_free` decides, the wallet locked."""
    chosen = (
        sa.select(access_grants.c.id, access_grants.c.person_id)
        .join(plan_versions, plan_versions.c.id == access_grants.c.plan_version_id)
        .where(access_grants.c.begun_at.is_(None), ~_as_good().exists())
        .order_by(access_grants.c.id)
        .limit(limit)
    )
    return [(row.id, row.person_id) for row in await connection.execute(chosen)]


async def begin_if_free(tx: AsyncConnection, grant_id: int, *, now: datetime) -> Grant:
    """Begin days that wait, unless a plan as good is there; the caller has locked the wallet. Idempotent."""
    free = (
        await tx.execute(
            sa.select(access_grants)
            .join(plan_versions, plan_versions.c.id == access_grants.c.plan_version_id)
            .where(access_grants.c.id == grant_id, access_grants.c.begun_at.is_(None), ~_as_good().exists())
        )
    ).one_or_none()
    if free is not None:
        begun = await begin(
            tx,
            person_id=free.person_id,
            plan_version_id=free.plan_version_id,
            kind="granted",
            days=free.days,
            tokens=free.tokens,
            ref_type="access_grant",
            ref_id=str(grant_id),
            now=now,
        )
        values = {"subscription_id": begun.id, "begun_at": now}
        await tx.execute(sa.update(access_grants).where(access_grants.c.id == grant_id).values(values))
    return Grant(*(await tx.execute(_SELECT.where(access_grants.c.id == grant_id))).one())


async def take_ending(tx: AsyncConnection, *, now: datetime, within: timedelta, limit: int) -> list[Subscription]:
    """Return the house's subscriptions that end within a time from now and whose persons were not told yet.

    They count as told with this transaction: each end is returned once.
    """
    table = subscriptions_table
    untold = (
        sa.select(table.c.id)
        .where(
            table.c.provider == HOUSE,
            table.c.status.not_in(TERMINAL),
            table.c.until.between(now, now + within),
            table.c.until - table.c.created_at > within,  # what is as short as this was told at its beginning
            table.c.told_until.is_distinct_from(table.c.until),
        )
        .order_by(table.c.until)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    chosen = (await tx.execute(untold)).scalars().all()
    await tx.execute(sa.update(table).where(table.c.id.in_(chosen)).values(told_until=table.c.until))
    found = [await subscriptions.find(tx, one) for one in chosen]
    return [one for one in found if one is not None]


def _as_good() -> sa.Select[Any]:
    """The living subscriptions that the grant's person has of a plan as good as the grant's, or better."""
    held = plan_versions.alias("held")
    return (
        sa.select(subscriptions_table.c.id)
        .join(held, held.c.id == subscriptions_table.c.plan_version_id)
        .where(
            subscriptions_table.c.person_id == access_grants.c.person_id,
            subscriptions_table.c.status.not_in((*TERMINAL, "incomplete")),
            held.c.weight >= plan_versions.c.weight,
        )
        .correlate(access_grants, plan_versions)
    )


_SELECT: Final[sa.Select[Any]] = (
    sa.select(
        access_grants.c.id,
        access_grants.c.person_id,
        plans.c.id.label("plan_id"),
        plans.c.titles,
        access_grants.c.days,
        access_grants.c.tokens,
        subscriptions_table.c.until,
    )
    .join(plan_versions, plan_versions.c.id == access_grants.c.plan_version_id)
    .join(plans, plans.c.id == plan_versions.c.plan_id)
    .outerjoin(subscriptions_table, subscriptions_table.c.id == access_grants.c.subscription_id)
)
