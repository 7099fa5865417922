"""Lists: the newest first, filtered, in pages of at most 100, each with a cursor to the next."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.shop.errors import invalid
from sandbox.shop.state import Json

LIMIT_DEFAULT, LIMIT_MAX = 10, 100
BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gte": lambda at, bound: at >= bound,
    "gt": lambda at, bound: at > bound,
    "lte": lambda at, bound: at <= bound,
    "lt": lambda at, bound: at < bound,
}
STATUSES = {
    "payments": frozenset({"pending", "waiting_for_capture", "succeeded", "canceled"}),
    "refunds": frozenset({"pending", "succeeded", "canceled"}),
    "receipts": frozenset({"pending", "succeeded", "canceled"}),
}
TIMES = {
    "payments": {"created_at": "created_ms", "captured_at": "captured_ms"},
    "refunds": {"created_at": "created_ms"},
    "receipts": {"created_at": "created_ms"},
}
EQUALS = {
    "payments": {"payment_method": "method_type"},
    "refunds": {"payment_id": "payment_id"},
    "receipts": {"payment_id": "payment_id", "refund_id": "refund_id"},
}
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+ -]\d{2}:\d{2})?", re.ASCII)

Test = Callable[[Any], bool]


def _read_time(raw: str, name: str) -> int:
    """Milliseconds of an ISO 8601 time; without a zone it is UTC. Raises ApiError."""
    if not _TIME.fullmatch(raw):
        raise invalid("A time such as 2026-11-25T10:30:00.000Z is expected", name)
    try:
        moment = datetime.fromisoformat(raw.replace(" ", "+"))  # a bare + in a query is a space
    except ValueError as error:
        raise invalid("There is no such time", name) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _time_test(field: str, bound: str, at_ms: int) -> Test:
    holds = BOUNDS[bound]

    def test(record: Any) -> bool:
        value = getattr(record, field)
        return value is not None and holds(value, at_ms)

    return test


def _equal_test(field: str, wanted: str) -> Test:
    return lambda record: getattr(record, field) == wanted


def _tests(kind: str, query: Mapping[str, str]) -> tuple[list[Test], int]:
    """The conditions of a query, and the earliest created_ms that can meet them."""
    tests: list[Test] = []
    earliest_ms = 0
    for name, raw in query.items():
        if name in {"limit", "cursor"}:
            continue
        field, _, bound = name.partition(".")
        if bound in BOUNDS and field in TIMES[kind]:
            at_ms = _read_time(raw, name)
            tests.append(_time_test(TIMES[kind][field], bound, at_ms))
            # Nothing is captured before it is created, but it may be created long before it is captured.
            if field == "created_at" and bound in {"gte", "gt"}:
                earliest_ms = max(earliest_ms, at_ms)
        elif name == "status":
            if raw not in STATUSES[kind]:
                raise invalid("Unknown status", name)
            tests.append(_equal_test("status", raw))
        elif name in EQUALS[kind]:
            tests.append(_equal_test(EQUALS[kind][name], raw))
        else:
            raise invalid("There is no such filter", name)
    return tests, earliest_ms


def _limit(query: Mapping[str, str]) -> int:
    raw = query.get("limit", str(LIMIT_DEFAULT))
    if not re.fullmatch(r"[0-9]{1,3}", raw) or not 1 <= int(raw) <= LIMIT_MAX:
        raise invalid(f"limit is 1 to {LIMIT_MAX}", "limit")
    return int(raw)


def _cursor_of(serial: int) -> str:
    return base64.urlsafe_b64encode(f"after:{serial}".encode()).decode().rstrip("=")


def _read_cursor(raw: str) -> int:
    try:
        text = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid("This cursor was not given out", "cursor") from error
    found = re.fullmatch(r"after:([0-9]{1,15})", text)
    if found is None:
        raise invalid("This cursor was not given out", "cursor")
    return int(found[1])


def page(kind: str, newest_first: Iterable[Any], query: Mapping[str, str], view: Callable[[Any], Json]) -> Json:
    """One page. What was created after the first page was asked for does not move the pages. Raises ApiError."""
    tests, earliest_ms = _tests(kind, query)
    limit = _limit(query)
    below = _read_cursor(query["cursor"]) if "cursor" in query else None
    items: list[Json] = []
    last_serial = 0
    for record in newest_first:
        if record.created_ms < earliest_ms:
            break
        if (below is not None and record.serial >= below) or not all(test(record) for test in tests):
            continue
        if len(items) == limit:
            return {"type": "list", "items": items, "next_cursor": _cursor_of(last_serial)}
        items.append(view(record))
        last_serial = record.serial
    return {"type": "list", "items": items}
