"""What waits to be sent: a queue per chat, and the chats in order of their lane and readiness. No I/O, no clock wait.

A chat stands in at most one lane, that of its best message; a newer heap entry makes the older one void. All costs are
O(log chats) but the removal of a cancelled message, which is O(its chat's queue).
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from aiogram.methods import TelegramMethod

from bot.budget import Lane
from kit.errors import Unavailable

Make = Callable[[], TelegramMethod[Any] | None]
Done = Callable[[Any, Exception | None], None]


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """Bounds of the sender; those of what Telegram allows are in bot.budget.Limits."""

    in_flight_max: int = 64
    lossy_in_flight_max: int = 32  # of these, previews and broadcasts: the rest stays free for finals
    queue_max: int = 5_000
    queue_chat_max: int = 100
    broadcasts_max: int = 1_000
    previews_max: int = 5_000
    previews_chat_max: int = 4  # of different keys: a growing answer, a reaction
    forgotten_max: int = 10_000
    attempts_max: int = 5
    refusals_max: int = 20
    backoff_s_min: float = 0.5
    backoff_s_max: float = 8.0
    request_timeout_s: int = 30
    preview_timeout_s: int = 5  # a final waits for a preview under way in its chat, at most so long
    answer_attempts_max: int = 3
    answer_timeout_s: int = 3  # three of them fit into the 10 s of a pre-checkout query
    retry_margin_s: float = 0.05  # clocks differ a little; a moment too early costs another penalty
    global_refusals_min: int = 3
    global_window_s: float = 2.0


@dataclass(slots=True, eq=False)
class Ticket:
    """A message that keeps its order; `turn` resolves when its caller may send it."""

    lane: Lane
    turn: "asyncio.Future[None]"
    asked_at: float


@dataclass(slots=True, eq=False)
class Preview:
    """A message that a newer one may replace."""

    key: Hashable
    make: Make
    done: Done | None
    asked_at: float
    lane: Lane


@dataclass(slots=True, eq=False)
class Chat:
    """What waits for one chat. `busy` while a call to it is under way, `free_at` (monotonic) ends a pause."""

    id: int
    is_group: bool
    ordered: deque[Ticket] = field(default_factory=deque)
    finals: int = 0  # of `ordered`: a notice in front of a final goes with the final's right
    broadcasts: deque[Ticket] = field(default_factory=deque)
    previews: dict[Hashable, Preview] = field(default_factory=dict)  # in order of their keys' arrival
    busy: bool = False
    free_at: float = 0.0
    placed: tuple[Lane, int] | None = None  # the heap entry that counts

    @property
    def lane(self) -> Lane | None:
        if self.ordered:
            return Lane.FINAL if self.finals else Lane.NOTICE
        if self.previews:
            return self.best_preview.lane
        return Lane.BROADCAST if self.broadcasts else None

    @property
    def best_preview(self) -> Preview:
        """The one that goes next: of the smallest lane, the first that came."""
        return min(self.previews.values(), key=lambda preview: preview.lane)

    @property
    def least_preview(self) -> Preview:
        """The one that makes room: of the largest lane, the first that came."""
        return max(self.previews.values(), key=lambda preview: preview.lane)

    def queue(self, lane: Lane) -> deque[Ticket]:
        return self.broadcasts if lane is Lane.BROADCAST else self.ordered


class Lanes:
    """All chats with something to send. `wake` is called when a chat may have become ready."""

    def __init__(self, limits: SenderLimits, wake: Callable[[], None]) -> None:
        self.limits = limits
        self._wake = wake
        self._chats: dict[int, Chat] = {}
        self._heaps: tuple[list[tuple[float, int, Chat]], ...] = tuple([] for _ in Lane)
        self._sequence = 0
        self._previews: dict[Hashable, Chat] = {}
        self.queued = dict.fromkeys(Lane, 0)

    def chat(self, chat_id: int, *, is_group: bool) -> Chat:
        chat = self._chats.get(chat_id)
        if chat is None:
            chat = self._chats[chat_id] = Chat(chat_id, is_group)
        return chat

    def add(self, chat: Chat, ticket: Ticket) -> None:
        """Queues at the end. Raises Unavailable when a bound is reached."""
        limits = self.limits
        if ticket.lane is Lane.BROADCAST:
            full = self.queued[Lane.BROADCAST] >= limits.broadcasts_max
        else:
            full = self.queued[Lane.FINAL] + self.queued[Lane.NOTICE] >= limits.queue_max
        queue = chat.queue(ticket.lane)
        if full or len(queue) >= limits.queue_chat_max:
            self._drop_idle(chat)
            raise Unavailable("telegram", "the sender's queue is full")
        queue.append(ticket)
        self._counted(chat, ticket, +1)
        self.place(chat)

    def put_back(self, chat: Chat, ticket: Ticket) -> None:
        """Queues at the head, for a message that has to be sent again."""
        chat.queue(ticket.lane).appendleft(ticket)
        self._counted(chat, ticket, +1)

    def withdraw(self, chat: Chat, ticket: Ticket) -> bool:
        """Takes out a message that still waits; False when it waits no more."""
        queue = chat.queue(ticket.lane)
        if ticket not in queue:
            return False
        queue.remove(ticket)
        self._counted(chat, ticket, -1)
        chat.placed = None
        self.place(chat)
        return True

    def offer(self, chat: Chat, preview: Preview) -> Preview | None:
        """Lets a preview wait in place of the one of its key, in whatever chat; answers the one that waits no more."""
        waits_in = self._previews.get(preview.key)
        replaced = chat.previews.get(preview.key) if waits_in in (None, chat) else self.drop(preview.key)
        if replaced is None and len(chat.previews) >= self.limits.previews_chat_max:
            replaced = self._pop(chat, chat.least_preview.key)
        chat.previews[preview.key] = preview
        self._previews[preview.key] = chat
        self.place(chat)
        return replaced

    def has_room_for_preview(self, key: Hashable) -> bool:
        return len(self._previews) < self.limits.previews_max or key in self._previews

    def drop(self, key: Hashable) -> Preview | None:
        """Takes a waiting preview out by its key."""
        chat = self._previews.get(key)
        if chat is None:
            return None
        dropped = self._pop(chat, key)
        if chat.placed is not None and chat.placed[0] is not chat.lane:
            chat.placed = None
        self.place(chat)
        return dropped

    def take(self, chat: Chat) -> Ticket | Preview | None:
        """Takes the chat's best message out, passing over those whose callers are gone."""
        for queue in (chat.ordered, chat.broadcasts):
            while queue and queue[0].turn.done():
                self._counted(chat, queue.popleft(), -1)
        if chat.ordered or not chat.previews:
            if chat.lane is None:
                return None
            ticket = (chat.ordered or chat.broadcasts).popleft()
            self._counted(chat, ticket, -1)
            return ticket
        return self._pop(chat, chat.best_preview.key)

    def place(self, chat: Chat, wait_s: float = 0.0) -> None:
        """Puts the chat where its best message belongs, if it has one and no call to it is under way.

        `wait_s` holds for this lane alone: a better message that comes meanwhile has other budgets.
        """
        lane = None if chat.busy else chat.lane
        if lane is None:
            chat.placed = None
            self._drop_idle(chat)
            return
        if chat.placed is not None and chat.placed[0] is lane:
            return
        self._sequence += 1
        chat.placed = (lane, self._sequence)
        heapq.heappush(self._heaps[lane], (max(chat.free_at, time.monotonic() + wait_s), self._sequence, chat))
        self._wake()

    def first(self, lane: Lane) -> tuple[float, Chat] | None:
        """The lane's chat that is, or will be, ready first, with that moment (monotonic)."""
        heap = self._heaps[lane]
        while heap:
            ready_at, sequence, chat = heap[0]
            if chat.placed == (lane, sequence):
                return ready_at, chat
            heapq.heappop(heap)
        return None

    def clear(self) -> list[Ticket]:
        """Empties everything; answers the messages that waited."""
        tickets = [ticket for chat in self._chats.values() for ticket in (*chat.ordered, *chat.broadcasts)]
        self._chats.clear()
        self._previews.clear()
        for heap in self._heaps:
            heap.clear()
        return tickets

    def _pop(self, chat: Chat, key: Hashable) -> Preview:
        del self._previews[key]
        return chat.previews.pop(key)

    def _counted(self, chat: Chat, ticket: Ticket, change: int) -> None:
        self.queued[ticket.lane] += change
        if ticket.lane is Lane.FINAL:
            chat.finals += change

    def _drop_idle(self, chat: Chat) -> None:
        if not chat.busy and chat.lane is None:
            self._chats.pop(chat.id, None)
