"""The books are watched: what does not balance is told in the admin group, by the hour or by night, once a day."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import books
from billing import allowance, holds
from tests.e2e.conftest import ADMIN_GROUP
from tests.support.forma import Forma
from tests.support.telegram import Group, Person

NIGHT = datetime(2026, 11, 25, books.NIGHT_HOUR_UTC, 13, tzinfo=UTC)
DAY = NIGHT + timedelta(hours=11)


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person]:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    return group, operator


async def shift(forma: Forma, person: Person, tokens: int) -> None:
    """Somebody writes into a wallet past the ledger."""
    async with forma.app.db.transaction() as tx:
        sql = "UPDATE accounts SET posted = posted + :tokens WHERE person_id = :person"
        await tx.execute(sa.text(sql), {"tokens": tokens, "person": person.id})


async def spend(forma: Forma, person: Person) -> None:
    before = await forma.scalar("SELECT count(*) FROM ledger_tx")
    await person.send("Как дела?")
    await person.wait_for(lambda seen: seen.text, timeout_s=30)
    assert await forma.scalar("SELECT count(*) FROM ledger_tx") > before


async def test_the_hour_looks_at_whoever_moved_and_the_night_at_everybody(
    forma: Forma, room: tuple[Group, Person]
) -> None:
    group, operator = room
    person = await forma.person("ru")
    await spend(forma, person)
    assert await books.check(forma.app, now=DAY) == []
    await shift(forma, person, +7)
    try:
        assert await books.check(forma.app, now=DAY) == []
        found = await books.check(forma.app, now=NIGHT)
        assert {violation.number for violation in found} == {2, 3}
        for name in ("a wallet's posted is the sum of its entries", "the live lots' remaining is the wallet's posted"):
            await operator.wait_for(name, chat=group, timeout_s=30)
        told = "SELECT count(*) FROM outbox WHERE dedup_key LIKE 'invariant:%'"
        once = await forma.scalar(told)
        await books.check(forma.app, now=NIGHT)
        assert (once, await forma.scalar(told)) == (2, 2)
        await spend(forma, person)
        assert {violation.number for violation in await books.check(forma.app, now=DAY)} == {2, 3}
    finally:
        await shift(forma, person, -7)
    assert await books.check(forma.app, now=NIGHT) == []


async def test_after_a_loss_of_redis_everything_is_checked(forma: Forma, room: tuple[Group, Person]) -> None:
    person = await forma.person("ru")
    await spend(forma, person)
    await books.check(forma.app, now=DAY)
    await shift(forma, person, +1)
    try:
        assert await books.check(forma.app, now=DAY) == []
        await forma.app.redis.delete(books.CHECKED_KEY)
        assert await books.check(forma.app, now=DAY) != []
    finally:
        await shift(forma, person, -1)


async def test_a_hold_that_outlives_its_turn_is_named(forma: Forma) -> None:
    person = await forma.person("ru")
    async with forma.app.db.transaction() as tx:
        await allowance.ensure(tx, person_id=person.id, now=forma.app.clock.now())
        await holds.place(tx, person_id=person.id, turn_id=10**9, tokens_min=1, tokens_max=5, now=forma.app.clock.now())
    async with forma.app.db.read() as connection:
        [violation] = await books.violations(connection)
    assert (violation.number, violation.name) == (7, "a hold is open exactly while its turn is")
    assert violation.examples == (f"hold {10**9}: held, its turn is gone",)
    async with forma.app.db.transaction() as tx:
        assert await holds.release(tx, turn_id=10**9, now=forma.app.clock.now())
    async with forma.app.db.read() as connection:
        assert await books.violations(connection) == []
