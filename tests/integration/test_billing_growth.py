"""Trials, days given, promo codes and invitations in the books: once each, whatever runs in parallel or late."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from billing import discounts, growth_checks, house_access, invariants, ledger, orders, promos, referrals, trials
from billing.promos import Redeemed, Terms
from billing.referrals import Rule
from kit.db import Database
from kit.errors import Rejected
from tests.support.books import DAY, LIMITS, MONTH, PLANS, YEAR, Books

CONNECTIONS = 20
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
RULE = Rule(inviter_tokens=100, friend_tokens=30, window=timedelta(hours=72), month_max=2)
TOKENS = Terms("tokens", tokens=1_000, days=10)
HALF = Terms("percent", percent=50)


@pytest.fixture(scope="module")
async def books(database_url: str) -> AsyncIterator[Books]:
    db = Database(database_url, pool_size=CONNECTIONS)
    made = Books(db)
    await made.open(PLANS + TRIAL)
    yield made
    await db.close()


@pytest.fixture(autouse=True)
async def sound(books: Books) -> AsyncIterator[None]:
    yield
    assert await books.violations() == []


async def code(books: Books, name: str, terms: Terms) -> str:
    async with books.db.transaction() as tx:
        return (await promos.create(tx, code=name, terms=terms, created_by=1, now=books.now)).code


async def redeem(books: Books, person: int, typed: str) -> Redeemed:
    async with books.db.transaction() as tx:
        return await promos.redeem(tx, person_id=person, typed=typed, now=books.now)


async def uses(books: Books, name: str) -> int:
    return int(await books.scalar("SELECT uses FROM promo_codes WHERE code = :code", code=name))


async def swept(books: Books) -> None:
    await books.expire()
    async with books.db.transaction() as tx:
        await orders.expire_due(tx, now=books.now, limit=1_000)
    async with books.db.transaction() as tx:
        await discounts.release_due(tx, now=books.now, limit=1_000)
    async with books.db.read() as connection:
        waiting = await house_access.due(connection, limit=1_000)
    for grant_id, person_id in waiting:
        async with books.db.transaction() as tx:
            await ledger.lock_wallet(tx, person_id=person_id, now=books.now)
            await house_access.begin_if_free(tx, grant_id, now=books.now)


async def outcomes(acts: list[Callable[[], Awaitable[object]]]) -> Counter[str]:
    """Run all at once; count what was refused, and what was not as "done"."""

    async def one(act: Callable[[], Awaitable[object]]) -> str:
        try:
            await act()
        except Rejected as rejected:
            return type(rejected).__name__
        return "done"

    return Counter(await asyncio.gather(*map(one, acts)))


async def kinds(books: Books, person: int) -> dict[str, int]:
    """Tokens left by kind of lot, without what everybody gets."""
    left: Counter[str] = Counter()
    for lot in (await books.balance(person)).lots:
        left[lot.kind] += lot.remaining
    return {kind: tokens for kind, tokens in left.items() if kind not in {"daily", "welcome"}}


# -- the trial


async def test_fifty_presses_start_one_trial(books: Books) -> None:
    person = await books.person()

    async def start() -> None:
        async with books.db.transaction() as tx:
            await trials.start(tx, person_id=person, now=books.now)

    assert await outcomes([start] * 50) == {"done": 1, "TrialHadAlready": 49}
    assert await kinds(books, person) == {"trial": 700}
    assert (await books.balance(person)).titles["en"] == "Trial"
    books.now += 8 * DAY
    await swept(books)
    assert await outcomes([start]) == {"TrialHadAlready": 1}
    assert await kinds(books, person) == {}


# -- promo codes


async def test_of_fifty_at_once_on_the_last_use_one_wins(books: Books) -> None:
    name = await code(books, "LAST", Terms("tokens", tokens=1_000, days=10, uses_max=1))
    people = [await books.person() for _ in range(50)]
    found = await outcomes([lambda person=person: redeem(books, person, name) for person in people])
    assert found == {"done": 1, "PromoOver": 49}
    assert await uses(books, name) == 1
    given = "SELECT count(*) FROM lots l JOIN accounts a ON a.id = l.account_id WHERE l.kind = 'promo'"
    assert await books.scalar(given + " AND a.person_id = ANY(:people)", people=people) == 1


async def test_one_person_uses_a_code_once_however_often_and_however_written(books: Books) -> None:
    await code(books, "SPORT", TOKENS)
    person = await books.person()
    ways = ["sport", "SPORT", " «Sport» ", "SPOrT", "SРОRТ", "spоrt"]
    found = await outcomes([lambda typed=typed: redeem(books, person, typed) for typed in ways * 4])
    assert found == {"done": 1, "PromoUsed": 23}
    assert await kinds(books, person) == {"promo": 1_000}


async def test_a_cyrillic_code_is_found_by_its_latin_twins_and_a_second_one_that_reads_the_same_is_refused(
    books: Books,
) -> None:
    await code(books, "тест_1", TOKENS)
    person = await books.person()
    assert (await redeem(books, person, "TECT_1")).code.code == "ТЕСТ_1"
    with pytest.raises(promos.PromoExists):
        await code(books, "TECT_1", HALF)


@pytest.mark.parametrize(
    "typed",
    ["", "  ", "NO", "X" * 33, "X" * 100_000, "a b", "КОД%", "'; DROP TABLE promo_codes; --", "\x00\x00\x00", "😀" * 5],
)
async def test_what_can_be_no_code_is_no_code(books: Books, typed: str) -> None:
    assert promos.key_of(typed) == ""
    with pytest.raises(promos.PromoUnknown):
        await redeem(books, await books.person(), typed)
    with pytest.raises(ValueError, match="no promo code"):
        await code(books, typed, TOKENS)


async def test_a_code_has_its_time_and_may_be_for_newcomers_alone(books: Books) -> None:
    await code(
        books,
        "SEASON",
        Terms("tokens", tokens=5, days=5, valid_from=books.now + DAY, valid_until=books.now + 3 * DAY),
    )
    await code(books, "FIRST", Terms("tokens", tokens=5, days=5, first_purchase=True))
    person, payer = await books.person(), await books.person()
    await books.buy(payer, "pack")
    with pytest.raises(promos.PromoUnknown):  # a code that is still to come is not given away
        await redeem(books, person, "SEASON")
    books.now += 2 * DAY
    assert (await redeem(books, person, "SEASON")).until == books.now + 5 * DAY
    books.now += 2 * DAY
    with pytest.raises(promos.PromoOver):
        await redeem(books, payer, "SEASON")
    with pytest.raises(promos.PromoForNewcomers):
        await redeem(books, payer, "FIRST")
    assert await redeem(books, person, "FIRST")


# -- a percentage


async def test_a_percentage_is_frozen_with_the_order_and_used_when_it_is_paid(books: Books) -> None:
    name = await code(books, "THIRD", Terms("percent", percent=33))
    person = await books.person()
    full = await books.order(person, "pack")
    await redeem(books, person, name)
    order = await books.order(person, "pack")
    assert (full.amount, order.amount, order.tokens) == (150, 100, 3_000)  # 100.5 Stars, rounded down
    assert await books.order(person, "pack") == order
    assert await books.scalar("SELECT status FROM orders WHERE id = :id", id=full.id) == "canceled"
    credit = await books.pay(order)
    assert (credit.outcome, credit.tokens, credit.bonus) == ("credited", 3_000, 0)
    assert (await books.order(person, "pack")).amount == 150
    assert await uses(books, name) == 1
    with pytest.raises(promos.PromoUsed):
        await redeem(books, person, name)


async def test_a_percentage_off_a_year_or_a_gift_is_used_up_as_that_off_a_pack_is(books: Books) -> None:
    await books.open(PLANS + TRIAL + YEAR)
    try:
        for product, gift, full in (("year", False, 3_000), ("lite", True, 300), ("pack", True, 150)):
            name = await code(books, f"OFF-{product}", Terms("percent", percent=20, uses_max=1))
            person = await books.person()
            await redeem(books, person, name)
            order = await books.order(person, product, gift=gift)
            assert order.amount == full * 4 // 5
            assert (await books.pay(order)).outcome == "credited"
            assert (await books.order(person, product, gift=gift)).amount == full
            used = "SELECT status FROM promo_redemptions WHERE person_id = :id"
            assert (await books.scalar(used, id=person), await uses(books, name)) == ("used", 1)
    finally:
        await books.open(PLANS + TRIAL)


async def test_the_least_that_something_costs_is_one_star(books: Books) -> None:
    cheap = PLANS.replace("stars = 150", "stars = 1")
    await books.open(cheap + TRIAL)
    try:
        name = await code(books, "ALMOST", Terms("percent", percent=99))
        person = await books.person()
        await redeem(books, person, name)
        assert (await books.order(person, "pack")).amount == 1
    finally:
        await books.open(PLANS + TRIAL)


async def test_a_subscription_brings_its_percentage_in_tokens_with_the_first_payment_alone(books: Books) -> None:
    name = await code(books, "MORE", Terms("percent", percent=33, plans=("lite",)))
    person = await books.person()
    await redeem(books, person, name)
    assert (await books.order(person, "pack")).amount == 150  # not for packs
    order = await books.order(person, "lite")
    assert order.amount == 300
    credit = await books.pay(order)
    assert credit.bonus == 1_650
    assert await kinds(books, person) == {"plan": 5_000, "promo": 1_650}
    books.now += MONTH
    assert (await books.pay(order, first=False)).bonus == 0
    await swept(books)
    assert await kinds(books, person) == {"plan": 5_000}


async def test_a_refund_takes_the_tokens_on_top_back_as_well(books: Books) -> None:
    name = await code(books, "BACK", HALF)
    person = await books.person()
    await redeem(books, person, name)
    credit = await books.buy(person, "lite")
    await books.refund(credit.payment_id)
    assert await kinds(books, person) == {}
    taken = "SELECT tokens_taken FROM refunds WHERE payment_id = :id"
    assert await books.scalar(taken, id=credit.payment_id) == 7_500


async def test_a_use_that_bought_nothing_is_given_back_and_a_late_payment_is_honoured_within_the_limit(
    books: Books,
) -> None:
    name = await code(books, "ONCE", Terms("percent", percent=50, uses_max=1))
    slow, quick = await books.person(), await books.person()
    await redeem(books, slow, name)
    order = await books.order(slow, "lite")
    assert await outcomes([lambda: redeem(books, quick, name)]) == {"PromoOver": 1}
    books.now += 8 * DAY
    await swept(books)
    assert (await uses(books, name), await books.scalar("SELECT status FROM orders WHERE id = :id", id=order.id)) == (
        0,
        "expired",
    )
    await redeem(books, quick, name)
    assert (await books.pay(order)).bonus == 2_500  # as it was promised
    assert await uses(books, name) == 1
    statuses = (
        "SELECT array_agg(r.status ORDER BY r.id) FROM promo_redemptions r JOIN promo_codes c ON c.id = r.code_id"
    )
    assert await books.scalar(statuses + " WHERE c.code = 'ONCE'") == ["honoured", "held"]


async def test_a_percentage_is_held_for_one_order_at_a_time(books: Books) -> None:
    name = await code(books, "SINGLE", HALF)
    person = await books.person()
    await redeem(books, person, name)
    first, second = await books.order(person, "pack"), await books.order(person, "top")
    assert (first.amount, second.amount) == (75, 900)
    assert await books.scalar("SELECT status FROM orders WHERE id = :id", id=first.id) == "canceled"
    with pytest.raises(orders.OrderExpired):
        async with books.db.read() as connection:
            await orders.for_checkout(
                connection, first.payload, person_id=person, amount=75, currency="XTR", now=books.now
            )


async def test_another_percentage_takes_the_place_of_the_first_which_is_given_back(books: Books) -> None:
    await code(books, "TEN", Terms("percent", percent=10, uses_max=1))
    await code(books, "TWENTY", Terms("percent", percent=20, uses_max=1))
    a, b = await books.person(), await books.person()
    await redeem(books, a, "TEN")
    await redeem(books, b, "TWENTY")
    # Each wants the other's: both are refused, and keep what they have.
    swap = [lambda: redeem(books, a, "TWENTY"), lambda: redeem(books, b, "TEN")]
    assert await outcomes(swap * 5) == {"PromoOver": 10}
    assert (await books.order(a, "pack")).amount == 135
    await code(books, "THIRTY", Terms("percent", percent=30))
    await redeem(books, a, "THIRTY")
    assert (await books.order(a, "pack")).amount == 105
    assert (await uses(books, "TEN"), await uses(books, "THIRTY")) == (0, 1)


async def test_percentages_are_taken_ordered_paid_and_given_back_by_everybody_at_once(books: Books) -> None:
    names = [await code(books, f"STORM{n}", Terms("percent", percent=10 + n, uses_max=8)) for n in range(3)]
    people = [await books.person() for _ in range(12)]

    async def shops(person: int, number: int) -> None:
        for step in range(3):
            await redeem(books, person, names[(number + step) % 3])
            order = await books.order(person, "pack")
            if (number + step) % 2:
                await books.pay(order)

    acts: list[Callable[[], Awaitable[object]]] = [
        lambda person=person, number=number: shops(person, number) for number, person in enumerate(people * 2)
    ]
    acts += [lambda: swept(books) for _ in range(6)]
    found = await outcomes(acts)
    assert set(found) <= {"done", "PromoOver", "PromoUsed"}
    for name in names:
        assert await uses(books, name) <= 8


# -- days given


async def test_days_bring_access_and_their_share_of_the_tokens(books: Books) -> None:
    await code(books, "WEEK", Terms("days", days=7, plan_id="top"))
    person = await books.person()
    redeemed = await redeem(books, person, "WEEK")
    assert redeemed.until == books.now + 7 * DAY
    seen = await books.balance(person)
    assert (seen.titles["en"], seen.until, seen.status) == ("Top", redeemed.until, "cancel_scheduled")
    assert await kinds(books, person) == {"promo": 2_100}
    books.now += 7 * DAY
    await swept(books)
    seen = await books.balance(person)
    assert (seen.titles["en"], seen.subscription) == ("Free", None)
    assert await kinds(books, person) == {}


async def test_days_of_a_plan_that_somebody_pays_for_wait_until_it_has_ended(books: Books) -> None:
    await code(books, "WAIT", Terms("days", days=5, plan_id="lite"))
    person = await books.person()
    order = await books.order(person, "lite")
    await books.pay(order)
    redeemed = await redeem(books, person, "WAIT")
    assert redeemed.grant is not None
    assert redeemed.grant.until is None
    books.now += MONTH - DAY
    await books.pay(order, first=False, expires=books.now + DAY + MONTH)  # it renews, and they wait on
    books.now += 2 * DAY
    await swept(books)
    assert await kinds(books, person) == {"plan": 5_000}
    await books.say(order.payload, person, "canceled")
    books.now += MONTH
    await asyncio.gather(*(swept(books) for _ in range(4)))
    seen = await books.balance(person)
    assert (seen.titles["en"], seen.until) == ("Lite", books.now + 5 * DAY)
    assert await kinds(books, person) == {"promo": 834}


async def test_days_of_a_better_plan_begin_at_once(books: Books) -> None:
    await code(books, "BETTER", Terms("days", days=5, plan_id="top"))
    person = await books.person()
    await books.buy(person, "lite")
    await redeem(books, person, "BETTER")
    assert (await books.balance(person)).titles["en"] == "Top"
    books.now += 6 * DAY
    await swept(books)
    assert (await books.balance(person)).titles["en"] == "Lite"


# -- invitations


async def friends(books: Books, inviter: int, many: int) -> list[int]:
    """Newcomers who came by a person's link."""
    async with books.db.transaction() as tx:
        own = await referrals.code_of(tx, person_id=inviter, now=books.now)
    books.now += timedelta(minutes=1)
    found = []
    for _ in range(many):
        found.append(await books.person())
        async with books.db.transaction() as tx:
            assert await referrals.bind(tx, friend_id=found[-1], code=own, now=books.now) == inviter
    return found


async def rewarded(books: Books, rule: Rule = RULE) -> int:
    """What housekeeping does; how many rewards it granted."""
    async with books.db.read() as connection:
        due = await referrals.due(connection, rule, now=books.now, limit=100)
    granted = 0
    for one in due:
        async with books.db.transaction() as tx:
            granted += await referrals.reward(tx, one.friend_id, one.inviter_id, rule, now=books.now) is not None
    return granted


async def test_a_friend_is_bound_once_never_to_oneself_and_never_in_a_circle(books: Books) -> None:
    inviter, other = await books.person(), await books.person()
    [friend] = await friends(books, inviter, 1)
    async with books.db.transaction() as tx:
        codes = {p: await referrals.code_of(tx, person_id=p, now=books.now) for p in (inviter, other, friend)}
        assert len(set(codes.values())) == 3
        for bound, to in ((friend, other), (friend, friend), (inviter, inviter), (inviter, friend)):
            assert await referrals.bind(tx, friend_id=bound, code=codes[to], now=books.now) is None
        for hostile in ("", "nobody", "'; --", "x" * 5_000):
            assert await referrals.bind(tx, friend_id=other, code=hostile, now=books.now) is None


async def test_a_reward_is_granted_once_and_only_when_the_window_has_closed(books: Books) -> None:
    inviter = await books.person()
    [friend] = await friends(books, inviter, 1)
    await books.buy(friend, "pack")
    books.now += RULE.window - timedelta(seconds=1)
    assert await rewarded(books) == 0
    books.now += timedelta(seconds=1)
    assert sum(await asyncio.gather(*(rewarded(books) for _ in range(8)))) == 1
    assert (await kinds(books, inviter), (await kinds(books, friend))["gift"]) == ({"gift": 100}, 30)
    await books.buy(friend, "pack")
    books.now += 10 * DAY
    assert await rewarded(books) == 0


async def test_money_that_went_back_or_was_hardly_paid_brings_no_reward(books: Books) -> None:
    inviter = await books.person()
    refunded, asked, cheap = await friends(books, inviter, 3)
    await books.refund((await books.buy(refunded, "pack")).payment_id)
    await books.request((await books.buy(asked, "pack")).payment_id)
    await redeem(books, cheap, await code(books, "CHEAP", Terms("percent", percent=60)))
    await books.buy(cheap, "pack")
    books.now += 4 * DAY
    assert await rewarded(books) == 0
    await books.buy(refunded, "pack")  # this time for good
    books.now += 4 * DAY
    assert await rewarded(books) == 1


async def test_what_is_over_a_months_limit_counts_in_the_next_month(books: Books) -> None:
    books.now = books.now.replace(day=1) + 3 * MONTH
    books.now = books.now.replace(day=2)
    inviter = await books.person()
    for friend in await friends(books, inviter, 5):
        await books.buy(friend, "pack")
    books.now += 4 * DAY
    assert sum(await asyncio.gather(*(rewarded(books) for _ in range(6)))) == 2
    books.now = (books.now + MONTH).replace(day=1)
    assert (await rewarded(books), await rewarded(books)) == (2, 0)
    async with books.db.read() as connection:
        assert await referrals.standing(connection, person_id=inviter) == referrals.Standing(5, 4, 400)


# -- the invariants see what is wrong


CORRUPTIONS = {
    "a trial is had once, and nothing was charged for it": "DELETE FROM trials WHERE person_id = {person}",
    "days that were given have begun once, with their tokens": (
        "UPDATE access_grants SET tokens = tokens + 1 WHERE person_id = {person}"
    ),
    "the uses of a promo code are its redemptions, within its limit": (
        "UPDATE promo_codes SET uses = uses + 1 WHERE code = 'BROKEN'"
    ),
    "a person uses a promo code once, and it brings once what it says": (
        "UPDATE access_grants SET ref_id = 'nothing' WHERE person_id = {person}"
    ),
    "a percentage that made a paid order cheaper is used up": (
        "UPDATE promo_redemptions SET status = 'held', payment_id = NULL"
        " WHERE person_id = {person} AND payment_id IS NOT NULL"
    ),
    "an invitation is rewarded once, and only for money that its friend paid": (
        "UPDATE referrals SET inviter_tokens = 101 WHERE friend_id = {person}"
    ),
}


def test_every_check_is_tried() -> None:
    assert set(CORRUPTIONS) == {name for _, name, _ in growth_checks.CHECKS}


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_what_breaks_an_invariant_is_found(books: Books, name: str) -> None:
    [person] = await friends(books, await books.person(), 1)
    async with books.db.transaction() as tx:
        await trials.start(tx, person_id=person, now=books.now)
        if await promos.find(tx, "BROKEN") is None:
            terms = Terms("days", days=2, plan_id="top")
            await promos.create(tx, code="BROKEN", terms=terms, created_by=1, now=books.now)
            await promos.create(tx, code="LESS", terms=Terms("percent", percent=40), created_by=1, now=books.now)
    await redeem(books, person, "BROKEN")
    await redeem(books, person, "LESS")
    await books.buy(person, "pack")
    books.now += 4 * DAY
    assert await rewarded(books) == 1
    async with books.db.engine.connect() as connection:
        # No trigger and no foreign key looks, and nothing of it is kept.
        await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        await connection.exec_driver_sql(CORRUPTIONS[name].format(person=person))
        found = {violation.name for violation in await invariants.check(connection)}
        await connection.rollback()
    assert found == {name}
