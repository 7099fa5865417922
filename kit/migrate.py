"""Runs Alembic's migrations on an async connection; one at a time, by an advisory lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection

from kit.db import Database
from kit.errors import Misconfigured

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
LOCK_KEY = 0x464F524D41  # "FORMA"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def upgrade(db: Database, revision: str = "head") -> None:
    """Bring the schema to `revision`; several processes may call this at once.

    Raises Misconfigured for a database of a newer Forma, Unavailable for one that is away.
    """
    with _newer_is_misconfigured():
        await _run(db, lambda connection: command.upgrade(_config(connection), revision))


async def downgrade(db: Database, revision: str) -> None:
    """Take the schema back to `revision` ("base" drops everything). For tests; data is lost."""
    await _run(db, lambda connection: command.downgrade(_config(connection), revision))


async def pending(db: Database) -> list[str]:
    """Return the revisions that the database still lacks, oldest first. Raises as `upgrade` does."""
    script = ScriptDirectory.from_config(_config())

    def read(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with db.bare() as connection:
        current = await connection.run_sync(read)
    with _newer_is_misconfigured():
        return [r.revision for r in reversed(list(script.iterate_revisions("head", current or "base")))]


@contextmanager
def _newer_is_misconfigured() -> Iterator[None]:
    try:
        yield
    except (CommandError, RevisionError) as error:
        raise Misconfigured(
            f"the database was migrated by a newer Forma ({error}): run that version, or restore a backup"
        ) from error


async def _run(db: Database, work: Callable[[Connection], None]) -> None:
    async with db.bare() as holder:
        # Held on a session of its own: Alembic commits per migration, which would end a transaction's lock.
        await holder.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        try:
            async with db.bare() as connection:
                await connection.run_sync(work)
                await connection.commit()
        finally:
            await holder.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
