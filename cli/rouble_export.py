"""`forma export-roubles FROM TO`: the roubles of a period as CSV on the standard output, for the tax office."""

import sys

from billing import rouble_export
from cli.star_export import books, period
from kit.errors import Misconfigured
from kit.settings import Settings
from kit.words import words


async def print_roubles(settings: Settings, first: str, last: str) -> None:
    """Print the table of the days from `first` to `last`, both within. Raises Misconfigured, Unavailable.

    Sums that are not the ledger's are told on the standard error, beside the table.
    """
    since, until = period(first, last)
    async with books(settings) as connection:
        try:
            table = await rouble_export.table(connection, since=since, until=until)
        except rouble_export.PeriodTooLong as refused:
            raise Misconfigured(words("en").say(refused.code, **refused.params)) from None
    sys.stdout.write(table.text)
    if table.astray:
        sys.stderr.write(f"The sums differ from the ledger by {table.astray} kopecks: run `forma doctor`.\n")
