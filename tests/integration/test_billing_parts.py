"""Parts of a payment that go back: what share of the tokens goes with each, in every order, and never too much."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest
from sqlalchemy.exc import DBAPIError

from app import refunding
from billing import (
    ledger,
    orders,
    quarantine,
    receipts,
    refunds,
    rouble_following,
    rouble_payments,
    rouble_receipts,
    rouble_refunds,
)
from billing.refund_parts import MoreThanLeft, WholeOnly
from billing.refunds import NotRefundable, Refund
from billing.yookassa import objects, requests
from kit.db import Database
from kit.errors import Conflict, InsufficientTokens
from tests.support.books import DAY, PLANS, Books

SOLD = f"""
{PLANS}
[box]
kind = "pack"
title = {{ ru = "Коробка", en = "Box" }}
roubles = 200
tokens = 3_000
tokens_days = 20
[half]
kind = "once"
title = {{ ru = "Полгода", en = "Half a year" }}
of = "top"
months = 6
roubles = 6_000
"""


@pytest.fixture(scope="module")
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open(SOLD)
    return made


@pytest.fixture(autouse=True)
async def sound(books: Books) -> AsyncIterator[None]:
    yield
    assert await books.violations() == []


async def buy(
    books: Books, person: int, product: str, *, kopecks: int = 0, request: str = "{}", twice: bool = False
) -> int:
    """Pay an order in roubles; the (last) payment's number. `kopecks`: as much, whatever the price is."""
    order = await books.order(person, product, currency="RUB")
    async with books.db.transaction() as tx:
        await ledger.lock_wallet(tx, person_id=person, now=books.now)
        found = await orders.by_payload(tx, order.payload)
        assert found is not None
        begun = await rouble_payments.begin(tx, found, build=lambda _: request, now=books.now)
        paid = {
            "status": "succeeded",
            "paid": True,
            "amount": objects.rendered(kopecks or order.amount),
            "created_at": "2026-11-24T10:30:00.000Z",
            "recipient": {"account_id": "1", "gateway_id": "1"},
            "metadata": {rouble_payments.PAYMENT_KEY: str(begun.id), rouble_payments.ORDER_KEY: order.payload},
            "refundable": True,
            "test": True,
        }
        for charge in (f"{begun.id:036}", f"{begun.id:035}x")[: 1 + twice]:
            theirs = objects.payment(paid | {"id": charge})
            heard = await rouble_following.follow(tx, theirs, shop_id="1", now=books.now)
            assert heard is not None
            await rouble_receipts.note_payment(tx, heard.payment_id, theirs, now=books.now)
    return heard.payment_id


async def boxed(books: Books) -> tuple[int, int]:
    """A person who has nothing but a pack of 3,000 tokens for 200 roubles; (person, payment)."""
    person = await books.person()
    return person, await buy(books, person, "box")


async def ask(books: Books, payment: int, kopecks: int | None) -> Refund:
    async with books.db.transaction() as tx:
        return await refunding.refund_any(
            tx, payment_id=payment, actor_id=1, reason="test", now=books.now, amount=kopecks
        )


async def part(books: Books, payment: int, kopecks: int | None) -> Refund:
    """The whole way of a refund that goes well."""
    await books.confirm((await ask(books, payment, kopecks)).id)
    return await latest(books, payment)


async def latest(books: Books, payment: int) -> Refund:
    number = await books.scalar("SELECT max(id) FROM refunds WHERE payment_id = :id", id=payment)
    async with books.db.read() as connection:
        found = await refunds.find(connection, number)
    assert found is not None
    return found


async def told(books: Books, payment: int, refund_id: str, kopecks: int) -> rouble_refunds.Followed | None:
    """YooKassa's word on a refund that somebody made in its cabinet."""
    found = {
        "id": refund_id,
        "payment_id": f"{payment:036}",
        "status": "succeeded",
        "amount": objects.rendered(kopecks),
        "created_at": "2026-11-24T10:30:00.000Z",
    }
    async with books.db.transaction() as tx:
        return await rouble_refunds.follow(tx, objects.refund(found), now=books.now)


async def left(books: Books, payment: int) -> int:
    return int(await books.scalar("SELECT sum(remaining) FROM lots WHERE payment_id = :id", id=payment))


async def status(books: Books, payment: int) -> str:
    return str(await books.scalar("SELECT status FROM payments WHERE id = :id", id=payment))


async def test_a_part_takes_its_share_of_what_is_left_and_forgives_that_of_what_was_spent(books: Books) -> None:
    person, payment = await boxed(books)
    await books.place(person, person, 1, 1_001)
    await books.settle(person, 1_001)
    first = await part(books, payment, 5_000)
    assert (first.tokens_taken, first.tokens_forgiven, first.tokens_held) == (499, 250, 0)
    assert (await left(books, payment), await status(books, payment)) == (1_500, "partially_refunded")
    second = await part(books, payment, 7_500)  # half of what had not gone back
    assert (second.tokens_taken, second.tokens_forgiven) == (750, 375)
    rest = await part(books, payment, None)
    assert (rest.amount, rest.tokens_taken, rest.tokens_forgiven) == (7_500, 750, 376)
    assert (await left(books, payment), await status(books, payment)) == (0, "refunded")
    taken = "SELECT sum(tokens_taken) || ' ' || sum(tokens) || ' ' || sum(amount) FROM refunds WHERE payment_id = :id"
    assert await books.scalar(taken, id=payment) == "1999 3000 20000"


async def test_what_an_answer_holds_is_not_taken_by_a_part_and_goes_with_the_rest(books: Books) -> None:
    person, payment = await boxed(books)
    await books.place(person, person, 1, 2_900)
    half = await part(books, payment, 10_000)
    assert (half.tokens_taken, half.tokens_forgiven, half.tokens_held) == (100, 0, 0)
    await books.release(person)
    assert await left(books, payment) == 2_900
    rest = await part(books, payment, None)
    assert (rest.tokens_taken, rest.tokens_forgiven) == (2_900, 0)


async def test_a_part_that_is_refused_gives_back_what_it_took(books: Books) -> None:
    person, payment = await boxed(books)
    refund = await ask(books, payment, 5_000)
    assert (refund.tokens_taken, await left(books, payment)) == (750, 2_250)
    await books.refuse(refund.id)
    await books.refuse(refund.id)
    lots = [lot for lot in (await books.balance(person)).lots if lot.kind in {"pack", "restored"}]
    assert sorted((lot.kind, lot.remaining) for lot in lots) == [("pack", 2_250), ("restored", 750)]
    assert {lot.expires_at for lot in lots} == {books.now + 20 * DAY}
    assert await status(books, payment) == "succeeded"
    again = await part(books, payment, 10_000)
    assert (again.tokens_taken, await left(books, payment)) == (1_500, 1_500)


async def test_no_more_goes_back_than_was_paid_and_stars_go_back_whole(books: Books) -> None:
    person, payment = await boxed(books)
    for kopecks in (20_001, 0, -5, 10**17):
        with pytest.raises(MoreThanLeft):
            await ask(books, payment, kopecks)
    await part(books, payment, 15_000)
    with pytest.raises(MoreThanLeft) as error:
        await ask(books, payment, 5_001)
    assert error.value.left == 5_000
    stars = await books.buy(person, "pack")
    with pytest.raises(WholeOnly):
        await ask(books, stars.payment_id, 50)
    # Whoever writes past all of this is refused by the database.
    with pytest.raises(DBAPIError) as refused:
        await books.run(
            "INSERT INTO refunds (payment_id, kind, amount, status, idempotency_key, reason, created_at, updated_at)"
            " VALUES (:id, 'refund', 5001, 'intent', 'past', 'test', now(), now())",
            id=payment,
        )
    assert "would exceed it" in str(refused.value)


async def test_parts_at_once_that_together_exceed_the_payment_are_not_both_made(books: Books) -> None:
    _, payment = await boxed(books)
    ends = await asyncio.gather(*(ask(books, payment, 15_000) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(end, Refund) for end in ends) == 1
    assert {type(end) for end in ends} == {Refund, NotRefundable}
    # The cabinet's refunds beside ours, all at once and twice each: what fits is booked once.
    other = (await boxed(books))[1]
    heard = (told(books, other, f"back-{other}-{number % 3}", 6_000) for number in range(6))
    assert not [end for end in await asyncio.gather(*heard, return_exceptions=True) if isinstance(end, Exception)]
    with pytest.raises(Conflict):
        await told(books, other, f"back-{other}-3", 6_000)
    assert await books.scalar("SELECT sum(amount) FROM refunds WHERE payment_id = :id", id=other) == 18_000


async def test_a_part_of_ours_gives_way_to_one_made_there_only_where_both_do_not_fit(books: Books) -> None:
    _, payment = await boxed(books)
    await books.confirm((await ask(books, payment, 2_000)).id)
    ours = await ask(books, payment, 6_000)
    beside = await told(books, payment, f"fits-{payment}", 12_000)
    assert beside is not None
    assert (beside.made_there, beside.gave_way, beside.refund.status) == (True, None, "succeeded")
    assert await status(books, payment) == "partially_refunded"
    await books.confirm(ours.id)  # the part that brings them to the whole
    assert (await left(books, payment), await status(books, payment)) == (0, "refunded")
    # One that does not fit: ours cannot have gone through.
    _, second = await boxed(books)
    going = await ask(books, second, 6_000)
    over = await told(books, second, f"over-{second}", 15_000)
    assert over is not None
    assert over.gave_way is not None
    assert (over.gave_way.id, over.gave_way.status) == (going.id, "canceled")
    assert (await left(books, second), await status(books, second)) == (750, "partially_refunded")
    # As much as ours: it is ours that has its money.
    _, third = await boxed(books)
    going = await ask(books, third, 11_000)
    same = await told(books, third, f"same-{third}", 11_000)
    assert same is not None
    assert (same.refund.id, same.gave_way, await status(books, third)) == (going.id, None, "partially_refunded")
    assert await told(books, third, f"same-{third}", 11_000) is not None  # heard again
    assert await books.scalar("SELECT count(*) FROM refunds WHERE payment_id = :id", id=third) == 1


async def test_months_go_on_after_a_part_and_each_loses_its_share(books: Books) -> None:
    person = await books.person()
    payment = await buy(books, person, "half")
    start = books.now
    assert await left(books, payment) == 9_000
    third = await ask(books, payment, 200_000)
    books.now = start + 32 * DAY  # the next month begins while nobody knows how the part ends
    await books.begin_months()
    assert await left(books, payment) == 12_000  # the first month's tokens roll over
    await books.confirm(third.id)
    await part(books, payment, 100_000)
    assert await left(books, payment) == 9_000
    books.now = start + 63 * DAY
    await books.begin_months()
    assert await left(books, payment) == 13_500
    assert (await books.balance(person)).entitlement.plan_id == "half"
    ends = await asyncio.gather(ask(books, payment, None), ask(books, payment, None), return_exceptions=True)
    assert {type(end) for end in ends} == {Refund, NotRefundable}
    await books.confirm((await latest(books, payment)).id)
    assert (await left(books, payment), await status(books, payment)) == (0, "refunded")
    assert (await books.balance(person)).entitlement.plan_id == "free"
    books.now = start + 95 * DAY
    await books.begin_months()
    assert await left(books, payment) == 0
    books.now = start


async def test_what_repaid_a_debt_stays_repaid_until_the_rest_goes_back(books: Books) -> None:
    person = await books.person()
    await in_debt(books, person)
    payment = await buy(books, person, "box")
    assert (await books.owed(person), await left(books, payment)) == (0, 1_000)
    half = await part(books, payment, 10_000)
    assert (half.tokens_taken, half.tokens_forgiven, await books.owed(person)) == (500, 0, 0)
    rest = await part(books, payment, None)
    assert (rest.tokens_taken, rest.tokens_forgiven, await books.owed(person)) == (2_500, 0, 2_000)


async def test_a_chargeback_after_a_part_takes_the_rest_and_what_was_spent_of_it_is_owed(books: Books) -> None:
    person, payment = await boxed(books)
    await books.place(person, person, 1, 1_000)
    await books.settle(person, 1_000)
    await part(books, payment, 5_000)
    back = await books.charge_back(payment)
    assert back is not None
    assert (back.refund.amount, back.refund.tokens_taken, back.refund.tokens_owed) == (15_000, 1_500, 750)
    assert (await status(books, payment), await books.owed(person)) == ("charged_back", 750)


async def test_a_part_of_what_stands_in_quarantine_leaves_the_rest_to_be_refunded(books: Books) -> None:
    person = await books.person()
    payment = await buy(books, person, "box", kopecks=19_000)
    await part(books, payment, 9_000)
    resolved = "SELECT status || ' ' || (resolved_at IS NOT NULL) FROM payments WHERE id = :id"
    assert await books.scalar(resolved, id=payment) == "partially_refunded false"
    async with books.db.read() as connection:
        with pytest.raises(quarantine.NotInQuarantine):
            await quarantine.terms(connection, payment_id=payment)
    rest = await part(books, payment, None)
    assert (rest.amount, rest.tokens) == (10_000, 0)
    assert await books.scalar(resolved, id=payment) == "refunded true"
    assert await books.scalar("SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE account_id = 22") == 0


@pytest.mark.parametrize(
    ("mode", "vat_code", "twice"), [("54fz", 11, False), ("54fz", 11, True), ("npd", 1, False), ("none", None, False)]
)
async def test_the_receipt_of_a_part_is_the_sales_with_the_parts_amount(
    books: Books, mode: receipts.Mode, vat_code: int | None, twice: bool
) -> None:
    """Also of a second payment of the order, which came without a request of ours (`twice`)."""
    sold = receipts.of(mode, email="a@example.org", title="Коробка", kopecks=20_000, vat="standard", at=books.now)
    asked = requests.NewPayment(20_000, "Коробка", "https://example.org", {}, receipt=sold)
    payment = await buy(books, await books.person(), "box", request=requests.payment(asked), twice=twice)
    refund = await ask(books, payment, 5_050)
    body = orjson.loads(await books.scalar("SELECT request FROM yookassa_refunds WHERE refund_id = :id", id=refund.id))
    assert body["amount"]["value"] == "50.50"
    if vat_code is None:
        assert "receipt" not in body
        return
    assert sold is not None
    amount = {"value": "50.50", "currency": "RUB"}
    assert body["receipt"] == sold | {"items": [sold["items"][0] | {"amount": amount, "vat_code": vat_code}]}


async def test_two_who_send_a_part_at_once_send_it_in_the_order_of_the_lock(books: Books) -> None:
    _, payment = await boxed(books)
    refund = await ask(books, payment, 5_000)
    for looked_at in (books.now + timedelta(milliseconds=2), books.now):
        async with books.db.transaction() as tx:
            assert await rouble_refunds.take_to_post(tx, refund.id, now=looked_at) is not None


async def test_two_who_send_a_payment_at_once_send_it_in_the_order_of_the_lock(books: Books) -> None:
    order = await books.order(await books.person(), "box", currency="RUB")
    async with books.db.transaction() as tx:
        found = await orders.by_payload(tx, order.payload)
        assert found is not None
        begun = await rouble_payments.begin(tx, found, build=lambda _: "{}", now=books.now)
    for looked_at in (books.now + timedelta(milliseconds=2), books.now):
        async with books.db.transaction() as tx:
            assert await rouble_payments.take_to_post(tx, begun.id, now=looked_at) is not None


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_between_parts_the_books_agree(books: Books, seed: int) -> None:
    dice, start = random.Random(seed), books.now
    person = await books.person()
    if seed % 2:
        await in_debt(books, person)
    payment = await buy(books, person, dice.choice(["half", "box"]))
    going: Refund | None = None
    for turn in range(person * 100, person * 100 + 14):
        match dice.choice(["hold", "spend", "ask", "ask", "end", "there", "time", "time", "back"]):
            case ("hold" | "spend") as what:
                held = await hold(books, person, turn, dice.randint(1, 1_500))
                if held and what == "spend":
                    await books.settle(turn, dice.randint(1, 1_500))
            case "ask":
                kopecks = dice.choice([1, dice.randint(1, 6_000), dice.randint(1, 600_000), None])
                with contextlib.suppress(NotRefundable, MoreThanLeft):
                    going = await ask(books, payment, kopecks)
            case "end" if going is not None:
                await (books.confirm(going.id) if dice.random() < 0.6 else books.refuse(going.id))
            case "there":
                with contextlib.suppress(Conflict):
                    await told(books, payment, f"there-{turn}", dice.randint(1, 200_000))
            case "time":
                books.now += DAY * dice.randint(1, 25)
                await books.begin_months()
                await books.expire()
            case "back" if dice.random() < 0.2:
                await books.charge_back(payment)
        assert await books.violations() == []
    books.now = start


async def in_debt(books: Books, person: int) -> None:
    """A person who spent 2,000 tokens of a pack and had their bank take its money back."""
    stars = await books.buy(person, "pack")
    await books.place(person, person, 1, 2_000)
    await books.settle(person, 2_000)
    await books.charge_back(stars.payment_id)
    assert await books.owed(person) == 2_000


async def hold(books: Books, person: int, turn: int, tokens: int) -> bool:
    with contextlib.suppress(InsufficientTokens):
        await books.place(person, turn, 1, tokens)
        return True
    return False
