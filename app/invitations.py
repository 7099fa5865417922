"""Invitations: a person's own link, whom it brought, and the reward once a friend has paid for good."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import persons
from app.context import App
from app.notices import tell
from app.persons import Person
from billing import referrals
from billing.referrals import Rule, Standing
from kit.settings import Settings

log = structlog.get_logger(__name__)

LINK_PREFIX: Final = "ref_"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What /invite shows: the payload of the person's link, what became of it, and what it brings."""

    payload: str
    standing: Standing
    rule: Rule


def rule_of(settings: Settings) -> Rule | None:
    """Return what an invitation brings, None while the operator has turned invitations off."""
    if not settings.invite_tokens:
        return None
    return Rule(
        inviter_tokens=settings.invite_tokens,
        friend_tokens=settings.invite_friend_tokens,
        window=timedelta(hours=settings.refund_hours),
        month_max=settings.invites_month_max,
    )


async def of(app: App, tx: AsyncConnection, person: Person, *, now: datetime) -> Invitation | None:
    """Return a person's invitation, made at the first time; None while invitations are off."""
    rule = rule_of(app.settings)
    if rule is None:
        return None
    code = await referrals.code_of(tx, person_id=person.id, now=now)
    standing = await referrals.standing(tx, person_id=person.id)
    return Invitation(LINK_PREFIX + code, standing, rule)


async def bind(app: App, tx: AsyncConnection, person: Person, *, now: datetime) -> None:
    """Bind a person to whoever invited them, by the link of their very first start: once, whatever came later."""
    source = await persons.source_of(tx, person.id) or ""
    if not source.startswith(LINK_PREFIX) or rule_of(app.settings) is None:
        return
    inviter = await referrals.bind(tx, friend_id=person.id, code=source.removeprefix(LINK_PREFIX), now=now)
    if inviter is not None:
        log.info("friend_bound", person=person.id, inviter=inviter)


async def reward_due(app: App, *, now: datetime, limit: int) -> None:
    """Reward up to `limit` invitations whose friends have paid and can no longer ask it back; tell both."""
    rule = rule_of(app.settings)
    if rule is None:
        return
    async with app.db.read() as connection:
        found = await referrals.due(connection, rule, now=now, limit=limit)
    for one in found:
        async with app.db.transaction() as tx:
            earned = await referrals.reward(tx, one.friend_id, one.inviter_id, rule, now=now)
            if earned is None:
                continue
            key = f"referral:{one.friend_id}"
            await tell(tx, one.inviter_id, "invite-rewarded", {"tokens": rule.inviter_tokens}, key, now)
            if rule.friend_tokens:
                await tell(tx, one.friend_id, "invite-welcome", {"tokens": rule.friend_tokens}, key, now)
            log.info("invitation_rewarded", inviter=one.inviter_id, friend=one.friend_id, payment=earned.payment_id)
