"""Month arithmetic: anchored, clamped, in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.months import later

INSTANTS = st.integers(0, 90 * 366 * 86_400).map(lambda s: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=s))


def test_a_short_month_is_not_remembered() -> None:
    january = datetime(2027, 1, 31, 9, 30, tzinfo=UTC)
    february = later(january, months=1, anchor_day=31)
    assert february == datetime(2027, 2, 28, 9, 30, tzinfo=UTC)
    assert later(february, months=1, anchor_day=31) == datetime(2027, 3, 31, 9, 30, tzinfo=UTC)


def test_a_leap_day_comes_back_every_four_years() -> None:
    leap = datetime(2028, 2, 29, tzinfo=UTC)
    ends = [later(leap, months=12 * years, anchor_day=29) for years in (1, 4)]
    assert ends == [datetime(2029, 2, 28, tzinfo=UTC), datetime(2032, 2, 29, tzinfo=UTC)]


def test_the_day_is_that_of_utc() -> None:
    moscow = timezone(timedelta(hours=3))
    assert later(datetime(2027, 3, 1, 1, tzinfo=moscow), months=1, anchor_day=28) == datetime(
        2027, 3, 28, 22, tzinfo=UTC
    )


@given(INSTANTS, st.integers(1, 31), st.integers(0, 60), st.integers(0, 60))
def test_steps_add_up_and_months_never_turn_back(at: datetime, anchor: int, one: int, two: int) -> None:
    first = later(at, months=one, anchor_day=anchor)
    assert later(first, months=two, anchor_day=anchor) == later(at, months=one + two, anchor_day=anchor)
    assert later(first, months=1, anchor_day=anchor) > first
    assert later(first, months=1, anchor_day=anchor) - first <= timedelta(days=31)


@pytest.mark.parametrize("anchor", [0, 32, -1])
def test_an_anchor_that_no_month_has_is_refused(anchor: int) -> None:
    with pytest.raises(ValueError, match="no month"):
        later(datetime(2027, 1, 1, tzinfo=UTC), months=1, anchor_day=anchor)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        later(datetime(2027, 1, 1), months=1, anchor_day=1)  # noqa: DTZ001 - the mistake itself
