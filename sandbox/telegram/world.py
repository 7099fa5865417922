"""Everything that one sandbox Telegram holds while it runs; the other modules are verbs on it."""

import asyncio
import itertools
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.telegram.calls import CallLog
from sandbox.telegram.events import Events
from sandbox.telegram.faults import Faults
from sandbox.telegram.files import Files
from sandbox.telegram.limits import Limits, Rates
from sandbox.telegram.snapshot import Snapshot, read_snapshot
from sandbox.telegram.state import Json, Person, State
from sandbox.telegram.updates import Updates
from sandbox.telegram.webhook import WebhookDelivery

QUERIES_MAX = 5_000
CALLBACK_ANSWER_S = 30.0
DRAFT_LIVES_S = 30.0
ACTION_LIVES_S = 5.0

# A reset keeps these: a bot that is running relies on them, and a database knows the ids that were given before.
_KEPT = frozenset({"bot", "webhook", "allowed_updates", "next_update_id", "last_person_id", "serial"})


@dataclass(slots=True)
class Draft:
    """What streams into a private chat now; `expires_at` is monotonic seconds."""

    draft_id: int
    content: Json
    can_stop: bool
    keep_on_stop: bool
    expires_at: float
    stopped: bool = False

    def view(self) -> Json:
        """The draft as the person sees it."""
        return {
            "draft_id": self.draft_id,
            "text": self.content.get("text"),
            "entities": self.content.get("entities", []),
            "rich_message": self.content.get("rich_message"),
            "can_stop": self.can_stop and not self.stopped,
            "keep_on_stop": self.keep_on_stop,
            "stopped": self.stopped,
            "expires_in_s": round(max(0.0, self.expires_at - time.monotonic()), 3),
        }


@dataclass(slots=True)
class CallbackQuery:
    """A press that the bot may still answer; `until` is monotonic seconds."""

    person_id: int
    chat_id: int
    until: float


@dataclass(slots=True)
class Checkout:
    """A pre_checkout_query that waits for the bot: `answer` becomes (ok, error words)."""

    person_id: int
    answer: "asyncio.Future[tuple[bool, str | None]]" = field(default_factory=asyncio.Future)


class World:
    """State, queues and rules of one server. Not thread-safe: one event loop uses it."""

    def __init__(
        self,
        *,
        data: Path | None = None,
        rates: Rates | None = None,
        token: str | None = None,
        username: str | None = None,
    ) -> None:
        kept = read_snapshot(data / "telegram.json") if data is not None else None
        self.state = kept or State()
        self._identity = (token, username)
        self._identify()
        self.rates_at_start = rates or Rates()
        self.events = Events()
        self.faults = Faults()
        self.calls = CallLog()
        self.limits = Limits(Rates(**_values(self.rates_at_start)))
        self.updates = Updates(self.state, self.events, self.now, self.changed, self.faults)
        self.webhook = WebhookDelivery(self.updates, self.faults)
        self.files = Files(self.state, data / "files" if data is not None else None)
        self.snapshot = Snapshot(self.state, data / "telegram.json") if data is not None else None
        self.drafts: dict[int, Draft] = {}
        self.stopped_drafts: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.actions: dict[int, tuple[str, float]] = {}
        self.queries: OrderedDict[str, CallbackQuery] = OrderedDict()
        self.checkouts: dict[str, Checkout] = {}
        self.whispers = 0
        self._ids = itertools.count(int(time.time() * 1000))

    def _identify(self) -> None:
        token, username = self._identity
        bot = self.state.bot
        if token is not None:
            bot.token, bot.id = token, int(token.partition(":")[0])
        if username is not None:
            bot.username = username

    def now(self) -> float:
        """The sandbox's clock, unix seconds."""
        return time.time() + self.state.clock_offset_s

    def changed(self) -> None:
        """Says that the state is worth writing."""
        if self.snapshot is not None:
            self.snapshot.touch()

    def fresh_id(self) -> str:
        """An id that no other query or charge of this server has."""
        return str(next(self._ids))

    def remember_query(self, person_id: int, chat_id: int) -> str:
        """Opens a callback query and answers its id."""
        query_id = self.fresh_id()
        self.queries[query_id] = CallbackQuery(person_id, chat_id, time.monotonic() + CALLBACK_ANSWER_S)
        while len(self.queries) > QUERIES_MAX:
            self.queries.popitem(last=False)
        return query_id

    def drop_draft(self, chat_id: int, reason: str) -> None:
        """Takes the chat's draft away, if there is one."""
        draft = self.drafts.pop(chat_id, None)
        if draft is not None:
            self.events.publish("draft_gone", chat_id, draft_id=draft.draft_id, reason=reason)

    def sweep(self) -> None:
        """Ends drafts whose 30 s are over; called a few times a second."""
        now = time.monotonic()
        for chat_id in [chat_id for chat_id, draft in self.drafts.items() if draft.expires_at <= now]:
            self.drop_draft(chat_id, "expired")

    def person(self, person_id: int) -> Person | None:
        """The person with this id."""
        return self.state.persons.get(person_id)

    def reset(self) -> None:
        """Empties everything but the bot: it runs on, with its commands, its webhook and its offset."""
        fresh = State()
        for name in State.__dataclass_fields__.keys() - _KEPT:
            setattr(self.state, name, getattr(fresh, name))
        self.state.bot.stars = self.state.bot.nanostars = self.state.bot.affiliate_per_mille = 0
        for checkout in self.checkouts.values():
            checkout.answer.cancel()
        for kept in (self.drafts, self.stopped_drafts, self.actions, self.queries, self.checkouts):
            kept.clear()
        self.faults.rules.clear()
        self.calls.clear()
        self.limits.clear()
        self.limits.rates = Rates(**_values(self.rates_at_start))
        self.updates.arrived.set()
        self.webhook.wake()
        self.events.publish("reset")
        self.changed()


def _values(rates: Rates) -> Json:
    return {name: getattr(rates, name) for name in Rates.__dataclass_fields__}
