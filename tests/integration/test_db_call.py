"""Statements that go past SQLAlchemy: committed, refused and lost like all others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from kit.db import Database, call
from kit.errors import Unavailable

ADD = "INSERT INTO call_rows VALUES ($1) RETURNING number"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """One connection, so that what a call leaves behind is what the next one finds."""
    db = Database(database_url, pool_size=1)
    async with db.transaction() as tx:
        await tx.execute(sa.text("DROP TABLE IF EXISTS call_rows"))
        await tx.execute(sa.text("CREATE TABLE call_rows (number integer PRIMARY KEY)"))
    yield db
    await db.close()


async def rows(db: Database) -> list[int]:
    async with db.read() as connection:
        return list((await connection.execute(sa.text("SELECT number FROM call_rows ORDER BY 1"))).scalars())


async def calls(db: Database, *statements: tuple[str, int] | tuple[str]) -> None:
    """Several calls in one transaction."""
    async with db.transaction() as tx:
        for statement, *values in statements:
            await call(tx, statement, *values)


async def test_a_call_alone_in_its_transaction_is_committed(db: Database) -> None:
    async with db.transaction() as tx:
        assert (await call(tx, ADD, 1))["number"] == 1
    assert await rows(db) == [1]


async def test_an_error_takes_back_calls_and_statements_alike(db: Database) -> None:
    async def stumble() -> None:
        async with db.transaction() as tx:
            await call(tx, ADD, 1)
            await tx.execute(sa.text("INSERT INTO call_rows VALUES (2)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stumble()
    assert await rows(db) == []


async def test_a_savepoint_takes_back_the_calls_since(db: Database) -> None:
    async with db.transaction() as tx:
        await call(tx, ADD, 1)
        with contextlib.suppress(DBAPIError):
            async with tx.begin_nested():
                await call(tx, ADD, 2)
                await call(tx, ADD, 1)
        await call(tx, ADD, 3)
    assert await rows(db) == [1, 3]


async def test_a_refused_call_says_why_and_quotes_no_values(db: Database) -> None:
    with pytest.raises(DBAPIError) as refused:
        await calls(db, (ADD, 77), (ADD, 77))
    assert refused.value.orig.sqlstate == "23505"
    assert "[parameters" not in str(refused.value)
    assert await rows(db) == []


async def test_a_connection_lost_in_a_call_is_unavailable_and_replaced(db: Database) -> None:
    with pytest.raises(Unavailable):
        await calls(db, (ADD, 1), ("SELECT pg_terminate_backend(pg_backend_pid())",))
    await calls(db, (ADD, 2))
    assert await rows(db) == [2]


async def test_a_call_that_is_cancelled_leaves_nothing_behind(db: Database) -> None:
    async def sleep() -> None:
        async with db.transaction() as tx:
            await call(tx, ADD, 1)
            await call(tx, "SELECT pg_sleep(20)")

    task = asyncio.create_task(sleep())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5), db.transaction() as tx:
        await call(tx, ADD, 1)
    assert await rows(db) == [1]


async def test_a_function_replaced_under_a_running_process_is_found_at_the_next_try(db: Database) -> None:
    async def answer() -> dict[str, object]:
        async with db.transaction() as tx:
            return dict(await call(tx, "SELECT * FROM call_answer($1)", 1))

    async def replace(outs: str, body: str) -> None:
        other = Database(db.url, pool_size=1)
        async with other.transaction() as tx:
            await tx.execute(sa.text("DROP FUNCTION IF EXISTS call_answer"))
            made = f"CREATE FUNCTION call_answer(p integer, {outs}) LANGUAGE sql AS $$ SELECT {body} $$"
            await tx.exec_driver_sql(made)
        await other.close()

    await replace("OUT a integer", "p")
    assert await answer() == {"a": 1}
    await replace("OUT a integer, OUT b text", "p, 'new'")
    with pytest.raises(Unavailable):
        await answer()
    assert await answer() == {"a": 1, "b": "new"}
