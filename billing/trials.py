"""Trials: a plan for some days and some tokens, once for each person, for ever. A trial never charges anything."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import house_access, ledger
from billing.growth_tables import trials
from billing.subscriptions import TERMINAL, Subscription
from billing.tables import payments, plan_versions, plans, subscriptions
from kit.errors import Rejected

# Whoever's money came once has paid, also where it went back.
PAID: Final = ("succeeded", "partially_refunded", "refunded", "charged_back")


class TrialHadAlready(Rejected):
    """The person has, or had, their one trial."""

    code = "error-trial-had"


class TrialNotOffered(Rejected):
    """No trial is offered, or not to this person: they paid once, or have a plan now."""

    code = "error-trial-not-offered"


@dataclass(frozen=True, slots=True)
class Offer:
    """The trial that a person may start: `days` of `plan_id` with `tokens`."""

    plan_id: str
    plan_version_id: int
    days: int
    tokens: int


async def offer(connection: AsyncConnection, *, person_id: int) -> Offer | None:
    """Return the trial that a person may start now: who never had one, never paid, and has no plan."""
    had = sa.select(trials.c.person_id).where(trials.c.person_id == person_id)
    has = sa.select(subscriptions.c.id).where(
        subscriptions.c.person_id == person_id, subscriptions.c.status.not_in(TERMINAL)
    )
    row = (
        await connection.execute(
            sa.select(plans.c.id, plan_versions.c.id, plan_versions.c.period_days, plan_versions.c.tokens)
            .join(plan_versions, plan_versions.c.plan_id == plans.c.id)
            .where(
                plans.c.kind == "trial",
                plans.c.withdrawn_at.is_(None),
                ~had.exists(),
                ~has.exists(),
                ~_paid(person_id).exists(),
            )
            .order_by(plans.c.position, plan_versions.c.version.desc())
            .limit(1)
        )
    ).one_or_none()
    return Offer(*row) if row else None


async def start(tx: AsyncConnection, *, person_id: int, now: datetime) -> Subscription:
    """Start a person's trial; the wallet's lock makes two presses come one after the other, the key forbids a second.

    Raises TrialHadAlready, TrialNotOffered.
    """
    await ledger.lock_wallet(tx, person_id=person_id, now=now)
    if await tx.scalar(sa.select(trials.c.person_id).where(trials.c.person_id == person_id)) is not None:
        raise TrialHadAlready
    offered = await offer(tx, person_id=person_id)
    if offered is None:
        raise TrialNotOffered
    begun = await house_access.begin(
        tx,
        person_id=person_id,
        plan_version_id=offered.plan_version_id,
        kind="trial",
        days=offered.days,
        tokens=offered.tokens,
        ref_type="trial",
        ref_id=str(person_id),
        now=now,
    )
    await tx.execute(
        sa.insert(trials).values(
            person_id=person_id,
            plan_version_id=offered.plan_version_id,
            subscription_id=begun.id,
            ends_at=begun.until,
            created_at=now,
        )
    )
    return begun


async def has_paid(connection: AsyncConnection, *, person_id: int) -> bool:
    """Whether money of this person came once, whatever became of it."""
    return bool(await connection.scalar(sa.select(_paid(person_id).exists())))


def _paid(person_id: int) -> sa.Select[tuple[int]]:
    return sa.select(payments.c.id).where(payments.c.payer_id == person_id, payments.c.status.in_(PAID))
