"""Access that nobody pays for, as persons live it: the trial, days that were given, and what is said of their end."""

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from app.notices import tell
from app.persons import Person
from billing import house_access, ledger, subscriptions, trials
from billing.house_access import HOUSE
from billing.subscriptions import Change, Subscription
from billing.trials import Offer

log = structlog.get_logger(__name__)

# Persons hear of the end so long before it.
REMIND_BEFORE: Final = timedelta(days=1)


async def offered(app: App, connection: AsyncConnection, *, person_id: int) -> Offer | None:
    """Return the trial that a person may start now, None where there is none for them."""
    return await trials.offer(connection, person_id=person_id) if app.plans.trial else None


async def start_trial(tx: AsyncConnection, person: Person, *, now: datetime) -> Subscription:
    """Start a person's trial. Raises TrialHadAlready, TrialNotOffered."""
    begun = await trials.start(tx, person_id=person.id, now=now)
    log.info("trial_started", person=person.id, subscription=begun.id)
    return begun


async def minute(app: App, *, now: datetime, limit: int) -> None:
    """Begin days that waited for a plan to end; tell whose trial, or whose days, end soon."""
    async with app.db.read() as connection:
        waiting = await house_access.due(connection, limit=limit)
    for grant_id, person_id in waiting:
        async with app.db.transaction() as tx:
            await ledger.lock_wallet(tx, person_id=person_id, now=now)
            begun = await house_access.begin_if_free(tx, grant_id, now=now)
            if begun.until is not None:
                args = {"plan": begun.titles, "until": begun.until.isoformat(), "tokens": begun.tokens}
                await tell(tx, person_id, "granted-begun", args, f"grant:{grant_id}", now)
    async with app.db.transaction() as tx:
        for ending in await house_access.take_ending(tx, now=now, within=REMIND_BEFORE, limit=limit):
            if not await _goes_on(tx, ending.person_id):
                notice = "trial-ending" if ending.status == "trialing" else "granted-ending"
                await tell(tx, ending.person_id, notice, _args_of(ending), f"subscription:{ending.id}", now)


async def tell_ended(tx: AsyncConnection, change: Change, *, now: datetime) -> None:
    """Tell a person that their trial, or days they were given, have ended; not whose plan goes on."""
    ended = change.subscription
    if change.after == "expired" and not await _goes_on(tx, ended.person_id):
        notice = "trial-ended" if change.before == "trialing" else "granted-ended"
        await tell(tx, ended.person_id, notice, _args_of(ended), f"subscription:{ended.id}", now)


async def _goes_on(tx: AsyncConnection, person_id: int) -> bool:
    """Whether the person bought a plan, or has days left that begin when others end."""
    living = await subscriptions.living(tx, person_id=person_id)
    bought = any(one.provider != HOUSE for one in living)
    return bought or bool(await house_access.waiting(tx, person_id=person_id))


def _args_of(subscription: Subscription) -> dict[str, Any]:
    assert subscription.until is not None  # the house's access has an end from its beginning
    return {"plan": subscription.titles, "until": subscription.until.isoformat()}
