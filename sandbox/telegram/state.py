"""What the sandbox remembers between two starts: plain records that orjson writes as they are."""

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

Json = dict[str, Any]

BOT_ID_DEFAULT = 42
TOKEN_DEFAULT = "42:SANDBOX"  # noqa: S105  # it opens nothing but this simulation
PERSON_ID_FIRST = 1001
GROUP_ID_FIRST = 5001
SUPERGROUP_BASE = 1_000_000_000_000  # Telegram marks supergroups as -100…: -(10^12 + id)


@dataclass(slots=True)
class Person:
    """Somebody with a Telegram account. `stars` is the balance; `started` and `blocked` concern the bot."""

    id: int
    first_name: str
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None
    is_premium: bool = False
    stars: int = 0
    started: bool = False
    blocked: bool = False

    def user(self) -> Json:
        """The person as Bot API User."""
        user: Json = {"id": self.id, "is_bot": False, "first_name": self.first_name}
        for name in ("last_name", "username", "language_code"):
            if value := getattr(self, name):
                user[name] = value
        if self.is_premium:
            user["is_premium"] = True
        return user

    def chat(self) -> Json:
        """The private chat with the person as Bot API Chat."""
        chat: Json = {"id": self.id, "type": "private", "first_name": self.first_name}
        for name in ("last_name", "username"):
            if value := getattr(self, name):
                chat[name] = value
        return chat


@dataclass(slots=True)
class Group:
    """`members` maps user ids, the bot's too, to creator | administrator | member | left | kicked."""

    id: int
    title: str
    kind: str = "supergroup"
    members: dict[int, str] = field(default_factory=dict)
    migrated_to: int | None = None
    migrated_from: int | None = None

    def chat(self) -> Json:
        """The group as Bot API Chat."""
        return {"id": self.id, "type": self.kind, "title": self.title}


@dataclass(slots=True)
class Stored:
    """A message: `body` is the Bot API Message, the rest is what only people see."""

    body: Json
    reactions: dict[int, str] = field(default_factory=dict)
    rich_source: Json | None = None
    keyboard: Json | None = None
    invoice: str | None = None
    paid_by: list[int] = field(default_factory=list)
    edited: bool = False
    """Its words were changed, not only its buttons: clients say so."""


@dataclass(slots=True)
class Chat:
    """The history of a private chat (id = person's id) or a group. Oldest messages fall out at the bound."""

    id: int
    last_message_id: int = 0
    messages: dict[int, Stored] = field(default_factory=dict)


@dataclass(slots=True)
class Pending:
    """An update that the bot has not confirmed yet; `queued_at` is the sandbox's clock, unix seconds."""

    update_id: int
    queued_at: float
    body: Json


@dataclass(slots=True)
class Webhook:
    """Where updates are posted, and how the last attempts went."""

    url: str
    secret_token: str | None = None
    max_connections: int = 40
    last_error_at: int | None = None
    last_error: str | None = None


@dataclass(slots=True)
class Invoice:
    """Something on sale; `amount` is in Stars. `slug` names the link, for an invoice message too."""

    slug: str
    title: str
    description: str
    payload: str
    amount: int
    subscription_period: int | None = None
    is_link: bool = True
    start_parameter: str = ""

    def view(self) -> Json:
        """The invoice as a payment sheet shows it."""
        return {
            "title": self.title,
            "description": self.description,
            "amount": self.amount,
            "currency": "XTR",
            "subscription_period": self.subscription_period,
            "payload": self.payload,
            "url": f"https://t.me/${self.slug}",
        }


@dataclass(slots=True)
class Payment:
    """One charge in Stars; `date` is unix seconds."""

    charge_id: str
    person_id: int
    amount: int
    payload: str
    date: int
    subscription_id: str | None = None
    refunded: bool = False
    charged_back: bool = False
    affiliate_per_mille: int = 0


@dataclass(slots=True)
class Subscription:
    """`id` is the charge id of the first payment. `retries` counts failed renewals since the last good one."""

    id: str
    person_id: int
    slug: str
    title: str
    payload: str
    amount: int
    period_s: int
    expires_at: int
    state: str = "active"
    canceled_by: str | None = None
    retries: int = 0
    next_try_at: int = 0
    last_charge_id: str = ""


@dataclass(slots=True)
class File:
    """A stored file. Without bytes (`has_bytes` false) it has only a size, which is enough to be too big."""

    file_id: str
    unique_id: str
    path: str
    size: int
    mime_type: str | None = None
    name: str | None = None
    has_bytes: bool = True
    width: int = 0
    height: int = 0


@dataclass(slots=True)
class Bot:
    """The one bot of this server, as BotFather and the setMy… methods left it."""

    id: int = BOT_ID_DEFAULT
    token: str = TOKEN_DEFAULT
    username: str = "forma_sandbox_bot"
    first_name: str = "Forma (sandbox)"
    privacy: bool = True
    stars: int = 0
    nanostars: int = 0
    affiliate_per_mille: int = 0
    commands: dict[str, list[Json]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    short_descriptions: dict[str, str] = field(default_factory=dict)

    def user(self) -> Json:
        """The bot as Bot API User."""
        return {"id": self.id, "is_bot": True, "first_name": self.first_name, "username": self.username}


@dataclass(slots=True)
class State:
    """All that is kept by a snapshot."""

    bot: Bot = field(default_factory=Bot)
    persons: dict[int, Person] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    chats: dict[int, Chat] = field(default_factory=dict)
    pending: deque[Pending] = field(default_factory=deque)
    next_update_id: int = 1
    allowed_updates: list[str] | None = None
    webhook: Webhook | None = None
    invoices: dict[str, Invoice] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    transactions: list[Json] = field(default_factory=list)
    files: dict[str, File] = field(default_factory=dict)
    clock_offset_s: float = 0.0
    serial: int = 0
    last_person_id: int = PERSON_ID_FIRST - 1


Record = TypeVar("Record")


def _record(cls: type[Record], raw: Json) -> Record:
    known = {item.name for item in fields(cls)}  # type: ignore[arg-type]  # every record here is a dataclass
    return cls(**{name: value for name, value in raw.items() if name in known})


def _by_int(cls: type[Record], raw: Json) -> dict[int, Record]:
    return {int(key): _record(cls, value) for key, value in raw.items()}


def _by_str(cls: type[Record], raw: Json) -> dict[str, Record]:
    return {key: _record(cls, value) for key, value in raw.items()}


def load_state(raw: Json) -> State:
    """Reads what orjson wrote of a State; keys of JSON objects become integers again. Raises KeyError, TypeError."""
    chats = _by_int(Chat, raw["chats"])
    for chat in chats.values():
        chat.messages = {int(key): _record(Stored, value) for key, value in _raw(chat.messages).items()}
        for stored in chat.messages.values():
            stored.reactions = {int(key): value for key, value in stored.reactions.items()}
    groups = _by_int(Group, raw["groups"])
    for group in groups.values():
        group.members = {int(key): value for key, value in group.members.items()}
    return State(
        bot=_record(Bot, raw["bot"]),
        persons=_by_int(Person, raw["persons"]),
        groups=groups,
        chats=chats,
        pending=deque(_record(Pending, item) for item in raw["pending"]),
        next_update_id=raw["next_update_id"],
        allowed_updates=raw["allowed_updates"],
        webhook=_record(Webhook, raw["webhook"]) if raw["webhook"] else None,
        invoices=_by_str(Invoice, raw["invoices"]),
        payments=_by_str(Payment, raw["payments"]),
        subscriptions=_by_str(Subscription, raw["subscriptions"]),
        transactions=raw["transactions"],
        files=_by_str(File, raw["files"]),
        clock_offset_s=raw["clock_offset_s"],
        serial=raw["serial"],
        last_person_id=raw["last_person_id"],
    )


def _raw(value: Any) -> Json:
    """A field that still holds the JSON of its records."""
    return value  # type: ignore[no-any-return]
