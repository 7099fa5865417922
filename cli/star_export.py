"""`forma export-stars FROM TO`: the Stars of a period as CSV on the standard output, for the tax office."""

import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from billing import star_export
from cli import embedded
from kit.db import Database
from kit.errors import Misconfigured, Unavailable
from kit.settings import Settings
from kit.words import words


async def print_stars(settings: Settings, first: str, last: str) -> None:
    """Print the table of the days from `first` to `last`, both within. Raises Misconfigured, Unavailable."""
    since, until = period(first, last)
    async with books(settings) as connection:
        table, _ = await star_export.table(connection, since=since, until=until)
    sys.stdout.write(table)


def period(first: str, last: str) -> tuple[datetime, datetime]:
    """Return [since, until) of two days. Raises Misconfigured where they are none."""
    try:
        return star_export.period(first, last)
    except star_export.NoPeriod as refused:
        raise Misconfigured(words("en").say(refused.code)) from None


@contextlib.asynccontextmanager
async def books(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """Open the database for reading, the embedded one too while it runs. Raises Unavailable."""
    own = embedded.Postgres((settings.data_dir or embedded.default_data_dir()).expanduser().resolve())
    if not settings.database_url and not own.running:
        raise Unavailable("postgres", "the embedded one runs with `forma up`")
    db = Database(settings.database_url or own.url(), pool_size=1)
    try:
        async with db.read() as connection:
            yield connection
    finally:
        await db.close()
