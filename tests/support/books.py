"""Billing as a few verbs, each in a transaction of its own: for tests that look at the books and not at a chat."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from app.persons import persons
from billing import balance, catalog, debts, gifts, holds, invariants, once, orders, refunds, stars, subscriptions
from billing.balance import Balance
from billing.crediting import Credit
from billing.gifts import Gift, Redeemed
from billing.invariants import Violation
from billing.orders import Order
from billing.subscriptions import Change, StarsState
from kit.db import Database

START = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
MONTH = timedelta(days=30)
DAY = timedelta(days=1)

LIMITS = """
requests_per_minute = 10
in_flight = 2
queued = 5
context_tokens = 8_000
answer_tokens = 1_000
"""
PLANS = f"""
[free]
kind = "free"
title = {{ ru = "Бесплатный", en = "Free" }}
daily_tokens = 500
welcome_tokens = 1_000
welcome_days = 7
weight = 1
{LIMITS}
[lite]
kind = "subscription"
title = {{ ru = "Лайт", en = "Lite" }}
stars = 300
tokens = 5_000
weight = 2
{LIMITS}
[top]
kind = "subscription"
title = {{ ru = "Верх", en = "Top" }}
stars = 900
roubles = 990
tokens = 9_000
tokens_roll_over = true
daily_tokens = 200
weight = 4
{LIMITS}
[pack]
kind = "pack"
title = {{ ru = "Пакет", en = "Pack" }}
stars = 150
tokens = 3_000
tokens_days = 20
"""

# To be sold beside PLANS.
YEAR = """
[year]
kind = "once"
title = { ru = "Год", en = "Year" }
of = "lite"
months = 12
stars = 3_000
"""

_persons = itertools.count(1_000_001)
_numbers = itertools.count(1)


@dataclass
class Books:
    """The books of one database at `now`, which tests move."""

    db: Database
    now: datetime = START

    async def open(self, text: str = PLANS) -> catalog.Published:
        """Publish a plans.toml."""
        async with self.db.transaction() as tx:
            return await catalog.publish(tx, catalog.parse(text), self.now)

    async def person(self) -> int:
        person_id = next(_persons)
        async with self.db.transaction() as tx:
            values = {"id": person_id, "language": "ru", "created_at": self.now}
            await tx.execute(insert(persons).values(values).on_conflict_do_nothing())
        return person_id

    async def order(self, person_id: int, product: str, currency: str = "XTR", **more: Any) -> Order:
        terms = {"renews": currency != "RUB"} | more
        async with self.db.transaction() as tx:
            return await orders.open(
                tx, person_id=person_id, product_id=product, currency=currency, now=self.now, **terms
            )

    async def pay(
        self,
        order: Order | str,
        *,
        payer: int = 0,
        amount: int = 0,
        charge: str = "",
        first: bool = True,
        recurring: bool | None = None,
        expires: datetime | None = None,
    ) -> Credit:
        """Report a payment in Stars; what is left out is as the order says. `first=False`: a renewal."""
        known = isinstance(order, Order)
        renews = recurring if recurring is not None else known and order.kind == "subscription"
        async with self.db.transaction() as tx:
            return await stars.record(
                tx,
                charge_id=charge or f"charge-{next(_numbers)}",
                payload=order.payload if known else order,
                person_id=payer or (order.person_id if known else 0),
                amount=amount or (order.amount if known else 0),
                is_recurring=renews,
                is_first_recurring=renews and first,
                expires_at=(expires or self.now + MONTH) if renews else None,
                now=self.now,
            )

    async def buy(self, person_id: int, product: str, **more: Any) -> Credit:
        return await self.pay(await self.order(person_id, product), **more)

    async def give(self, giver_id: int, product: str) -> Gift:
        """Buy a gift."""
        gift = (await self.pay(await self.order(giver_id, product, gift=True))).gift
        assert gift is not None
        return gift

    async def redeem(self, person_id: int, code: str) -> Redeemed:
        async with self.db.transaction() as tx:
            return await gifts.redeem(tx, code=code, person_id=person_id, now=self.now)

    async def begin_months(self) -> None:
        """What housekeeping does every minute with the months that have begun."""
        async with self.db.read() as connection:
            begun = await once.due(connection, now=self.now, limit=100_000)
        for subscription_id in begun:
            async with self.db.transaction() as tx:
                await once.grant_due(tx, subscription_id, now=self.now)

    async def say(self, payload: str, person_id: int, state: StarsState) -> Change | None:
        """Telegram's word on a subscription."""
        async with self.db.transaction() as tx:
            return await subscriptions.apply_stars_update(
                tx, payload=payload, person_id=person_id, state=state, now=self.now
            )

    async def request(self, payment_id: int) -> refunds.Refund:
        async with self.db.transaction() as tx:
            return await refunds.request(tx, payment_id=payment_id, requested_by=None, reason="test", now=self.now)

    async def confirm(self, refund_id: int) -> Change | None:
        async with self.db.transaction() as tx:
            return await refunds.confirm(tx, refund_id=refund_id, now=self.now)

    async def refuse(self, refund_id: int) -> None:
        async with self.db.transaction() as tx:
            await refunds.refuse(tx, refund_id=refund_id, now=self.now)

    async def report_refund(self, charge: str, payload: str, payer: int, amount: int) -> refunds.Confirmed | None:
        async with self.db.transaction() as tx:
            return await refunds.confirm_stars(
                tx, charge_id=charge, payload=payload, payer_id=payer, amount=amount, now=self.now
            )

    async def refund(self, payment_id: int) -> Change | None:
        """The whole way of a refund that goes well."""
        return await self.confirm((await self.request(payment_id)).id)

    async def charge_back(self, payment_id: int) -> refunds.Confirmed | None:
        """The payer takes the money back without us."""
        async with self.db.transaction() as tx:
            return await refunds.charge_back(tx, payment_id=payment_id, reason="test", now=self.now)

    async def owed(self, person_id: int) -> int:
        async with self.db.read() as connection:
            return await debts.owed(connection, person_id=person_id)

    async def place(self, person_id: int, turn: int, least: int, most: int) -> holds.Hold:
        async with self.db.transaction() as tx:
            return await holds.place(
                tx, person_id=person_id, turn_id=turn, tokens_min=least, tokens_max=most, now=self.now
            )

    async def settle(self, turn: int, tokens: int, courtesy_max: int = 0) -> holds.Settlement | None:
        async with self.db.transaction() as tx:
            return await holds.settle(tx, turn_id=turn, tokens=tokens, courtesy_max=courtesy_max, now=self.now)

    async def release(self, turn: int) -> bool:
        async with self.db.transaction() as tx:
            return await holds.release(tx, turn_id=turn, now=self.now)

    async def balance(self, person_id: int) -> Balance:
        async with self.db.transaction() as tx:
            return await balance.of(tx, person_id=person_id, now=self.now)

    async def expire(self, most: int = 100_000) -> list[Change]:
        """What housekeeping does every minute."""
        async with self.db.transaction() as tx:
            return await subscriptions.expire_due(tx, now=self.now, limit=most)

    async def violations(self) -> list[Violation]:
        async with self.db.read() as connection:
            return await invariants.check(connection)

    async def scalar(self, sql: str, **values: Any) -> Any:
        async with self.db.read() as connection:
            return await connection.scalar(sa.text(sql), values)

    async def run(self, sql: str, **values: Any) -> None:
        """A statement as it stands, committed."""
        async with self.db.transaction() as tx:
            await tx.execute(sa.text(sql), values)
