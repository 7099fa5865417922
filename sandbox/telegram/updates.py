"""The queue of updates for the bot: numbered, filtered by allowed_updates, kept 24 h, one poller at a time."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiogram.types import Update

from sandbox.telegram.errors import ApiError
from sandbox.telegram.events import Events
from sandbox.telegram.faults import LOSS, Faults
from sandbox.telegram.state import Json, Pending, State

UPDATES_KEPT_S = 24 * 3600
UPDATES_BATCH_MAX = 100
PENDING_MAX = 100_000
POLL_TIMEOUT_S_MAX = 50

KINDS = frozenset(Update.model_fields) - {"update_id"}
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
# Messages that faults know by what they tell.
SERVICE = ("successful_payment", "refunded_payment")
CONFLICT_POLLERS = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
CONFLICT_WEBHOOK = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


class Updates:
    """Pending updates of `state`. `now` is the sandbox's clock in unix seconds."""

    def __init__(
        self,
        state: State,
        events: Events,
        now: Callable[[], float],
        changed: Callable[[], None],
        faults: Faults,
    ) -> None:
        self.state, self._events, self.clock_now, self._changed = state, events, now, changed
        self._faults = faults
        self.arrived = asyncio.Event()
        self._poll = 0
        self._closing = False

    def allows(self, kind: str) -> bool:
        """Whether the bot asked for this kind of update."""
        allowed = self.state.allowed_updates
        return kind not in NOT_BY_DEFAULT if not allowed else kind in allowed

    def push(self, kind: str, content: Json) -> int | None:
        """Queues an update and answers its id, or None where the bot did not ask for it, or a fault loses it."""
        if not self.allows(kind) or self._loses(kind, content):
            return None
        state = self.state
        update_id = state.next_update_id
        body: Json = {"update_id": update_id, kind: content}
        Update.model_validate(body)
        state.next_update_id += 1
        state.pending.append(Pending(update_id, self.clock_now(), body))
        if len(state.pending) > PENDING_MAX:
            state.pending.popleft()
        self.arrived.set()
        self._changed()
        self._events.publish("update", update_id=update_id, kind=kind)
        return update_id

    def _loses(self, kind: str, content: Json) -> bool:
        if not self._faults.rules:
            return False
        name = next((service for service in SERVICE if service in content), kind)
        chat = content.get("chat") or content.get("user") or content.get("from") or {}
        return self._faults.strike(name, chat.get("id"), LOSS) is not None

    def expire(self) -> None:
        """Drops what nobody fetched for 24 h."""
        pending, edge = self.state.pending, self.clock_now() - UPDATES_KEPT_S
        while pending and pending[0].queued_at < edge:
            pending.popleft()

    def confirm(self, offset: int) -> None:
        """Forgets updates below `offset`; a negative offset keeps only that many from the end."""
        pending = self.state.pending
        before = len(pending)
        while pending and (pending[0].update_id < offset or (offset < 0 and len(pending) > -offset)):
            pending.popleft()
        if len(pending) != before:
            self._changed()

    def batch(self, limit: int) -> list[Json]:
        """The oldest pending updates."""
        pending = self.state.pending
        return [pending[index].body for index in range(min(limit, len(pending)))]

    async def poll(self, call: Any) -> list[Json]:
        """getUpdates: waits up to its timeout in real time; a newer poll ends this one with 409."""
        state = self.state
        if state.webhook is not None:
            raise ApiError(409, CONFLICT_WEBHOOK)
        self._poll += 1
        mine = self._poll
        self.arrived.set()  # an older poll wakes and finds itself replaced
        if call.allowed_updates is not None:
            state.allowed_updates = set_allowed(call.allowed_updates)
        self.expire()
        if call.offset:
            self.confirm(call.offset)
        limit = min(max(call.limit or UPDATES_BATCH_MAX, 1), UPDATES_BATCH_MAX)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(max(call.timeout or 0, 0), POLL_TIMEOUT_S_MAX)
        await asyncio.sleep(0)
        while True:
            if mine != self._poll:
                raise ApiError(409, CONFLICT_POLLERS)
            if state.webhook is not None:
                raise ApiError(409, CONFLICT_WEBHOOK)
            left = deadline - loop.time()
            if state.pending or left <= 0 or self._closing:
                return self.batch(limit)
            self.arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self.arrived.wait()
            except TimeoutError:
                continue

    def hang_up(self) -> None:
        """Ends a waiting poll with what there is, for a server that closes."""
        self._closing = True
        self.arrived.set()


def set_allowed(names: list[str]) -> list[str] | None:
    """The list as Telegram keeps it: unknown names are ignored, an empty list means the default."""
    return [name for name in names if name in KINDS] or None
