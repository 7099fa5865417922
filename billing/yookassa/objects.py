"""What YooKassa answers, as values of our own: amounts in kopecks, times aware and in UTC.

The SDK's response models read the form, so that a field which YooKassa renames or retypes is noticed; amounts are taken
from the text itself, since the model's way leads through a float. Whatever cannot be read is a ValueError: the client
makes an unknown result of it, never a guess.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypeVar

from billing.amounts import MONEY_MAX

Status = Literal["pending", "waiting_for_capture", "succeeded", "canceled"]
STATUSES: Final = ("pending", "waiting_for_capture", "succeeded", "canceled")
RUB: Final = "RUB"
ID_LENGTH_MAX: Final = 64
_AMOUNT: Final = re.compile(r"(\d{1,10})\.(\d{2})")
_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{ID_LENGTH_MAX}}}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A means of payment that may be charged again: `title` is what its owner knows it by ("Bank card *4444")."""

    id: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment at YooKassa. `kopecks` were asked for; `refunded_kopecks` went back.

    `confirmation_url`: where the person pays, while it waits for that. `reason` and `party`: why it was canceled, and
    by whom. `account_id`: the shop that gets the money, "" where it is not told. `receipt`: how its receipt stands.
    """

    id: str
    status: Status
    kopecks: int
    currency: str
    refunded_kopecks: int
    created_at: datetime
    captured_at: datetime | None
    confirmation_url: str
    reason: str
    party: str
    account_id: str
    receipt: str
    metadata: dict[str, str]
    saved_method: SavedMethod | None


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund at YooKassa of `kopecks` of a payment. `metadata`: what our request carried."""

    id: str
    payment_id: str
    status: Status
    kopecks: int
    currency: str
    created_at: datetime
    reason: str
    receipt: str
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, the newest first; `next_cursor` leads on, "" at the end."""

    items: tuple[T, ...]
    next_cursor: str


def payment(raw: Any) -> Payment:
    """Read a payment. Raises ValueError."""
    from yookassa.domain.response.payment_response import PaymentResponse

    model = _model(PaymentResponse, raw)
    kopecks, currency = _amount(raw, "amount")
    refunded = _amount(raw, "refunded_amount")[0] if raw.get("refunded_amount") else 0
    details, recipient = model.cancellation_details, model.recipient
    return Payment(
        id=_id(model.id),
        status=_status(model.status),
        kopecks=kopecks,
        currency=currency,
        refunded_kopecks=refunded,
        created_at=_time(model.created_at),
        captured_at=_time(model.captured_at) if model.captured_at else None,
        confirmation_url=str(getattr(model.confirmation, "confirmation_url", None) or ""),
        reason=_reason(raw),
        party=str(details.party or "") if details else "",
        account_id=str(recipient.account_id or "") if recipient else "",
        receipt=str(model.receipt_registration or ""),
        metadata=_metadata(raw),
        saved_method=_saved_method(raw.get("payment_method")),
    )


def refund(raw: Any) -> Refund:
    """Read a refund. Raises ValueError."""
    from yookassa.domain.response.refund_response import RefundResponse

    model = _model(RefundResponse, raw)
    kopecks, currency = _amount(raw, "amount")
    return Refund(
        id=_id(model.id),
        payment_id=_id(model.payment_id),
        status=_status(model.status),
        kopecks=kopecks,
        currency=currency,
        created_at=_time(model.created_at),
        reason=_reason(raw),
        receipt=str(raw.get("receipt_registration") or ""),
        metadata=_metadata(raw),
    )


def page(raw: Any, read: Callable[[Any], T]) -> Page[T]:
    """Read a list of what `read` reads. Raises ValueError."""
    if not isinstance(raw, dict) or raw.get("type") != "list" or not isinstance(raw.get("items"), list):
        raise ValueError("not a list")
    cursor = raw.get("next_cursor")
    return Page(tuple(read(item) for item in raw["items"]), cursor if isinstance(cursor, str) else "")


def rendered(kopecks: int) -> dict[str, str]:
    """Return an amount of roubles in YooKassa's form."""
    return {"value": f"{kopecks // 100}.{kopecks % 100:02}", "currency": RUB}


def is_id(value: Any) -> bool:
    """Tell whether a value can be an id of YooKassa's: what comes from outside is put into an address only then."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _model(kind: type[Any], raw: Any) -> Any:
    if not isinstance(raw, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the caller knows one error
    try:
        return kind(raw)
    except (TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"not in the model's form: {type(error).__name__}") from error


def _amount(raw: dict[str, Any], name: str) -> tuple[int, str]:
    amount = raw.get(name)
    found = _AMOUNT.fullmatch(str(amount.get("value"))) if isinstance(amount, dict) else None
    if found is None or not isinstance(amount, dict):
        raise ValueError(f"{name} is no amount")
    kopecks = int(found[1]) * 100 + int(found[2])
    if kopecks > MONEY_MAX:
        raise ValueError(f"{name} is beyond all prices")
    return kopecks, str(amount.get("currency"))


def _id(value: Any) -> str:
    if not is_id(value):
        raise ValueError("not an id")
    return str(value)


def _status(value: Any) -> Status:
    if value not in STATUSES:
        raise ValueError(f"unknown status {str(value)[:32]!r}")
    status: Status = value
    return status


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC)


def _metadata(raw: dict[str, Any]) -> dict[str, str]:
    found = raw.get("metadata")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _reason(raw: dict[str, Any]) -> str:
    """The reason as it was sent: the SDK knows those of its day, and calls each newer one unknown."""
    details = raw.get("cancellation_details")
    return str(details.get("reason") or "")[:64] if isinstance(details, dict) else ""


def _saved_method(raw: Any) -> SavedMethod | None:
    if not isinstance(raw, dict) or raw.get("saved") is not True or not is_id(raw.get("id")):
        return None
    return SavedMethod(raw["id"], str(raw.get("type") or ""), str(raw.get("title") or "")[:128])
