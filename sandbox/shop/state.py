"""What the shop remembers between two starts: plain records that orjson writes as they are.

Money is kopecks. Times are milliseconds since the epoch by the shop's clock, whose names end in `_ms`.
"""

import secrets
import time
from collections import deque
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

Json = dict[str, Any]

SHOP_ID_DEFAULT = "100500"
SECRET_KEY_DEFAULT = "test_SANDBOX"  # noqa: S105  # it opens nothing but this simulation
GATEWAY_ID = "100700"
EPOCH_2000_S = 946_684_800  # YooKassa's ids begin with the seconds since 2000


@dataclass(slots=True)
class Payment:
    """One payment. `amount` is what is asked, after a partial capture what was taken; `holder` is the method's id.

    `due_ms` is when it is given up while pending or waiting, or, with `answer` set, when the bank's answer comes.
    """

    id: str
    serial: int
    created_ms: int
    amount: int
    capture: bool
    save: bool
    status: str = "pending"
    method_type: str | None = None
    holder: str | None = None
    return_url: str | None = None
    description: str | None = None
    metadata: Json = field(default_factory=dict)
    merchant_customer_id: str | None = None
    receipt: Json | None = None
    receipt_registration: str | None = None
    captured_ms: int | None = None
    due_ms: int | None = None
    answer: str | None = None
    party: str | None = None
    reason: str | None = None
    refunded: int = 0
    reserved: int = 0
    auth: Json | None = None
    asks_3ds: bool = False

    @property
    def refundable(self) -> int:
        """What can still be given back, pending refunds taken off."""
        return self.amount - self.refunded - self.reserved if self.status == "succeeded" else 0


@dataclass(slots=True)
class Method:
    """A card or an SBP account. `decline` is the reason that the next charges get, `declines_left` how many of them
    (None: all); `revoked` says that its owner forbade charges, `agreed` that they let it be saved. A binding has a page
    of its own until `due_ms`."""

    id: str
    type: str
    created_ms: int
    status: str = "pending"
    saved: bool = False
    title: str | None = None
    card: Json | None = None
    decline: str | None = None
    declines_left: int | None = None
    answer_after_s: float = 0.0
    revoked: bool = False
    return_url: str | None = None
    metadata: Json = field(default_factory=dict)
    due_ms: int | None = None
    card_number: str | None = None
    asks_3ds: bool = False
    agreed: bool = False


@dataclass(slots=True)
class Refund:
    """One refund; pending until `due_ms`."""

    id: str
    serial: int
    created_ms: int
    payment_id: str
    amount: int
    status: str = "pending"
    description: str | None = None
    metadata: Json = field(default_factory=dict)
    receipt: Json | None = None
    receipt_registration: str | None = None
    due_ms: int | None = None
    answer: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class Receipt:
    """One fiscal receipt, registered apart from the money; pending until `due_ms`."""

    id: str
    serial: int
    created_ms: int
    type: str
    payment_id: str
    refund_id: str | None
    body: Json
    own: bool
    status: str = "pending"
    due_ms: int | None = None
    answer: str | None = None
    fiscal: Json | None = None


@dataclass(slots=True)
class KeyUse:
    """What an Idempotence-Key was used for first: the fingerprint of the request, and the object that it made."""

    fingerprint: str
    kind: str
    object_id: str
    used_ms: int


@dataclass(slots=True)
class Notification:
    """One message to the merchant. `state` is pending, delivered, given_up, dropped, held or no_url; `alone` keeps it
    from being sent at the same time as others."""

    serial: int
    event: str
    object_id: str
    body: Json
    created_ms: int
    next_ms: int
    state: str = "pending"
    attempts: int = 0
    last_error: str | None = None
    alone: bool = False


@dataclass(slots=True)
class Settings:
    """How the shop behaves until told otherwise; the control API changes it. Seconds are the shop's clock's.

    `forwarded_for` is the X-Forwarded-For of its notifications, as a proxy in front of the merchant would add it.
    """

    notification_url: str | None = None
    forwarded_for: str | None = None
    refund_after_s: float = 0.0
    refund_decline: str | None = None
    receipt_after_s: float = 0.0
    receipt_decline: bool = False


@dataclass(slots=True)
class State:
    """Everything that is written to the snapshot."""

    shop_id: str = SHOP_ID_DEFAULT
    secret_key: str = SECRET_KEY_DEFAULT
    payments: dict[str, Payment] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    keys: dict[str, KeyUse] = field(default_factory=dict)
    notifications: deque[Notification] = field(default_factory=deque)
    settings: Settings = field(default_factory=Settings)
    clock_offset_s: float = 0.0
    serial: int = 0


Record = TypeVar("Record")


def _record(cls: type[Record], raw: Json) -> Record:
    known = {item.name for item in fields(cls)}  # type: ignore[arg-type]  # every record here is a dataclass
    return cls(**{name: value for name, value in raw.items() if name in known})


def _by_id(cls: type[Record], raw: Json) -> dict[str, Record]:
    return {key: _record(cls, value) for key, value in raw.items()}


def load_state(raw: Json) -> State:
    """Reads what orjson wrote of a State. Raises KeyError, TypeError."""
    return State(
        shop_id=raw["shop_id"],
        secret_key=raw["secret_key"],
        payments=_by_id(Payment, raw["payments"]),
        methods=_by_id(Method, raw["methods"]),
        refunds=_by_id(Refund, raw["refunds"]),
        receipts=_by_id(Receipt, raw["receipts"]),
        keys=_by_id(KeyUse, raw["keys"]),
        notifications=deque(_record(Notification, item) for item in raw["notifications"]),
        settings=_record(Settings, raw["settings"]),
        clock_offset_s=raw["clock_offset_s"],
        serial=raw["serial"],
    )


def money(kopecks: int) -> Json:
    """An amount as YooKassa writes it."""
    return {"value": f"{kopecks // 100}.{kopecks % 100:02d}", "currency": "RUB"}


def stamp(at_ms: int) -> str:
    """A time as YooKassa writes it: ISO 8601, milliseconds, Z."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def new_id(kind: str, at_ms: int) -> str:
    """An id of YooKassa's shape, 36 characters: seconds since 2000, a mark of the kind, and chance."""
    seconds = (at_ms // 1000 - EPOCH_2000_S) & 0xFFFF_FFFF
    return f"{seconds:08x}-{kind}-5000-8000-{secrets.token_hex(6)}"


def wall_ms() -> int:
    """The machine's time in ms."""
    return time.time_ns() // 1_000_000
