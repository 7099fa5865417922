"""Tokens: the free allowance, what is spent first, holds at their edges, and what an answer can cost at most."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from billing import allowance, balance, entitlements, holds, lots
from kit.db import Database
from kit.errors import Conflict, InsufficientTokens, Misconfigured
from tests.support.books import DAY, MONTH, PLANS, Books


@pytest.fixture(scope="module")
async def shared(database: Database) -> Books:
    return Books(database)


@pytest.fixture
async def books(shared: Books) -> AsyncIterator[Books]:
    await shared.open()
    yield shared
    assert await shared.violations() == []


async def give(
    books: Books, person: int, tokens: int, expires: timedelta | None = None, ref: str = "one", **more: object
) -> lots.Lot:
    async with books.db.transaction() as tx:
        return await lots.grant(
            tx, person_id=person, tokens=tokens, kind="gift", ref_type="test", ref_id=f"{person}:{ref}",
            expires_at=None if expires is None else books.now + expires, now=books.now, **more,
        )  # fmt: skip


async def left(books: Books, person: int) -> list[tuple[str, int]]:
    async with books.db.read() as connection:
        return [(lot.kind, lot.remaining) for lot in await lots.live(connection, person_id=person)]


async def test_nothing_is_sold_before_plans_are_published(database: Database) -> None:
    async with database.transaction() as tx:
        with pytest.raises(Misconfigured, match="forma migrate"):
            await entitlements.current(tx, person_id=1, now=datetime(2026, 1, 1, tzinfo=UTC))


async def test_the_welcome_comes_once_and_the_daily_lot_every_day(books: Books) -> None:
    person = await books.person()
    assert (await books.balance(person)).posted == 1_500
    assert (await books.balance(person)).posted == 1_500
    midnight = datetime(books.now.year, books.now.month, books.now.day, tzinfo=UTC) + DAY
    assert allowance.renews_at(books.now) == midnight
    books.now = midnight - timedelta(seconds=1)
    assert await left(books, person) == [("daily", 500), ("welcome", 1_000)]
    books.now = midnight
    assert (await books.balance(person)).posted == 1_500
    books.now += 7 * DAY
    assert (await books.balance(person)).posted == 500


async def test_a_clock_that_goes_back_grants_no_day_twice(books: Books) -> None:
    person = await books.person()
    await books.balance(person)
    books.now -= 2 * DAY
    assert (await books.balance(person)).posted == 1_500
    books.now += 2 * DAY
    assert (await books.balance(person)).posted == 1_500


async def test_many_messages_at_once_bring_one_allowance(books: Books) -> None:
    person = await books.person()
    seen = await asyncio.gather(*(books.balance(person) for _ in range(12)))
    assert {one.posted for one in seen} == {1_500}


async def test_the_allowance_is_the_plans(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "lite")
    assert await left(books, person) == [("plan", 5_000)]
    seen = await books.balance(person)
    assert (seen.daily_tokens, seen.allowance_renews_at) == (0, None)
    assert [lot.kind for lot in seen.lots] == ["welcome", "plan"]
    books.now += MONTH
    assert "daily" in [lot.kind for lot in (await books.balance(person)).lots]


async def test_what_lapses_first_is_spent_first_and_what_never_lapses_last(books: Books) -> None:
    person = await books.person()
    await give(books, person, 100, None, "never")
    await give(books, person, 100, 9 * DAY, "late")
    await give(books, person, 100, DAY, "soon")
    await books.place(person, person, 1, 250)
    await books.settle(person, 250)
    async with books.db.read() as connection:
        rest = await lots.live(connection, person_id=person)
    assert [(lot.remaining, lot.expires_at) for lot in rest] == [(50, None)]


async def test_a_lot_that_lapses_under_a_hold_pays_for_it_and_then_ends(books: Books) -> None:
    person = await books.person()
    await give(books, person, 1_000, DAY)
    await books.place(person, person, 1, 600)
    books.now += 2 * DAY
    async with books.db.transaction() as tx:
        assert await lots.expire_due(tx, now=books.now, limit=1_000) >= 400
    assert await left(books, person) == [("gift", 600)]
    settled = await books.settle(person, 100)
    assert settled is not None
    assert (settled.charged, settled.posted_after, settled.reserved_after) == (100, 0, 0)


async def test_a_hold_takes_what_there_is_and_refuses_what_is_too_little(books: Books) -> None:
    person = await books.person()
    await give(books, person, 300)
    assert (await books.place(person, person * 10, 100, 5_000)).tokens == 300
    with pytest.raises(InsufficientTokens) as refused:
        await books.place(person, person * 10 + 1, 1, 5)
    assert (refused.value.posted, refused.value.reserved, refused.value.needed) == (300, 300, 1)


async def test_whoever_never_had_a_token_is_told_so(books: Books) -> None:
    with pytest.raises(InsufficientTokens) as refused:
        await books.place(await books.person(), 77, 1, 5)
    assert (refused.value.posted, refused.value.reserved) == (0, 0)


async def test_a_hold_is_placed_once_for_each_turn_and_belongs_to_one_person(books: Books) -> None:
    one, other = await books.person(), await books.person()
    for person in (one, other):
        await give(books, person, 500)
    held = await asyncio.gather(*(books.place(one, one, 1, 200) for _ in range(8)))
    assert {hold.tokens for hold in held} == {200}
    assert (await books.place(one, one, 1, 9)).tokens == 200
    with pytest.raises(Conflict):
        await books.place(other, one, 1, 200)
    with pytest.raises(Conflict):
        await books.place(await books.person(), one, 1, 200)
    assert (await books.balance(one)).reserved == 200


async def test_a_hold_is_resolved_by_the_first_of_many(books: Books) -> None:
    person = await books.person()
    await give(books, person, 500)
    await books.place(person, person, 1, 200)
    outcomes = await asyncio.gather(
        *(books.settle(person, 50) for _ in range(6)), *(books.release(person) for _ in "12")
    )
    assert sum(bool(outcome) for outcome in outcomes) == 1
    assert await left(books, person) in ([("gift", 450)], [("gift", 500)])


async def test_an_answer_beyond_its_hold_takes_what_is_free_then_courtesy_then_nothing(books: Books) -> None:
    person = await books.person()
    await give(books, person, 500)
    await books.place(person, person * 10, 1, 100)
    await books.place(person, person * 10 + 1, 1, 300)
    settled = await books.settle(person * 10, 450, courtesy_max=200)
    assert settled is not None
    assert (settled.charged, settled.courtesy, settled.unpaid) == (200, 200, 50)
    assert (settled.posted_after, settled.reserved_after, settled.available_after) == (300, 300, 0)


@pytest.mark.parametrize(("least", "most"), [(0, 5), (-1, 5), (5, 4), (1, 10**12 + 1), (1, -1)])
async def test_a_hold_of_no_sane_amount_is_refused(books: Books, least: int, most: int) -> None:
    person = await books.person()
    await give(books, person, 10)
    with pytest.raises(ValueError, match="tokens"):
        await books.place(person, person, least, most)


@pytest.mark.parametrize("used", [-1, 10**12 + 1, 2**63])
async def test_a_settlement_of_no_sane_amount_is_refused(books: Books, used: int) -> None:
    person = await books.person()
    await give(books, person, 10)
    await books.place(person, person, 1, 5)
    with pytest.raises(ValueError, match="tokens"):
        await books.settle(person, used)
    with pytest.raises(ValueError, match="tokens"):
        await books.settle(person, 1, courtesy_max=used)
    assert await books.release(person)


@pytest.mark.parametrize("tokens", [0, -5, 10**12 + 1])
async def test_a_grant_of_no_sane_amount_is_refused(books: Books, tokens: int) -> None:
    with pytest.raises(ValueError, match="tokens"):
        await give(books, await books.person(), tokens)


@pytest.mark.parametrize("tokens", [True, 1.5, "5", None])
async def test_a_grant_of_what_is_no_number_is_refused(books: Books, tokens: object) -> None:
    with pytest.raises(TypeError):
        await give(books, await books.person(), tokens)  # type: ignore[arg-type]


async def test_the_largest_grants_add_up(books: Books) -> None:
    person = await books.person()
    for number in range(3):
        await give(books, person, 10**12, None, str(number))
    assert (await books.balance(person)).posted == 3 * 10**12 + 1_500


async def test_a_grant_is_made_once_for_each_reference(books: Books) -> None:
    person, other = await books.person(), await books.person()
    first = await give(books, person, 70)
    again = await give(books, person, 70)
    assert (again.id, again.repeated, first.repeated) == (first.id, True, False)
    with pytest.raises(Conflict):
        await give(books, person, 71)
    with pytest.raises(Conflict):
        async with books.db.transaction() as tx:
            await lots.grant(
                tx, person_id=other, tokens=70, kind="gift", ref_type="test", ref_id=f"{person}:one",
                expires_at=None, now=books.now,
            )  # fmt: skip
    assert await left(books, other) == []


async def test_limits_of_a_running_month_stay_when_the_file_changes(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "lite")
    await books.open(PLANS.replace("requests_per_minute = 10", "requests_per_minute = 3"))
    async with books.db.read() as connection:
        kept = await entitlements.current(connection, person_id=person, now=books.now)
        free = await entitlements.current(connection, person_id=person, now=books.now + MONTH)
    assert (kept.plan_id, kept.requests_per_minute) == ("lite", 10)
    assert (free.plan_id, free.requests_per_minute) == ("free", 3)


async def test_looking_as_an_operator_changes_nothing(books: Books) -> None:
    person = await books.person()
    async with books.db.read() as connection:
        seen = await balance.current(connection, person_id=person, now=books.now)
    assert (seen.posted, seen.lots) == (0, ())
    assert await books.scalar("SELECT count(*) FROM accounts WHERE person_id = :id", id=person) == 0


async def test_two_steps_of_a_turn_are_held_and_settled_apart(books: Books) -> None:
    person = await books.person()
    await give(books, person, 500)
    async with books.db.transaction() as tx:
        for step in (0, 1):
            await holds.place(
                tx, person_id=person, turn_id=person, step=step, tokens_min=1, tokens_max=100, now=books.now
            )
        await holds.settle(tx, turn_id=person, step=1, tokens=40, now=books.now)
        assert await holds.release(tx, turn_id=person, step=0, now=books.now)
    assert await left(books, person) == [("gift", 460)]


async def test_settling_finds_its_hold_by_key_however_old_the_books_are(books: Books) -> None:
    scans = "SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_indexes WHERE indexrelname = 'ix_holds_open'"
    person = await books.person()
    await give(books, person, 1_000_000)
    first, answers = person * 10_000, 300
    async with books.db.transaction() as tx:
        for turn in range(first, first + answers):
            await holds.place(tx, person_id=person, turn_id=turn, tokens_min=1, tokens_max=10, now=books.now)
            await holds.settle(tx, turn_id=turn, tokens=5, now=books.now)
    # No hold is open, so the statistics say that the index of open holds is as good as empty.
    await books.run("ANALYZE holds")
    async with books.db.transaction() as tx:
        await tx.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    before = await books.scalar(scans)
    async with books.db.transaction() as tx:
        await holds.place(tx, person_id=person, turn_id=first - 1, tokens_min=1, tokens_max=10, now=books.now)
        await holds.settle(tx, turn_id=first - 1, tokens=5, now=books.now)
        await tx.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    assert await books.scalar(scans) == before
