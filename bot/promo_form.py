"""What the operator writes after `/promo new`: a code and its terms as `name=value`, read without guessing."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from billing import promos
from billing.catalog import Catalog
from billing.promos import Terms

TOKENS_MAX: Final = 10_000_000
DAYS_MAX: Final = 365
PERCENT_MAX: Final = 99
USES_MAX: Final = 1_000_000
_DIGITS_MAX: Final = 12
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class BadForm(Exception):
    """What was written is no promo code; `what` is the piece that was not understood, "" for all of it."""

    def __init__(self, what: str = "") -> None:
        super().__init__(what)
        self.what = what


def read(raw: str, catalog: Catalog, now: datetime) -> tuple[str, Terms]:
    """Return (code, terms); raise BadForm.

    tokens=… days=… is tokens that lapse after days; plan=… days=… is days of a plan; percent=… a percentage.
    """
    code, *pieces = raw.split() or [""]
    if not promos.key_of(code):
        raise BadForm(code)
    values: dict[str, Any] = {}
    for piece in pieces:
        name, _, value = piece.partition("=")
        understood = _NAMES[name](value, catalog) if name in _NAMES and name not in values else None
        if understood is None:
            raise BadForm(piece)
        values[name] = understood
    return promos.shown_as(code), _terms(values, now)


def _terms(values: dict[str, Any], now: datetime) -> Terms:
    begins, ends = values.get("from"), values.get("until")
    if (ends is not None and ends <= now) or (begins is not None and ends is not None and ends <= begins):
        raise BadForm("until")
    limits = Terms(
        kind="percent",
        uses_max=values.get("uses"),
        first_purchase=values.get("first", False),
        valid_from=begins,
        valid_until=ends,
    )
    given = set(values) - {"uses", "first", "from", "until"}
    if given == {"tokens", "days"}:
        return replace(limits, kind="tokens", tokens=values["tokens"], days=values["days"])
    if given == {"plan", "days"}:
        return replace(limits, kind="days", plan_id=values["plan"], days=values["days"])
    if given in ({"percent"}, {"percent", "plans"}):
        return replace(limits, percent=values["percent"], plans=values.get("plans"))
    raise BadForm


def _number(most: int) -> Callable[[str, Catalog], int | None]:
    def read_number(value: str, _: Catalog) -> int | None:
        digits = value.replace("_", "")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS_MAX):
            return None
        return int(digits) if 1 <= int(digits) <= most else None

    return read_number


def _plan(value: str, catalog: Catalog) -> str | None:
    plan = catalog.plan(value)
    return value if plan and plan.kind == "subscription" else None


def _plans(value: str, catalog: Catalog) -> tuple[str, ...] | None:
    ids = tuple(value.split(","))
    sold = {plan.id for plan in (*catalog.on_sale("XTR"), *catalog.on_sale("RUB"))}
    return ids if set(ids) <= sold else None


def _day(value: str, _: Catalog) -> datetime | None:
    """The midnight (UTC) that a day begins with."""
    if not _DATE.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    except ValueError:
        return None


def _day_after(value: str, catalog: Catalog) -> datetime | None:
    """The midnight (UTC) that a day ends with: the day itself counts."""
    day = _day(value, catalog)
    return day + timedelta(days=1) if day and day.year < 9_999 else None


def _first(value: str, _: Catalog) -> bool | None:
    return True if not value else None


_NAMES: Final[dict[str, Callable[[str, Catalog], Any]]] = {
    "tokens": _number(TOKENS_MAX),
    "days": _number(DAYS_MAX),
    "percent": _number(PERCENT_MAX),
    "uses": _number(USES_MAX),
    "plan": _plan,
    "plans": _plans,
    "from": _day,
    "until": _day_after,
    "first": _first,
}
