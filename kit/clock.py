"""The business clock: periods and expiries are reckoned by it, leases and limits by real time.

Its offset is zero everywhere but in a sandbox-stamped database (kit.stamp), where a whole year can be lived in an
afternoon. SQL never asks the server for the time: it gets `now` as a parameter.
"""

from datetime import UTC, datetime, timedelta


class Clock:
    """Gives timezone-aware UTC instants, moved ahead by `offset`."""

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self.offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset
