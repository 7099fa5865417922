"""Everything at once on the same wallets, over twenty connections: nothing is lost, doubled, or locked for ever."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from billing import lots, orders, star_reminders, subscriptions
from billing.refunds import NotRefundable
from kit.db import Database
from kit.errors import InsufficientTokens, Rejected
from tests.support.books import DAY, MONTH, Books

CONNECTIONS = 20
Act = Callable[[], Awaitable[object]]


@pytest.fixture(scope="module")
async def books(database_url: str) -> AsyncIterator[Books]:
    db = Database(database_url, pool_size=CONNECTIONS)
    made = Books(db)
    await made.open()
    yield made
    await db.close()


@pytest.fixture(autouse=True)
async def sound(books: Books) -> AsyncIterator[None]:
    yield
    assert await books.violations() == []


async def storm(acts: list[Act], seed: int) -> Counter[str]:
    """Run acts in a random order, CONNECTIONS at a time; counts what was refused. Anything else is raised."""
    refused: Counter[str] = Counter()
    random.Random(seed).shuffle(acts)
    waiting = iter(acts)

    async def one_after_the_other() -> None:
        for act in waiting:
            try:
                await act()
            except Rejected as rejected:
                refused[type(rejected).__name__] += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(CONNECTIONS)))
    return refused


async def granted(books: Books, person: int, number: int) -> None:
    async with books.db.transaction() as tx:
        await lots.grant(
            tx, person_id=person, tokens=100, kind="gift", ref_type="storm", ref_id=f"{person}:{number}",
            expires_at=books.now + timedelta(hours=number % 5), now=books.now,
        )  # fmt: skip


async def swept(books: Books) -> None:
    async with books.db.transaction() as tx:
        await subscriptions.expire_due(tx, now=books.now, limit=100)
    async with books.db.transaction() as tx:
        await orders.expire_due(tx, now=books.now, limit=100)
    async with books.db.transaction() as tx:
        await lots.expire_due(tx, now=books.now, limit=100)


@pytest.mark.parametrize("seed", range(3))
async def test_one_wallet_under_everything_at_once(books: Books, seed: int) -> None:
    person = await books.person()
    payments = [(await books.buy(person, "pack")).payment_id for _ in range(6)]
    order = await books.order(person, "pack")

    async def answered(turn: int) -> None:
        await books.place(person, turn, 1, 700)
        with contextlib.suppress(InsufficientTokens):
            await books.place(person, turn, 1, 700)  # a retry of the same
        if turn % 3:
            await books.settle(turn, (turn * 37) % 1_200, courtesy_max=100)
        await books.release(turn)

    async def refunded(payment: int) -> None:
        with contextlib.suppress(NotRefundable):
            await books.confirm((await books.request(payment)).id)

    first = person * 1_000
    acts: list[Act] = [lambda turn=turn: answered(turn) for turn in range(first, first + 60)]
    acts += [lambda number=number: granted(books, person, number % 20) for number in range(40)]
    acts += [lambda number=number: books.pay(order, charge=f"{person}-{number % 5}") for number in range(20)]
    acts += [lambda payment=payment: refunded(payment) for payment in payments * 3]
    acts += [lambda: books.balance(person) for _ in range(20)]
    acts += [lambda: swept(books) for _ in range(10)]
    refused = await storm(acts, seed)
    assert set(refused) <= {"InsufficientTokens"}
    assert await books.scalar("SELECT count(*) FROM lots l JOIN accounts a ON a.id = l.account_id"
                              " WHERE a.person_id = :id AND l.kind = 'gift'", id=person) == 20  # fmt: skip
    paid = "SELECT count(*) FROM payments WHERE payer_id = :id AND provider_payment_id LIKE :charge"
    assert await books.scalar(paid, id=person, charge=f"{person}-%") == 5
    assert await books.scalar("SELECT sum(r.amount) FROM refunds r JOIN payments p ON p.id = r.payment_id"
                              " WHERE p.payer_id = :id AND r.status = 'succeeded'", id=person) == 6 * 150  # fmt: skip
    assert (await books.balance(person)).reserved == 0


@pytest.mark.parametrize("seed", range(3))
async def test_subscriptions_renew_fail_and_end_while_everybody_writes(books: Books, seed: int) -> None:
    books.now += 400 * DAY
    persons = [await books.person() for _ in range(8)]
    bought = {person: await books.order(person, "lite") for person in persons}
    firsts = {person: (await books.pay(order)).payment_id for person, order in bought.items()}
    books.now += MONTH + timedelta(hours=1)

    async def ended_grace(person: int) -> None:
        async with books.db.transaction() as tx:
            await subscriptions.end_grace(tx, person_id=person, now=books.now)

    async def told() -> None:
        async with books.db.transaction() as tx:
            await star_reminders.take_grace(tx, now=books.now, after=timedelta(0), limit=50)

    acts: list[Act] = [lambda: swept(books) for _ in range(20)]
    acts += [lambda: told() for _ in range(10)]
    for person, order in bought.items():
        acts += [
            lambda order=order: books.pay(order, charge=f"renewal-{order.id}", first=False),
            lambda order=order: books.pay(order, charge=f"renewal-{order.id}", first=False),
            lambda order=order, person=person: books.say(order.payload, person, "failed"),
            lambda order=order, person=person: books.say(order.payload, person, "canceled"),
            lambda order=order, person=person: books.say(order.payload, person, "active"),
            lambda person=person: ended_grace(person),
            lambda person=person: books.order(person, "top"),
            lambda person=person: books.balance(person),
        ]
    for person in persons[:3]:
        acts.append(lambda person=person: books.refund(firsts[person]))
    refused = await storm(acts, seed)
    assert set(refused) <= {"SecondSubscription"}
    for number, person in enumerate(persons):
        plans = [lot.granted for lot in (await books.balance(person)).lots if lot.kind == "plan"]
        # A renewal of what was refunded before it is sent back.
        assert plans == [5_000] or (number < 3 and plans == [])


async def test_a_wallet_that_is_locked_for_long_is_given_up_and_loses_nothing(books: Books) -> None:
    person = await books.person()
    await books.balance(person)
    async with books.db.transaction() as tx:
        await lots.grant(
            tx, person_id=person, tokens=5, kind="gift", ref_type="lock", ref_id=str(person), expires_at=None,
            now=books.now,
        )  # fmt: skip
        async with books.db.engine.connect() as other:
            await other.exec_driver_sql("SET lock_timeout = '50ms'")
            with pytest.raises(DBAPIError, match="lock timeout"):
                await other.exec_driver_sql(f"SELECT hold_place({person}, {person}, 0, 1, 5, now())")
            await other.rollback()
    assert (await books.place(person, person, 1, 5)).tokens == 5
    await books.release(person)
