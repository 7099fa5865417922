"""Debts: what was spent of a purchase that was charged back, repaid from paid credits alone, in writing throughout."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from billing import lots
from kit.db import Database
from tests.support.books import Books

_turns = itertools.count(900_001)


@pytest.fixture(scope="module")
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open()
    return made


@pytest.fixture(autouse=True)
async def sound(books: Books) -> AsyncIterator[None]:
    yield
    assert await books.violations() == []


async def spend(books: Books, person: int, tokens: int) -> None:
    turn = next(_turns)
    await books.place(person, turn, tokens, tokens)
    await books.settle(turn, tokens)


async def posted(books: Books, person: int) -> int:
    return int(await books.scalar("SELECT posted FROM accounts WHERE person_id = :id AND kind = 'wallet'", id=person))


async def debtor(books: Books, *, spent: int = 1_200) -> tuple[int, int]:
    """A person whose pack of 3,000 tokens was charged back after so many were spent; (person, payment)."""
    person = await books.person()
    credit = await books.buy(person, "pack")
    await spend(books, person, spent)
    await books.charge_back(credit.payment_id)
    return person, credit.payment_id


async def test_what_is_left_goes_and_what_was_spent_is_owed(books: Books) -> None:
    person, payment = await debtor(books)
    assert (await posted(books, person), await books.owed(person)) == (0, 1_200)
    assert await books.scalar("SELECT status FROM payments WHERE id = :id", id=payment) == "charged_back"
    assert await books.charge_back(payment) is None
    assert await books.owed(person) == 1_200


async def test_a_chargeback_of_a_plan_revokes_it(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "lite")
    booked = await books.charge_back(credit.payment_id)
    assert booked is not None
    assert booked.change is not None
    assert (booked.change.before, booked.change.after) == ("active", "revoked")
    assert await books.owed(person) == 0


async def test_what_an_answer_under_way_spends_is_owed_as_well(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "pack")
    turn = next(_turns)
    await books.place(person, turn, 1_000, 1_000)
    await books.charge_back(credit.payment_id)
    assert (await posted(books, person), await books.owed(person)) == (1_000, 0)
    await books.settle(turn, 700)
    assert (await posted(books, person), await books.owed(person)) == (0, 700)


async def test_paid_credits_repay_and_nothing_else_does(books: Books) -> None:
    person, _ = await debtor(books, spent=2_900)
    before = (await books.balance(person)).available  # today's free tokens and the welcome
    async with books.db.transaction() as tx:
        await lots.grant(
            tx,
            person_id=person,
            tokens=5_000,
            kind="gift",
            ref_type="test",
            ref_id=str(person),
            expires_at=None,
            now=books.now,
        )
    assert (await books.owed(person), await posted(books, person)) == (2_900, before + 5_000)
    await books.buy(person, "pack")
    assert (await books.owed(person), await posted(books, person)) == (0, before + 5_100)
    await books.buy(person, "pack")
    assert await posted(books, person) == before + 8_100


async def test_a_debt_larger_than_a_purchase_is_repaid_by_several(books: Books) -> None:
    person = await books.person()
    big = await books.buy(person, "top")
    small = await books.buy(person, "pack")
    await spend(books, person, 11_000)
    await books.charge_back(big.payment_id)
    await books.charge_back(small.payment_id)
    owed = await books.owed(person)
    assert owed == 11_000
    for _ in range(4):
        await books.buy(person, "pack")
        owed = max(owed - 3_000, 0)
        assert await books.owed(person) == owed
    assert await posted(books, person) == 1_000


@pytest.mark.parametrize("how", ["refund", "charge_back"])
async def test_money_that_is_taken_back_has_repaid_nothing(books: Books, how: str) -> None:
    person, _ = await debtor(books)
    again = await books.buy(person, "pack")
    await spend(books, person, 500)
    assert (await books.owed(person), await posted(books, person)) == (0, 1_300)
    if how == "refund":
        await books.refund(again.payment_id)
    else:
        await books.charge_back(again.payment_id)
    assert await posted(books, person) == 0
    assert await books.owed(person) == (1_200 if how == "refund" else 1_700)


async def test_a_refund_that_is_refused_leaves_the_debt_repaid(books: Books) -> None:
    person, _ = await debtor(books)
    again = await books.buy(person, "pack")
    for _ in range(2):
        refund = await books.request(again.payment_id)
        assert await books.owed(person) == 1_200
        await books.refuse(refund.id)
        assert (await books.owed(person), await posted(books, person)) == (0, 1_800)
    await books.refund(again.payment_id)
    assert (await books.owed(person), await posted(books, person)) == (1_200, 0)


async def test_a_refund_under_way_that_is_charged_back_forgives(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "pack")
    await spend(books, person, 1_000)
    await books.request(credit.payment_id)
    await books.charge_back(credit.payment_id)
    assert await books.owed(person) == 0
    assert await books.scalar("SELECT status FROM payments WHERE id = :id", id=credit.payment_id) == "refunded"


async def test_many_at_once_owe_and_repay_once(books: Books) -> None:
    person = await books.person()
    bought = [await books.buy(person, "pack") for _ in range(3)]
    await spend(books, person, 9_000)
    order = await books.order(person, "pack")
    back = [books.charge_back(credit.payment_id) for credit in bought for _ in range(3)]
    await asyncio.gather(*back, books.pay(order), books.pay(order, charge=f"second-{person}"))
    await books.buy(person, "pack")
    # 9,000 were owed and 9,000 bought anew: what of it came before the debt is left, and so is as much of the debt.
    owed = await books.owed(person)
    assert owed in {0, 3_000, 6_000}
    assert await posted(books, person) == owed
