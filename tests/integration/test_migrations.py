"""The schema: up, down, up, and no drift between the migrations and the tables in the code."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

import app.tables  # noqa: F401
from kit import migrate
from kit.db import Database, metadata


async def test_migrations_run_up_down_and_up_again(database: Database) -> None:
    await migrate.downgrade(database, "base")
    assert await migrate.pending(database) != []
    await migrate.upgrade(database)
    assert await migrate.pending(database) == []


async def test_the_code_describes_the_tables_that_the_migrations_make(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
