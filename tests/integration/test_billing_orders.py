"""Orders: the price of the moment, one open order a product, and whoever paid is honoured."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from billing import orders
from billing.orders import (
    NotForSale,
    Order,
    OrderExpired,
    OrderOfAnother,
    OrderPaid,
    OrderPriceDiffers,
    OrderUnknown,
    SecondSubscription,
)
from kit.db import Database
from tests.support.books import DAY, PLANS, Books

ASKED_TOO_MUCH = PLANS.replace("stars = 150", "stars = 175")


@pytest.fixture(scope="module")
async def shared(database: Database) -> Books:
    return Books(database)


@pytest.fixture
async def books(shared: Books) -> AsyncIterator[Books]:
    await shared.open()
    yield shared
    assert await shared.violations() == []


async def checkout(
    books: Books, order: Order, *, person: int = 0, amount: int = 0, currency: str = "XTR", payload: str = ""
) -> Order:
    async with books.db.read() as connection:
        return await orders.for_checkout(
            connection,
            payload or order.payload,
            person_id=person or order.person_id,
            amount=amount or order.amount,
            currency=currency,
            now=books.now,
        )


async def statuses(books: Books, person: int) -> list[str]:
    sql = "SELECT array_agg(status ORDER BY id) FROM orders WHERE person_id = :id"
    return await books.scalar(sql, id=person)


async def test_an_order_is_the_products_price_and_tokens(books: Books) -> None:
    order = await books.order(await books.person(), "pack")
    assert (order.kind, order.currency, order.amount, order.tokens) == ("pack", "XTR", 150, 3_000)
    assert (order.status, order.expires_at, order.tokens_days) == ("open", books.now + 7 * DAY, 20)
    assert 1 <= len(order.payload.encode()) <= 128
    assert await checkout(books, order) == order


async def test_a_product_in_roubles_is_ordered_in_kopecks(books: Books) -> None:
    order = await books.order(await books.person(), "top", "RUB")
    assert (order.currency, order.amount) == ("RUB", 99_000)


async def test_the_same_wish_finds_the_same_order_and_lengthens_its_life(books: Books) -> None:
    person = await books.person()
    first = await books.order(person, "pack")
    books.now += DAY
    again = await books.order(person, "pack")
    assert (again.id, again.payload, again.expires_at) == (first.id, first.payload, books.now + 7 * DAY)


async def test_many_presses_at_once_make_one_order(books: Books) -> None:
    person = await books.person()
    made = await asyncio.gather(*(books.order(person, "pack") for _ in range(10)))
    assert len({order.payload for order in made}) == 1
    assert await statuses(books, person) == ["open"]


async def test_a_new_price_makes_a_new_order_and_the_old_one_cannot_begin_to_be_paid(books: Books) -> None:
    person = await books.person()
    old = await books.order(person, "pack")
    await books.open(ASKED_TOO_MUCH)
    new = await books.order(person, "pack")
    assert (new.amount, new.payload != old.payload) == (175, True)
    assert await statuses(books, person) == ["canceled", "open"]
    with pytest.raises(OrderExpired):
        await checkout(books, old)


async def test_another_currency_makes_a_new_order(books: Books) -> None:
    person = await books.person()
    await books.order(person, "top")
    assert (await books.order(person, "top", "RUB")).currency == "RUB"
    assert await statuses(books, person) == ["canceled", "open"]


async def test_what_was_replaced_but_paid_is_honoured(books: Books) -> None:
    person = await books.person()
    old = await books.order(person, "pack")
    await books.open(ASKED_TOO_MUCH)
    await books.order(person, "pack")
    assert (await books.pay(old)).tokens == 3_000
    assert await statuses(books, person) == ["paid", "open"]


async def test_what_expired_but_was_paid_is_honoured(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "pack")
    books.now += 8 * DAY
    async with books.db.transaction() as tx:
        assert await orders.expire_due(tx, now=books.now, limit=1_000) >= 1
    assert await statuses(books, person) == ["expired"]
    with pytest.raises(OrderExpired):
        await checkout(books, order)
    assert (await books.pay(order)).outcome == "credited"
    assert await statuses(books, person) == ["paid"]


async def test_an_order_too_old_is_refused_before_the_sweep_saw_it(books: Books) -> None:
    order = await books.order(await books.person(), "pack")
    books.now += 7 * DAY
    with pytest.raises(OrderExpired):
        await checkout(books, order)


async def test_a_checkout_is_refused_for_what_is_not_the_order(books: Books) -> None:
    order = await books.order(await books.person(), "pack")
    with pytest.raises(OrderOfAnother):
        await checkout(books, order, person=await books.person())
    with pytest.raises(OrderPriceDiffers):
        await checkout(books, order, amount=149)
    with pytest.raises(OrderPriceDiffers):
        await checkout(books, order, currency="RUB")
    with pytest.raises(OrderUnknown):
        await checkout(books, order, payload="forma:never")
    await books.pay(order)
    with pytest.raises(OrderPaid):
        await checkout(books, order)


@pytest.mark.parametrize(("product", "currency"), [("free", "XTR"), ("never", "XTR"), ("lite", "RUB"), ("pack", "RUB")])
async def test_what_has_no_price_is_not_sold(books: Books, product: str, currency: str) -> None:
    person = await books.person()
    with pytest.raises(NotForSale):
        await books.order(person, product, currency)


async def test_what_left_the_file_is_not_sold_and_stays_with_whoever_has_it(books: Books) -> None:
    person, late = await books.person(), await books.person()
    await books.buy(person, "top")
    waiting = await books.order(late, "top")
    start, end = PLANS.index("[top]"), PLANS.index("[pack]")
    assert (await books.open(PLANS[:start] + PLANS[end:])).withdrawn == ("top",)
    with pytest.raises(NotForSale):
        await books.order(await books.person(), "top")
    assert (await books.balance(person)).entitlement.plan_id == "top"
    assert (await books.pay(waiting)).outcome == "credited"


async def test_a_second_subscription_is_refused_while_one_renews(books: Books) -> None:
    person = await books.person()
    early = await books.order(person, "top")
    await books.buy(person, "lite")
    with pytest.raises(SecondSubscription) as refused:
        await books.order(person, "top")
    assert refused.value.params == {"plan": "lite"}
    with pytest.raises(SecondSubscription):
        await checkout(books, early)
    assert (await books.order(person, "pack")).status == "open"
