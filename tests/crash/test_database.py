"""The pool's own promises when Postgres cuts connections."""

import asyncio

import asyncpg
import pytest
import sqlalchemy as sa

from kit.db import Database
from kit.errors import Unavailable

ONE = sa.text("SELECT 1")


async def cut(database_url: str) -> int:
    """Ends every connection to the database but the one that does so; returns how many."""
    connection = await asyncpg.connect(database_url)
    try:
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    return len(ended)


async def test_connections_that_were_cut_while_idle_are_never_handed_out(database: Database, database_url: str) -> None:
    for _ in range(3):
        async with database.transaction() as first, database.read() as second:
            assert await first.scalar(ONE) == await second.scalar(ONE) == 1
        assert await cut(database_url) == 2
        await asyncio.sleep(0.05)
    async with database.transaction() as tx:
        assert await tx.scalar(ONE) == 1


async def test_a_loss_at_any_statement_is_unavailable(database: Database, database_url: str) -> None:
    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            await asyncio.gather(tx.scalar(sa.text("SELECT pg_sleep(5)")), cut(database_url))

    async def read_twice() -> None:
        async with database.read() as connection:
            await connection.scalar(ONE)
            await cut(database_url)
            await connection.scalar(ONE)

    with pytest.raises(Unavailable):
        await read_twice()


async def test_a_loss_at_the_commit_is_unavailable(database: Database, database_url: str) -> None:
    async def commit_late() -> None:
        async with database.transaction() as tx:
            await tx.scalar(ONE)
            await cut(database_url)

    with pytest.raises(Unavailable):
        await commit_late()


@pytest.mark.parametrize("url", ["postgresql://forma@127.0.0.1:1/forma", "postgresql://forma@/forma?host=/nowhere"])
async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    away = Database(url)
    with pytest.raises(Unavailable):
        async with away.transaction():
            pass
    await away.close()


async def test_an_error_of_a_statement_stays_what_it_is(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        async with database.transaction() as tx:
            await tx.execute(sa.text("SELECT 1 / 0"))
