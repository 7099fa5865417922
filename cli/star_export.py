"""`forma export-stars FROM TO`: the Stars of a period as CSV on the standard output, for the tax office."""

import sys

from billing import star_export
from cli import embedded
from kit.db import Database
from kit.errors import Misconfigured, Unavailable
from kit.settings import Settings
from kit.words import words


async def print_stars(settings: Settings, first: str, last: str) -> None:
    """Print the table of the days from `first` to `last`, both within. Raises Misconfigured, Unavailable."""
    try:
        since, until = star_export.period(first, last)
    except star_export.NoPeriod as refused:
        raise Misconfigured(words("en").say(refused.code)) from None
    own = embedded.Postgres((settings.data_dir or embedded.default_data_dir()).expanduser().resolve())
    if not settings.database_url and not own.running:
        raise Unavailable("postgres", "the embedded one runs with `forma up`")
    db = Database(settings.database_url or own.url(), pool_size=1)
    try:
        async with db.read() as connection:
            table, _ = await star_export.table(connection, since=since, until=until)
    finally:
        await db.close()
    sys.stdout.write(table)
