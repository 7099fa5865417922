"""Gifts: paid by one, taken by another, once; refunded to the first, and then taken from the second."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing import gifts, lots
from billing.gifts import Gift, GiftExpired, GiftTaken, GiftUnknown, GiftWithdrawn, Redeemed
from kit.db import Database
from kit.errors import Rejected
from tests.support.books import DAY, MONTH, PLANS, START, YEAR, Books


@pytest.fixture(scope="module")
async def shared(database: Database) -> Books:
    return Books(database)


@pytest.fixture
async def books(shared: Books) -> AsyncIterator[Books]:
    shared.now = START
    await shared.open(PLANS + YEAR)
    yield shared
    assert await shared.violations() == []


@pytest.fixture
async def pair(books: Books) -> tuple[int, int]:
    giver, friend = await books.person(), await books.person()
    for person in (giver, friend):
        await books.balance(person)
    return giver, friend


async def tokens(books: Books, person: int) -> list[tuple[str, int]]:
    async with books.db.read() as connection:
        return [
            (lot.kind, lot.remaining) for lot in await lots.live(connection, person_id=person) if lot.kind == "gift"
        ]


async def now_is(books: Books, gift: Gift) -> Gift:
    async with books.db.read() as connection:
        found = await gifts.find(connection, gift.id)
    assert found is not None
    return found


async def test_a_gift_brings_its_giver_nothing_and_whoever_takes_it_a_month(
    books: Books, pair: tuple[int, int]
) -> None:
    giver, friend = pair
    gift = await books.give(giver, "lite")
    assert (gift.status, gift.amount, gift.tokens, gift.expires_at) == ("open", 300, 5_000, START + 365 * DAY)
    assert (await books.balance(giver)).entitlement.plan_kind == "free"
    books.now += 3 * DAY
    taken = await books.redeem(friend, gift.code)
    assert (taken.starts_at, taken.repeated) == (books.now, False)
    seen = await books.balance(friend)
    assert (seen.entitlement.plan_id, seen.status, seen.until) == ("lite", "cancel_scheduled", taken.until)
    assert seen.subscription is not None
    assert (seen.subscription.once, seen.subscription.provider) == (True, "house")
    assert await tokens(books, friend) == [("gift", 5_000)]
    assert await tokens(books, giver) == []
    assert (await now_is(books, gift)).receiver_id == friend


async def test_a_pack_as_a_gift_is_tokens_at_once_and_a_year_twelve_months(books: Books, pair: tuple[int, int]) -> None:
    giver, friend = pair
    pack, year = await books.give(giver, "pack"), await books.give(giver, "year")
    taken = await books.redeem(friend, pack.code)
    assert (taken.starts_at, taken.until) == (None, START + 20 * DAY)
    assert await tokens(books, friend) == [("gift", 3_000)]
    begun = await books.redeem(friend, year.code)
    assert begun.until
    assert begun.until.year == START.year + 1
    books.now += 32 * DAY
    await books.begin_months()
    await books.balance(friend)
    assert await tokens(books, friend) == [("gift", 5_000)]


async def test_a_gift_is_taken_once_and_told_again_to_whoever_has_it(books: Books, pair: tuple[int, int]) -> None:
    giver, friend = pair
    gift = await books.give(giver, "lite")
    await books.redeem(friend, gift.code)
    assert (await books.redeem(friend, gift.code)).repeated
    with pytest.raises(GiftTaken):
        await books.redeem(giver, gift.code)
    assert await tokens(books, friend) == [("gift", 5_000)]


@pytest.mark.parametrize("code", ["", "x", "a" * 33, "a" * 5_000, "к" * 20, "a\n", "'; DROP TABLE gifts; --", "\x00"])
async def test_a_code_that_nobody_made_is_no_gift(books: Books, pair: tuple[int, int], code: str) -> None:
    with pytest.raises(GiftUnknown):
        await books.redeem(pair[0], code)


async def test_two_gifts_of_one_invoice_are_two_gifts(books: Books, pair: tuple[int, int]) -> None:
    giver, friend = pair
    order = await books.order(giver, "lite", gift=True)
    first, second = (await books.pay(order)).gift, (await books.pay(order)).gift
    assert first
    assert second
    await books.redeem(friend, first.code)
    await books.redeem(giver, second.code)
    for person in pair:
        assert (await books.balance(person)).entitlement.plan_id == "lite"
    await books.refund(first.payment_id)
    assert (await books.balance(friend)).entitlement.plan_kind == "free"
    assert (await books.balance(giver)).entitlement.plan_id == "lite"


async def test_a_gift_and_an_order_for_oneself_are_different_orders(books: Books, pair: tuple[int, int]) -> None:
    giver, _ = pair
    own, gift = await books.order(giver, "lite"), await books.order(giver, "lite", gift=True)
    assert (own.kind, gift.kind, own.status, gift.status) == ("subscription", "once", "open", "open")
    assert (await books.order(giver, "lite", gift=True)).id == gift.id
    await books.pay(own)
    # Whoever has a subscription may give another one away.
    assert (await books.give(giver, "lite")).status == "open"


async def test_a_gift_begins_where_all_that_the_receiver_has_ends(books: Books, pair: tuple[int, int]) -> None:
    giver, friend = pair
    await books.buy(friend, "lite")
    first, second = await books.give(giver, "top"), await books.give(giver, "lite")
    taken = await books.redeem(friend, first.code)
    assert taken.starts_at == START + MONTH
    assert await tokens(books, friend) == []
    later = await books.redeem(friend, second.code)
    assert later.starts_at == taken.until
    books.now += MONTH
    await books.begin_months()
    assert (await books.balance(friend)).entitlement.plan_id == "top"
    assert await tokens(books, friend) == [("gift", 9_000)]


async def test_of_twenty_who_open_a_gift_at_once_one_has_it(database_url: str, books: Books) -> None:
    giver = await books.person()
    people = [await books.person() for _ in range(20)]
    gift = await books.give(giver, "lite")
    many = Books(Database(database_url, pool_size=20), START)

    async def open_it(person: int) -> str:
        try:
            return "repeated" if (await many.redeem(person, gift.code)).repeated else "has it"
        except Rejected as rejected:
            return type(rejected).__name__

    try:
        ends = await asyncio.gather(*(open_it(person) for person in people for _ in range(2)))
    finally:
        await many.db.close()
    assert sorted(set(ends)) == ["GiftTaken", "has it", "repeated"]
    assert (ends.count("has it"), ends.count("repeated")) == (1, 1)
    assert [len(await tokens(books, person)) for person in people].count(1) == 1


# -- refunds


async def test_a_gift_whose_refund_was_asked_for_cannot_be_taken_until_that_is_refused(
    books: Books, pair: tuple[int, int]
) -> None:
    giver, friend = pair
    gift = await books.give(giver, "lite")
    refund = await books.request(gift.payment_id)
    with pytest.raises(GiftWithdrawn):
        await books.redeem(friend, gift.code)
    await books.refuse(refund.id)
    await books.redeem(friend, gift.code)
    assert (await books.balance(friend)).entitlement.plan_id == "lite"


async def test_a_refunded_gift_is_nobodys(books: Books, pair: tuple[int, int]) -> None:
    giver, friend = pair
    gift = await books.give(giver, "pack")
    assert await books.refund(gift.payment_id) is None
    with pytest.raises(GiftWithdrawn):
        await books.redeem(friend, gift.code)
    assert (await now_is(books, gift)).status == "withdrawn"


@pytest.mark.parametrize("product", ["lite", "year", "pack"])
async def test_the_refund_of_a_gift_that_was_taken_takes_it_from_the_receiver(
    books: Books, pair: tuple[int, int], product: str
) -> None:
    giver, friend = pair
    await books.buy(giver, "pack")
    gift = await books.give(giver, product)
    await books.redeem(friend, gift.code)
    had = (await books.balance(giver)).posted
    change = await books.refund(gift.payment_id)
    assert (change and change.after) == (None if product == "pack" else "revoked")
    assert change is None or change.subscription.person_id == friend
    assert await tokens(books, friend) == []
    assert (await books.balance(friend)).entitlement.plan_kind == "free"
    assert (await books.balance(giver)).posted == had
    books.now += 40 * DAY
    await books.begin_months()
    assert await tokens(books, friend) == []


async def test_a_refund_that_telegram_made_by_itself_ends_a_gift_too(books: Books, pair: tuple[int, int]) -> None:
    giver, friend = pair
    order = await books.order(giver, "lite", gift=True)
    gift = (await books.pay(order, charge=f"gift-{giver}")).gift
    assert gift
    await books.redeem(friend, gift.code)
    await books.report_refund(f"gift-{giver}", order.payload, giver, 300)
    assert await tokens(books, friend) == []


async def test_a_gift_that_is_taken_while_it_is_refunded_is_one_or_the_other(database_url: str, books: Books) -> None:
    givers = [await books.person() for _ in range(8)]
    made = [await books.give(giver, "lite") for giver in givers]
    friends = [await books.person() for _ in givers]
    many = Books(Database(database_url, pool_size=20), START)

    async def take(person: int, gift: Gift) -> Redeemed | None:
        try:
            return await many.redeem(person, gift.code)
        except GiftWithdrawn:
            return None

    # Half of them give to themselves, so that one wallet is wanted from both sides.
    receivers = [
        friend if number % 2 else giver for number, (giver, friend) in enumerate(zip(givers, friends, strict=True))
    ]
    charges = {
        gift.id: await books.scalar("SELECT provider_payment_id FROM payments WHERE id = :id", id=gift.payment_id)
        for gift in made
    }
    payloads = {
        gift.id: await books.scalar("SELECT payload FROM payments WHERE id = :id", id=gift.payment_id) for gift in made
    }
    try:
        await asyncio.gather(
            *(take(person, gift) for person, gift in zip(receivers, made, strict=True)),
            *(many.report_refund(charges[gift.id], payloads[gift.id], gift.giver_id, 300) for gift in made),
            *(take(person, gift) for person, gift in zip(receivers, made, strict=True)),
        )
    finally:
        await many.db.close()
    for person in {*givers, *friends}:
        assert await tokens(books, person) == []


# -- time


async def test_a_gift_that_nobody_takes_is_reminded_of_once_and_ends(books: Books, pair: tuple[int, int]) -> None:
    giver, friend = pair
    gift = await books.give(giver, "lite")

    async def look() -> tuple[list[int], list[int]]:
        async with books.db.transaction() as tx:
            soon = await gifts.take_reminders(tx, now=books.now, limit=100)
            over = await gifts.expire_due(tx, now=books.now, limit=100)
        return [one.id for one in soon if one.giver_id == giver], [one.id for one in over if one.giver_id == giver]

    assert await look() == ([], [])
    books.now = gift.expires_at - gifts.REMIND_BEFORE
    assert await look() == ([gift.id], [])
    assert await look() == ([], [])
    books.now = gift.expires_at
    with pytest.raises(GiftExpired):
        await books.redeem(friend, gift.code)
    assert await look() == ([], [gift.id])
    with pytest.raises(GiftExpired):
        await books.redeem(friend, gift.code)
    await books.refund(gift.payment_id)
    with pytest.raises(GiftWithdrawn):
        await books.redeem(friend, gift.code)


async def test_a_gift_of_a_plan_that_is_no_longer_sold_is_honoured_as_it_was_bought(
    books: Books, pair: tuple[int, int]
) -> None:
    giver, friend = pair
    gift = await books.give(giver, "pack")
    start = PLANS.index("[pack]")
    await books.open(PLANS[:start])
    books.now += timedelta(days=100)
    await books.redeem(friend, gift.code)
    assert await tokens(books, friend) == [("gift", 3_000)]


async def test_word_of_a_gift_is_carried_to_a_few_only(books: Books, pair: tuple[int, int]) -> None:
    gift = await books.give(pair[0], "pack")
    carried = []
    for _ in range(gifts.OFFERS_MAX + 2):
        async with books.db.transaction() as tx:
            carried.append(await gifts.count_offer(tx, gift.id, now=books.now))
    assert carried == [True] * gifts.OFFERS_MAX + [False] * 2
