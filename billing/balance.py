"""The balance: the truth for /balance and /subscription, in one place."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import allowance, debts, entitlements, ledger, lots, subscriptions
from billing.entitlements import Entitlement
from billing.lots import Lot
from billing.subscriptions import Subscription
from billing.tables import accounts


@dataclass(frozen=True, slots=True)
class Balance:
    """What a person has. Tokens: `posted` = `available` + `reserved` (by answers that run).

    `lots` in the order of spending, their `remaining` summing to `posted`. `daily_tokens` come at
    `allowance_renews_at` (None: the plan has none). `subscription` is the one that gives the plan, or that is about
    to (in grace it still does); `renews` on it says whether the provider charges again at its `until`. `owed`: what a
    chargeback could not take back since it was spent; the next paid tokens repay it first.
    """

    posted: int
    reserved: int
    lots: tuple[Lot, ...]
    entitlement: Entitlement
    daily_tokens: int
    allowance_renews_at: datetime | None
    subscription: Subscription | None
    subscriptions: tuple[Subscription, ...]
    owed: int

    @property
    def available(self) -> int:
        return self.posted - self.reserved

    @property
    def titles(self) -> dict[str, str]:
        """The plan's name by language."""
        return self.entitlement.titles

    @property
    def until(self) -> datetime | None:
        """When the plan ends or renews; None on the free plan."""
        return self.entitlement.until

    @property
    def status(self) -> str | None:
        """The status of the subscription that gives the plan."""
        return self.subscription.status if self.subscription else None


async def of(tx: AsyncConnection, *, person_id: int, now: datetime) -> Balance:
    """Return a person's balance, with today's allowance granted and what is due expired, as the next turn would."""
    await allowance.ensure(tx, person_id=person_id, now=now)
    account_id = await ledger.lock_wallet(tx, person_id=person_id, now=now)
    await lots.expire(tx, account_id=account_id, now=now)
    return await current(tx, person_id=person_id, now=now)


async def current(connection: AsyncConnection, *, person_id: int, now: datetime) -> Balance:
    """Return a person's balance as the books stand, changing nothing: for operators' eyes."""
    wallet = (
        await connection.execute(
            sa.select(accounts.c.posted, accounts.c.reserved).where(
                accounts.c.person_id == person_id, accounts.c.kind == "wallet"
            )
        )
    ).one_or_none()
    entitlement = await entitlements.current(connection, person_id=person_id, now=now)
    owned = await subscriptions.living(connection, person_id=person_id)
    mine = next((one for one in owned if one.id == entitlement.subscription_id), owned[0] if owned else None)
    return Balance(
        posted=wallet.posted if wallet else 0,
        reserved=wallet.reserved if wallet else 0,
        lots=tuple(await lots.live(connection, person_id=person_id)),
        entitlement=entitlement,
        daily_tokens=entitlement.daily_tokens,
        allowance_renews_at=allowance.renews_at(now) if entitlement.daily_tokens else None,
        subscription=mine,
        subscriptions=tuple(owned),
        owed=await debts.owed(connection, person_id=person_id),
    )
