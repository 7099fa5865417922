"""The ledger in PostgreSQL against a plain Python bookkeeper, through purchases, answers, refunds and leaps of time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing import allowance, balance, invariants, lots, orders, payments, stars, subscriptions
from billing.crediting import Credit
from kit.db import Database
from kit.errors import Conflict, InsufficientTokens
from tests.support import figures
from tests.support.books import MONTH, START
from tests.support.books import Books as Ledger
from tests.support.books_model import Books, Charge, Order, Product

# A failure is shrunk, but not explained: tracing every line of the driver takes longer than the test may.
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
PRODUCTS = [
    Product("free", "free", daily=500, welcome=1_000, welcome_days=7, weight=1),
    Product("lite", "subscription", stars=300, tokens=5_000, weight=2),
    Product("top", "subscription", stars=900, tokens=9_000, roll_over=True, daily=200, weight=4),
    Product("pack", "pack", stars=150, tokens=3_000, tokens_days=20),
]
LEAPS = [
    timedelta(seconds=1), timedelta(minutes=4), timedelta(hours=7), timedelta(days=1), timedelta(days=3),
    timedelta(days=8), timedelta(days=29), timedelta(days=30), timedelta(days=34), timedelta(days=400),
]  # fmt: skip
OUTCOMES = {"credited", "repeated"}


class LedgerMachine(RuleBasedStateMachine):
    """Does everything twice and compares, after each step, all that can be seen of two persons' books."""

    loop: asyncio.AbstractEventLoop
    db: Database
    turns = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(self.db, START)
        self.persons = [self.run(self.ledger.person()) for _ in range(2)]
        self.model = Books(PRODUCTS, self.persons)
        self.orders: list[Order] = []
        self.links: dict[str, list[Charge]] = {}  # what Telegram charged by each invoice, reported or not
        self.reported: list[Charge] = []
        self.number = 0
        self.accounts: list[int] = []

    def run(self, work):
        return self.loop.run_until_complete(work)

    @property
    def now(self):
        return self.ledger.now

    @initialize(what=st.lists(st.sampled_from(["lite", "top", "pack"]), min_size=2, max_size=2))
    def begin(self, what) -> None:
        for person, product in zip(self.persons, what, strict=True):
            self.look(person)
            self.buy(self.persons.index(person), product)
        self.accounts = self.run(self._accounts())

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
        self.ledger.now += leap

    @rule()
    def sweep(self) -> None:
        async def everything() -> None:
            await self.ledger.expire()
            async with self.db.transaction() as tx:
                await orders.expire_due(tx, now=self.now, limit=100_000)
            async with self.db.transaction() as tx:
                await lots.expire_due(tx, now=self.now, limit=100_000)

        self.run(everything())
        self.model.sweep(self.now)

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
                assert not self.run(given())
            except Conflict:
                return
        else:
            assert self.run(given())
            wallet.references.add(reference)
            wallet.add("gift", tokens, expires)

    # -- answers

    @rule(who=st.integers(0, 1), least=st.integers(1, 400), more=st.integers(0, 4_000))
    def accept(self, who, least, more) -> None:
        person = self.persons[who]
        LedgerMachine.turns += 1
        turn = LedgerMachine.turns

        async def placed() -> int | None:
            try:
                async with self.db.transaction() as tx:
                    await allowance.ensure(tx, person_id=person, now=self.now)
                return (await self.ledger.place(person, turn, least, least + more)).tokens
            except InsufficientTokens:
                return None

        self.model.allow(person, self.now)
        # A refusal rolls back, with the expiry that came before it.
        held = self.model.copy().wallets[person].place(turn, least, least + more, self.now)
        if held is not None:
            self.model.wallets[person].place(turn, least, least + more, self.now)
        assert self.run(placed()) == held

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

    # -- purchases

    def order(self, person: int, product: str) -> Order | None:
        refused = self.model.products[product].kind == "subscription" and self.model.renewing(person)
        try:
            made = self.run(self.ledger.order(person, product))
        except orders.SecondSubscription:
            assert refused
            return None
        assert not refused
        if made.payload not in self.model.orders:
            for other in self.orders:
                if (other.person, other.product.id, other.status) == (person, product, "open"):
                    other.status = "canceled"
            self.model.orders[made.payload] = Order(person, self.model.products[product], made.payload, made.expires_at)
            self.orders.append(self.model.orders[made.payload])
            self.links[made.payload] = []
        self.model.orders[made.payload].expires = made.expires_at
        return self.model.orders[made.payload]

    @rule(who=st.integers(0, 1), product=st.sampled_from(["lite", "top", "pack"]))
    def buy(self, who, product) -> None:
        if order := self.order(self.persons[who], product):
            self._report(self._charge(order, first=True))

    @rule(who=st.integers(0, 1), product=st.sampled_from(["lite", "top", "pack"]))
    def order_only(self, who, product) -> None:
        self.order(self.persons[who], product)

    def _charge(self, order: Order, *, first: bool, wrong: str = "") -> Charge:
        """Telegram takes the Stars. A renewal runs on from what was charged before."""
        recurring = (order.product.kind == "subscription") != (wrong == "kind")
        earlier = [one.expires for one in self.links[order.payload] if one.expires and not first]
        self.number += 1
        charge = Charge(
            id=f"c{self.persons[0]}-{self.number}",
            payload="forma:nobody" if wrong == "payload" else order.payload,
            payer=next(one for one in self.persons if one != order.person) if wrong == "payer" else order.person,
            amount=order.product.stars + (7 if wrong == "amount" else 0),
            recurring=recurring,
            first=recurring and first,
            expires=max([self.now, *earlier]) + MONTH if recurring else None,
        )
        self.links[order.payload].append(charge)
        return charge

    @precondition(lambda self: self.orders)
    @rule(
        data=st.data(),
        wrong=st.sampled_from(["", "", "payer", "amount", "kind", "payload"]),
        first=st.booleans(),
        told=st.booleans(),
    )
    def charge(self, data, wrong, first, told) -> None:
        """Any invoice is paid (again); the report comes at once or whenever it comes."""
        charge = self._charge(data.draw(st.sampled_from(self.orders)), first=first, wrong=wrong)
        if told:
            self._report(charge)

    @property
    def bound(self) -> list[Order]:
        """The orders of subscriptions."""
        return [order for order in self.orders if order.product.kind == "subscription"]

    @precondition(lambda self: self.bound)
    @rule(
        data=st.data(),
        late=st.sampled_from([-1, 0, 1, 100, 3 * 1440 - 1, 3 * 1440 + 1, 9 * 1440]),
        swept=st.booleans(),
        told=st.sampled_from([True, True, False]),
    )
    def renew(self, data, late, swept, told) -> None:
        """A subscription lives to about its end (`late` minutes); then Telegram charges again."""
        order = data.draw(st.sampled_from(self.bound))
        until = max((s.until for s in self.model.subscriptions if s.payload == order.payload), default=None)
        if until:
            self.ledger.now = max(self.now, until + timedelta(minutes=late))
        if swept:
            self.sweep()
        charge = self._charge(order, first=False)
        if told:
            self._report(charge)

    @property
    def charged(self) -> list[Charge]:
        return [one for charges in self.links.values() for one in charges]

    async def _record(self, charge: Charge) -> Credit:
        async with self.db.transaction() as tx:
            return await stars.record(
                tx, charge_id=charge.id, payload=charge.payload, person_id=charge.payer, amount=charge.amount,
                is_recurring=charge.recurring, is_first_recurring=charge.first, expires_at=charge.expires, now=self.now,
            )  # fmt: skip

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def report(self, data) -> None:
        """In any order, and as often as it pleases."""
        self._report(data.draw(st.sampled_from(self.charged)))

    def _report(self, charge: Charge) -> None:
        credit = self.run(self._record(charge))
        outcome = credit.outcome if credit.outcome in OUTCOMES else credit.reason
        assert outcome == self.model.pay(charge, self.now)
        self.reported.append(charge)

    @precondition(lambda self: self.reported)
    @rule(data=st.data(), what=st.sampled_from(["amount", "payer"]))
    def report_with_other_terms(self, data, what) -> None:
        charge = data.draw(st.sampled_from(self.reported))
        other = {"amount": charge.amount + 1, "payer": charge.payer + 1}[what]
        try:
            self.run(self._record(replace(charge, **{what: other})))
        except Conflict:
            return
        raise AssertionError("another payment under the same charge id was taken")

    # -- subscriptions

    @precondition(lambda self: self.bound)
    @rule(data=st.data(), mine=st.integers(0, 3), state=st.sampled_from(["canceled", "active", "failed"]))
    def follow(self, data, mine, state) -> None:
        order = data.draw(st.sampled_from(self.bound))
        person = order.person if mine else next(one for one in self.persons if one != order.person)
        self.run(self.ledger.say(order.payload, person, state))
        self.model.say(order.payload, person, state)

    @rule(who=st.integers(0, 1))
    def to_free(self, who) -> None:
        async def ended() -> None:
            async with self.db.transaction() as tx:
                await subscriptions.end_grace(tx, person_id=self.persons[who], now=self.now)

        self.run(ended())
        for one in self.model.of(self.persons[who]):
            one.end_grace(self.now)

    # -- refunds

    async def _payment(self, charge: str) -> int:
        async with self.db.read() as connection:
            payment = await payments.by_charge(connection, charge_id=charge)
            assert payment is not None
            return payment.id

    @precondition(lambda self: self.reported)
    @rule(data=st.data())
    def ask_refund(self, data) -> None:
        charge = data.draw(st.sampled_from(self.reported))
        if self.model.payments[charge.id].status == "succeeded":
            refund = self.run(self.ledger.request(self.run(self._payment(charge.id))))
            self.model.refund(charge.id, self.now)
            kept = self.model.open_refund(charge.id)
            assert kept
            assert (refund.tokens, refund.tokens_taken, refund.tokens_forgiven) == (
                kept.bought, kept.taken, kept.forgiven,
            )  # fmt: skip

    @precondition(lambda self: any(refund.status == "intent" for refund in self.model.refunds))
    @rule(data=st.data(), granted=st.booleans())
    def answer_refund(self, data, granted) -> None:
        waiting = [refund.charge for refund in self.model.refunds if refund.status == "intent"]
        charge = data.draw(st.sampled_from(waiting))
        refund = self.run(self.ledger.request(self.run(self._payment(charge))))
        if granted:
            self.run(self.ledger.confirm(refund.id))
            self.model.confirm(charge, self.now)
        else:
            self.run(self.ledger.refuse(refund.id))
            self.model.refuse(charge, self.now)

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def telegram_refunds(self, data) -> None:
        """Without being asked, and perhaps told before the payment is."""
        charge = data.draw(st.sampled_from(self.charged))
        self.run(self.ledger.report_refund(charge.id, charge.payload, charge.payer, charge.amount))
        self.model.report_refund(charge, self.now)
        self.reported.append(charge)

    # -- what must be true after every step

    @invariant()
    def the_books_balance_and_are_the_models(self) -> None:
        LedgerMachine.steps += 1
        if self.accounts:
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
        living = [(one.payload, one.status, one.until, one.first_charge) for one in model.of(person) if one.alive]
        assert sorted((s.payload, s.status, s.until, s.first_charge_id) for s in found.subscriptions) == sorted(living)


@pytest.mark.timeout(600)  # a failure is shrunk before it is shown
def test_the_ledger_does_what_the_plain_bookkeeper_does(database_url) -> None:
    audit(database_url, histories=40, steps_max=40)


@pytest.mark.money
@pytest.mark.timeout(4 * 3_600)
def test_the_ledger_does_what_the_plain_bookkeeper_does_through_long_histories(database_url) -> None:
    audit(database_url, histories=500, steps_max=120)
    figures.add(steps=LedgerMachine.steps)


def audit(database_url: str, *, histories: int, steps_max: int) -> None:
    """Live through so many histories of at most so many steps, comparing after each step."""
    with asyncio.Runner() as runner:
        LedgerMachine.loop = runner.get_loop()
        LedgerMachine.db = Database(database_url, pool_size=2)
        try:
            runner.run(Ledger(LedgerMachine.db).open())
            run_state_machine_as_test(
                LedgerMachine,
                settings=settings(
                    max_examples=histories,
                    stateful_step_count=steps_max,
                    deadline=None,
                    database=None,
                    phases=PHASES,
                    print_blob=True,
                ),
            )
            assert runner.run(Ledger(LedgerMachine.db).violations()) == []
        finally:
            runner.run(LedgerMachine.db.close())
