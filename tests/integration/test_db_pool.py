"""The pool: connections are kept and lent again, never to two at once, and the limit on them is kept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection

import kit.db
from kit.db import POOL_SIZE, Database
from kit.errors import Unavailable

PID = sa.text("SELECT pg_backend_pid()")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    yield db
    await db.close()


async def pid(connection: AsyncConnection) -> int:
    return int((await connection.execute(PID)).scalar_one())


async def write(db: Database) -> int:
    async with db.transaction() as tx:
        return await pid(tx)


async def read(db: Database) -> int:
    async with db.read() as connection:
        return await pid(connection)


async def everybody(db: Database) -> set[int]:
    """The servers' processes of as many transactions at once as there may be."""
    inside, enough = 0, asyncio.Event()

    async def one() -> int:
        nonlocal inside
        async with db.transaction() as tx:
            inside += 1
            if inside == POOL_SIZE:
                enough.set()
            await enough.wait()
            return await pid(tx)

    async with asyncio.timeout(10):
        return set(await asyncio.gather(*(one() for _ in range(POOL_SIZE))))


async def test_what_was_opened_for_a_rush_is_kept_for_the_next(db: Database) -> None:
    first = await everybody(db)
    assert len(first) == POOL_SIZE
    assert await everybody(db) == first


async def test_many_more_than_connections_take_turns(db: Database) -> None:
    pids = await asyncio.gather(*(write(db) if number % 3 else read(db) for number in range(15 * POOL_SIZE)))
    assert len(set(pids)) <= POOL_SIZE


async def test_who_waits_too_long_is_told(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.db, "POOL_WAIT_S", 0.1)
    db = Database(database_url)
    async with contextlib.AsyncExitStack() as all_of_them:
        for _ in range(POOL_SIZE):
            await all_of_them.enter_async_context(db.transaction())
        for ask in (write, read):
            with pytest.raises(Unavailable, match="postgres"):
                await ask(db)
    assert await write(db)
    await db.close()


async def test_a_transaction_is_over_for_who_keeps_hold_of_it(db: Database) -> None:
    async with db.transaction() as kept:
        await kept.execute(PID)
    async with db.transaction() as tx:
        with pytest.raises(InvalidRequestError):
            await kept.execute(PID)
        assert await pid(tx)


async def test_a_connection_that_the_server_closed_while_it_was_ready_is_replaced(db: Database) -> None:
    ready = await write(db)
    other = Database(db.url, pool_size=1)
    async with other.transaction() as tx:
        await tx.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ready})
    await other.close()
    await asyncio.sleep(0.1)
    assert await write(db) != ready


async def test_nothing_of_a_transaction_that_failed_reaches_the_next(db: Database) -> None:
    await write(db)

    async def fail() -> None:
        async with db.transaction() as tx:
            await tx.execute(sa.text("SET LOCAL statement_timeout = 77"))
            await tx.execute(sa.text("SELECT 1 / 0"))

    for _ in range(3):
        with pytest.raises(DBAPIError):
            await fail()
        async with db.transaction() as tx:
            assert (await tx.execute(sa.text("SHOW statement_timeout"))).scalar_one() == "30s"


async def test_one_who_is_cancelled_inside_or_before_takes_no_connection_away(db: Database) -> None:
    async def sleep() -> None:
        async with db.transaction() as tx:
            await tx.execute(sa.text("SELECT pg_sleep(20)"))

    tasks = [asyncio.create_task(sleep()) for _ in range(POOL_SIZE + 5)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))
    assert len(await everybody(db)) == POOL_SIZE
