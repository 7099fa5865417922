"""The auditor's first part: two persons, time, crashes, free tokens and answers; after each step all is compared."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import allowance, balance, discounts, gifts, house_access, invariants, ledger, lots, orders, referrals
from billing.referrals import Rule
from kit.db import Database
from kit.errors import Conflict, InsufficientTokens
from tests.support.books import LIMITS, PLANS, START, YEAR
from tests.support.books import Books as Ledger
from tests.support.books_model import Books, Charge, Order, Product

TRIAL = f"""
[trial]
kind = "trial"
of = "lite"
days = 7
title = {{ ru = "Проба", en = "Trial" }}
tokens = 700
daily_tokens = 500
weight = 1
{LIMITS}
"""
SOLD = PLANS.replace("stars = 150", "stars = 150\nroubles = 290") + YEAR + TRIAL
PRODUCTS = [
    Product("free", "free", daily=500, welcome=1_000, welcome_days=7, weight=1),
    Product("lite", "subscription", stars=300, tokens=5_000, weight=2),
    Product("top", "subscription", stars=900, kopecks=99_000, tokens=9_000, roll_over=True, daily=200, weight=4),
    Product("pack", "pack", stars=150, kopecks=29_000, tokens=3_000, tokens_days=20),
    Product("year", "once", stars=3_000, tokens=5_000, months=12, weight=2),
    Product("trial", "trial", tokens=700, days=7, daily=500, weight=1),
]
LEAPS = [
    timedelta(seconds=1), timedelta(minutes=4), timedelta(hours=7), timedelta(days=1), timedelta(days=3),
    timedelta(days=8), timedelta(days=29), timedelta(days=30), timedelta(days=34), timedelta(days=400),
]  # fmt: skip

INVITED = Rule(inviter_tokens=100, friend_tokens=30, window=timedelta(hours=72), month_max=2)

T = TypeVar("T")


class Crashed(Exception):
    """The process died where it was about to commit."""


class CrashingDatabase(Database):
    """Loses the next transaction just before its commit, where that was asked for."""

    armed = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with super().transaction() as tx:
            yield tx
            if self.armed:
                self.armed = False
                raise Crashed


class Persistent:
    """The verbs of Books; one that crashes is done again, as what was not acknowledged is."""

    def __init__(self, books: Ledger) -> None:
        self.books = books

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.books, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **more: self.again(lambda: found(*args, **more))

    async def again(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except Crashed:
            return await work()


class Audit(RuleBasedStateMachine):
    """Does everything twice and compares, after each step, all that can be seen of two persons' books."""

    loop: asyncio.AbstractEventLoop
    db: CrashingDatabase
    turns = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.db.armed = False
        self.books = Ledger(self.db, START)
        self.ledger = Persistent(self.books)
        self.persons = [self.run(self.ledger.person())]
        self.books.now += timedelta(seconds=1)
        self.persons.append(self.run(self.ledger.person()))
        self.model = Books(PRODUCTS, self.persons)
        self.orders: list[Order] = []
        self.links: dict[str, list[Charge]] = {}  # what Telegram charged by each invoice, reported or not
        self.reported: list[Charge] = []
        self.number = 0
        for person in self.persons:
            self.look(person)
        self.accounts = self.run(self._accounts())

    def run(self, work):
        return self.loop.run_until_complete(work)

    @property
    def now(self):
        return self.books.now

    async def _accounts(self) -> list[int]:
        async with self.db.read() as connection:
            query = sa.text("SELECT id FROM accounts WHERE person_id = ANY(:persons)")
            return list((await connection.execute(query, {"persons": self.persons})).scalars())

    def look(self, person: int) -> None:
        self.run(self.ledger.balance(person))
        self.model.look(person, self.now)

    # -- time

    @rule(leap=st.sampled_from(LEAPS))
    def wait(self, leap) -> None:
        self.books.now += leap

    @rule()
    def crash(self) -> None:
        """The next transaction gets to its commit, and no further."""
        self.db.armed = True

    @rule()
    def sweep(self) -> None:
        """What the schedule does, whatever it finds."""
        self.run(self.ledger.again(self._sweep))
        self.model.sweep(self.now)

    async def _sweep(self) -> None:
        await self.books.expire()
        await self.books.begin_months()
        async with self.db.read() as connection:
            waiting = await house_access.due(connection, limit=100_000)
        for grant, person in waiting:
            async with self.db.transaction() as tx:
                await ledger.lock_wallet(tx, person_id=person, now=self.now)
                await house_access.begin_if_free(tx, grant, now=self.now)
        for sweep in (gifts.expire_due, orders.expire_due, discounts.release_due, lots.expire_due):
            async with self.db.transaction() as tx:
                await sweep(tx, now=self.now, limit=100_000)
        async with self.db.read() as connection:
            earned = await referrals.due(connection, INVITED, now=self.now, limit=100_000)
        for one in earned:
            async with self.db.transaction() as tx:
                await referrals.reward(tx, one.friend_id, one.inviter_id, INVITED, now=self.now)

    # -- tokens that nobody pays for

    @rule(who=st.integers(0, 1))
    def open_the_balance(self, who) -> None:
        self.look(self.persons[who])

    @rule(who=st.integers(0, 1), tokens=st.integers(1, 900), days=st.sampled_from([0, 1, 40]), same=st.booleans())
    def grant(self, who, tokens, days, same) -> None:
        person = self.persons[who]
        wallet = self.model.wallets[person]
        reference = "again" if same else f"g{len(wallet.references)}"
        expires = self.now + timedelta(days=days) if days else None

        async def given() -> bool:
            async with self.db.transaction() as tx:
                lot = await lots.grant(
                    tx, person_id=person, tokens=tokens, kind="gift", ref_type="test",
                    ref_id=f"{person}:{reference}", expires_at=expires, now=self.now,
                )  # fmt: skip
                return not lot.repeated

        if reference in wallet.references:
            try:
                assert not self.run(self.ledger.again(given))
            except Conflict:
                return
        else:
            assert self.run(self.ledger.again(given))
            wallet.references.add(reference)
            wallet.add("gift", tokens, expires)

    # -- answers

    @rule(who=st.integers(0, 1), least=st.integers(1, 400), more=st.integers(0, 4_000))
    def accept(self, who, least, more) -> None:
        person = self.persons[who]
        Audit.turns += 1
        turn = Audit.turns

        async def placed() -> int | None:
            try:
                async with self.db.transaction() as tx:
                    await allowance.ensure(tx, person_id=person, now=self.now)
                return (await self.books.place(person, turn, least, least + more)).tokens
            except InsufficientTokens:
                return None

        self.model.allow(person, self.now)
        # A refusal rolls back, with the expiry that came before it.
        held = self.model.copy().wallets[person].place(turn, least, least + more, self.now)
        if held is not None:
            self.model.wallets[person].place(turn, least, least + more, self.now)
        assert self.run(self.ledger.again(placed)) == held

    def _turn(self, data, *, resolved: bool = False) -> tuple[int, int] | None:
        known = [
            (person, turn)
            for person, wallet in self.model.wallets.items()
            for turn in (wallet.resolved if resolved else wallet.holds)
        ]
        return data.draw(st.sampled_from(known)) if known else None

    @rule(data=st.data(), used=st.integers(0, 6_000), courtesy=st.sampled_from([0, 50, 2_000]))
    def settle(self, data, used, courtesy) -> None:
        if found := self._turn(data):
            person, turn = found
            settled = self.run(self.ledger.settle(turn, used, courtesy))
            assert settled is not None
            expected = self.model.wallets[person].settle(turn, used, courtesy, self.now)
            assert (settled.charged, settled.courtesy) == expected
            assert settled.unpaid == used - sum(expected)
            wallet = self.model.wallets[person]
            assert (settled.posted_after, settled.reserved_after) == (wallet.posted, wallet.reserved)

    @rule(data=st.data())
    def release(self, data) -> None:
        if found := self._turn(data):
            person, turn = found
            assert self.run(self.ledger.release(turn))
            self.model.wallets[person].release(turn, self.now)

    @rule(data=st.data(), used=st.integers(0, 500))
    def resolve_again(self, data, used) -> None:
        if found := self._turn(data, resolved=True):
            person, turn = found
            assert self.run(self.ledger.settle(turn, used, 50)) is None
            assert not self.run(self.ledger.release(turn))
            again = self.run(self.ledger.place(person, turn, 1, 10))
            assert again.status == self.model.wallets[person].resolved[turn]

    # -- what must be true after every step

    @invariant()
    def the_books_balance_and_are_the_models(self) -> None:
        Audit.steps += 1
        self.run(self._compare())

    async def _compare(self) -> None:
        async with self.db.read() as connection:
            assert await invariants.check(connection, self.accounts) == []
            for person in self.persons:
                self._same(await balance.current(connection, person_id=person, now=self.now), self.model, person)
        seen = self.model.copy()
        async with self.db.engine.connect() as connection:
            for person in self.persons:
                seen.look(person, self.now)
                self._same(await balance.of(connection, person_id=person, now=self.now), seen, person)
            await connection.rollback()

    def _same(self, found: balance.Balance, model: Books, person: int) -> None:
        wallet = model.wallets[person]
        assert (found.posted, found.reserved) == (wallet.posted, wallet.reserved)
        assert [(lot.kind, lot.granted, lot.remaining, lot.expires_at) for lot in found.lots] == [
            (lot.kind, lot.granted, lot.remaining, lot.expires) for lot in wallet.live()
        ]
        assert found.entitlement.plan_id == model.plan(person, self.now).id
        assert found.owed == wallet.owed
        living = [(one.payload, one.status, one.until, one.first_charge or "") for one in model.of(person) if one.alive]
        assert sorted(living) == sorted(
            (one.payload or "", one.status, one.until, one.first_charge_id or "") for one in found.subscriptions
        )
