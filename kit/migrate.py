"""Runs Alembic's migrations on an async connection; one at a time, by an advisory lock."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from kit.db import Database

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
LOCK_KEY = 0x464F524D41  # "FORMA"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def upgrade(db: Database, revision: str = "head") -> None:
    """Bring the schema to `revision`; several processes may call this at once."""
    await _run(db, lambda connection: command.upgrade(_config(connection), revision))


async def downgrade(db: Database, revision: str) -> None:
    """Take the schema back to `revision` ("base" drops everything). For tests; data is lost."""
    await _run(db, lambda connection: command.downgrade(_config(connection), revision))


async def pending(db: Database) -> list[str]:
    """Return the revisions that the database still lacks, oldest first."""
    script = ScriptDirectory.from_config(_config())

    def read(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with db.engine.connect() as connection:
        current = await connection.run_sync(read)
    return [r.revision for r in reversed(list(script.iterate_revisions("head", current or "base")))]


async def _run(db: Database, work: Callable[[Connection], None]) -> None:
    async with db.engine.connect() as holder:
        # Held on a session of its own: Alembic commits per migration, which would end a transaction's lock.
        await holder.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        try:
            async with db.engine.connect() as connection:
                await connection.run_sync(work)
                await connection.commit()
        finally:
            await holder.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
