"""Lines of getStarTransactions read with suspicion: none is dropped, whatever it holds.

The library's own types refuse a whole page for one kind of partner that they do not know yet, and new kinds come with
new versions of the Bot API. So the page is read as JSON, and what is strange is kept as it came.
"""

from datetime import UTC, datetime
from typing import Any, TypeGuard

from aiogram.methods import TelegramMethod

from billing.amounts import MONEY_MAX
from billing.star_transactions import NANO, Direction, Transaction
from kit.db import dumps

ID_CHARS_MAX = 256
WORD_CHARS_MAX = 64
PAYLOAD_CHARS_MAX = 128
RAW_CHARS_MAX = 16_384
UNREADABLE = "unreadable"


class ReadStarTransactions(TelegramMethod[dict[str, Any]]):
    """getStarTransactions, answered as JSON: https://core.telegram.org/bots/api#getstartransactions"""

    __returning__ = dict[str, Any]
    __api_method__ = "getStarTransactions"

    offset: int
    limit: int


def page_of(answer: dict[str, Any], position: int, now: datetime) -> list[Transaction]:
    """Return the lines of a page that begins at `position` of the list. Raises TypeError where there is no list."""
    lines = answer.get("transactions")
    if not isinstance(lines, list):
        raise TypeError("getStarTransactions answered without a list")
    return [_line(raw, position + number, now) for number, raw in enumerate(lines)]


def nanostars_of(amount: dict[str, Any]) -> int:
    """Return a StarAmount, or the amount of a line, in nanostars. Raises ValueError for what no amount can be."""
    stars, nano = amount.get("amount"), amount.get("nanostar_amount") or 0
    if not _is_int(stars) or not _is_int(nano) or abs(stars) > MONEY_MAX or abs(nano) >= NANO:
        raise ValueError("not an amount of Stars")
    return stars * NANO + nano


def _line(raw: Any, position: int, now: datetime) -> Transaction:
    """Return one line; one that cannot be read is kept under its place in the list, for somebody to look at."""
    try:
        return _read(raw)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError):
        kept = {"unreadable": dumps(raw)[:RAW_CHARS_MAX]}
        return Transaction(f"{UNREADABLE}:{position}", "in", 0, 0, UNREADABLE, None, None, None, None, now, kept)


def _read(raw: dict[str, Any]) -> Transaction:
    outgoing = raw.get("receiver")
    partner = outgoing or raw.get("source") or {}
    user = partner.get("user") or {}
    affiliate = partner.get("affiliate")
    direction: Direction = "out" if outgoing else "in"
    kind = _word(partner, "transaction_type", WORD_CHARS_MAX)
    if kind is None and "gift" in partner:
        kind = "gift"
    period_s = partner.get("subscription_period")
    return Transaction(
        transaction_id=_required(raw, "id"),
        direction=direction,
        nanostars=abs(nanostars_of(raw)),
        share_nanostars=abs(nanostars_of(affiliate)) if affiliate else 0,
        partner=_word(partner, "type", WORD_CHARS_MAX) or "none",
        kind=kind,
        person_id=int(user["id"]) if _is_int(user.get("id")) else None,
        payload=_word(partner, "invoice_payload", PAYLOAD_CHARS_MAX),
        period_s=period_s if _is_int(period_s) and 0 < period_s <= MONEY_MAX else None,
        at=datetime.fromtimestamp(int(raw["date"]), UTC),
        raw=_kept(raw),
    )


def _required(raw: dict[str, Any], name: str) -> str:
    word = _word(raw, name, ID_CHARS_MAX)
    if not word:
        raise ValueError(f"a line without {name}")
    return word


def _word(holder: dict[str, Any], name: str, chars_max: int) -> str | None:
    word = holder.get(name)
    if word is None:
        return None
    if not isinstance(word, str) or len(word) > chars_max or "\x00" in word:
        raise ValueError(f"{name} is no word")
    return word


def _kept(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the line as it came, but for people's names: the books know persons by number."""
    text = dumps(_without_names(raw))
    if len(text) > RAW_CHARS_MAX or "\\u0000" in text:
        return {"unreadable": text.replace("\\u0000", "")[:RAW_CHARS_MAX]}
    kept = _without_names(raw)
    assert isinstance(kept, dict)
    return kept


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        if "first_name" in value or "username" in value:
            return {name: value[name] for name in ("id", "is_bot", "type") if name in value}
        return {name: _without_names(item) for name, item in value.items()}
    return [_without_names(item) for item in value] if isinstance(value, list) else value


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
