"""Cases by their rows: what is owed and when, one end, and words that are not kept for ever."""

import asyncio
from datetime import timedelta

import pytest

from billing import cases
from billing.cases import Case, CaseClosed, TooManyCases
from kit.db import Database
from tests.support.books import Books


@pytest.fixture(scope="module")
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open()
    return made


async def opened(books: Books, person: int | None = None) -> Case:
    async with books.db.transaction() as tx:
        return await cases.open_case(
            tx, person_id=person or await books.person(), payment_id=None, text="words", now=books.now
        )


async def due(books: Books) -> list[int]:
    async with books.db.transaction() as tx:
        return [case.id for case in await cases.take_due(tx, now=books.now, limit=100)]


async def test_reminders_come_before_the_promise_ends_when_it_does_and_daily_and_then_end(books: Books) -> None:
    case, began = await opened(books), books.now
    told = []
    for hours in range(0, 24 * 16, 6):
        books.now = began + timedelta(hours=hours)
        told += [hours] * (await due(books)).count(case.id)
    assert told[:4] == [42, 48, 72, 96]
    assert len(told) == cases.REMINDERS_MAX
    late = await opened(books)
    books.now += timedelta(days=5)
    assert (await due(books)).count(late.id) == 1  # what a worker missed that was away is told once
    assert await due(books) == []
    books.now = began


async def test_an_answer_ends_what_is_owed_and_a_word_of_the_person_begins_it_anew(books: Books) -> None:
    case = await opened(books)
    async with books.db.transaction() as tx:
        await cases.answer(tx, case_id=case.id, actor_id=1, text="an answer", now=books.now)
    books.now += timedelta(days=4)
    assert case.id not in await due(books)
    async with books.db.transaction() as tx:
        again = await cases.add(tx, case_id=case.id, person_id=case.person_id, text="but", now=books.now)
    assert again.due_at == books.now + cases.ANSWER_WITHIN


async def test_two_who_close_a_case_close_it_once(books: Books) -> None:
    case = await opened(books)

    async def close(actor: int) -> int:
        async with books.db.transaction() as tx:
            await cases.close(tx, case_id=case.id, actor_id=actor, now=books.now)
            return actor

    ends = await asyncio.gather(*(close(actor) for actor in range(4)), return_exceptions=True)
    assert [type(end) for end in ends].count(CaseClosed) == 3
    winner = next(end for end in ends if isinstance(end, int))
    assert await books.scalar("SELECT closed_by FROM cases WHERE id = :id", id=case.id) == winner
    with pytest.raises(CaseClosed):
        async with books.db.transaction() as tx:
            await cases.add(tx, case_id=case.id, person_id=case.person_id, text="x", now=books.now)


async def test_a_person_opens_so_many_a_day_even_when_they_are_closed_at_once(books: Books) -> None:
    person = await books.person()
    for _ in range(cases.OPENED_A_DAY_MAX):
        case = await opened(books, person)
        async with books.db.transaction() as tx:
            await cases.close(tx, case_id=case.id, actor_id=1, now=books.now)
    with pytest.raises(TooManyCases):
        await opened(books, person)
    books.now += timedelta(days=1, seconds=1)
    await opened(books, person)


async def test_a_quiet_case_is_closed_and_its_words_are_deleted_later(books: Books) -> None:
    case, waiting = await opened(books), await opened(books)
    words = "SELECT count(*) FROM case_messages WHERE case_id = :id"
    async with books.db.transaction() as tx:
        await cases.answer(tx, case_id=case.id, actor_id=1, text="an answer", now=books.now)
    books.now += cases.QUIET_MAX
    async with books.db.transaction() as tx:
        assert await cases.close_quiet(tx, now=books.now, limit=100) >= 1
    for wait, left in ((timedelta(0), 2), (cases.KEEP_WORDS, 0)):
        books.now += wait
        async with books.db.transaction() as tx:
            await cases.purge(tx, now=books.now, limit=1_000)
        assert await books.scalar(words, id=case.id) == left
    assert await books.scalar(words, id=waiting.id) == 1  # nobody has answered it
    status = "SELECT status FROM cases WHERE id = :id"
    assert [await books.scalar(status, id=one.id) for one in (case, waiting)] == ["closed", "open"]
