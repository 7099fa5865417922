"""Months of a subscription: reckoned from its anchor day, clamped to the length of each month, in UTC.

31 January, 28 February, 31 March: the anchor is kept apart from the dates, so that a short month is not remembered.
"""

import calendar
from datetime import UTC, datetime


def later(at: datetime, *, months: int, anchor_day: int) -> datetime:
    """Return the instant `months` after the month of `at`, on the anchor day (1 to 31) or the month's last one.

    The time of day stays. Raises ValueError for a naive time, or for an anchor that no month has.
    """
    if at.tzinfo is None:
        raise ValueError("months are reckoned in UTC: the time has no zone")
    if not 1 <= anchor_day <= 31:
        raise ValueError(f"no month has a day {anchor_day}")
    at = at.astimezone(UTC)
    years, month = divmod(at.month - 1 + months, 12)
    year = at.year + years
    return at.replace(year=year, month=month + 1, day=min(anchor_day, calendar.monthrange(year, month + 1)[1]))
