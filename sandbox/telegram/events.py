"""What happened, numbered, for the chat page and for tests that wait: a ring, and bounded queues of listeners."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable

from sandbox.telegram.state import Json

EVENTS_MAX = 10_000
LISTENER_BACKLOG_MAX = 20_000


class Listener:
    """One open event socket. `lagging` is set when it did not keep up and must read everything anew."""

    __slots__ = ("chat_id", "lagging", "queue", "types")

    def __init__(self, chat_id: int | None, types: frozenset[str] | None) -> None:
        self.chat_id, self.types = chat_id, types
        self.queue: asyncio.Queue[Json] = asyncio.Queue(LISTENER_BACKLOG_MAX)
        self.lagging = False

    def wants(self, event: Json) -> bool:
        """Whether the event passes the filters; events without a chat pass the filter by chat."""
        if self.types is not None and event["type"] not in self.types:
            return False
        return self.chat_id is None or event.get("chat_id") in (None, self.chat_id)

    def offer(self, event: Json) -> None:
        """Queues the event if it is wanted, without waiting."""
        if not self.wants(event):
            return
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lagging = True


class Events:
    """The ring of the last EVENTS_MAX events; `last_seq` is the number of the newest, 0 before the first."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.ring: deque[Json] = deque(maxlen=EVENTS_MAX)
        self.listeners: set[Listener] = set()

    def publish(self, kind: str, chat_id: int | None = None, /, **data: object) -> None:
        """Numbers and stores an event and hands it to the listeners; never waits."""
        self.last_seq += 1
        event: Json = {"seq": self.last_seq, "type": kind, "at": time.time()}
        if chat_id is not None:
            event["chat_id"] = chat_id
        event.update(data)
        self.ring.append(event)
        for listener in self.listeners:
            listener.offer(event)

    def since(self, seq: int) -> Iterable[Json]:
        """Events after `seq`, oldest first; begins with a `gap` event if some of them have left the ring."""
        if self.ring and self.ring[0]["seq"] > seq + 1:
            yield {"seq": self.ring[0]["seq"] - 1, "type": "gap", "at": time.time()}
        skip = max(0, len(self.ring) - (self.last_seq - seq)) if seq <= self.last_seq else len(self.ring)
        for index in range(skip, len(self.ring)):
            yield self.ring[index]
