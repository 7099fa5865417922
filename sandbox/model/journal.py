"""The log of requests that tests read: bounded, in memory, bodies as they came."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

ENTRIES_MAX: Final = 2_000
"""Older entries are dropped."""

BODY_BYTES_MAX: Final = 262_144
"""A longer body (an image, usually) is logged as null."""


@dataclass(slots=True)
class Entry:
    """One request. Times are seconds since the epoch; `outcome` is stop, length, aborted, rejected:<status>,
    fault:<kind>, died, or open while it runs."""

    number: int
    path: str
    body: bytes
    received_at: float = field(default_factory=time.time)
    request_id: str = ""
    stream: bool = False
    priority: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    first_token_at: float | None = None
    finished_at: float | None = None
    outcome: str = "open"

    def close(self, outcome: str) -> None:
        """Settles the outcome; the first one stands."""
        if self.outcome == "open":
            self.outcome = outcome
            self.finished_at = time.time()

    def listed(self) -> dict[str, Any]:
        """The entry as JSON, its body parsed where it can be."""
        body: Any = None
        if len(self.body) <= BODY_BYTES_MAX:
            try:
                body = orjson.loads(self.body)
            except orjson.JSONDecodeError:
                body = self.body.decode(errors="replace")
        return {
            "number": self.number,
            "path": self.path,
            "body": body,
            "received_at": self.received_at,
            "request_id": self.request_id,
            "stream": self.stream,
            "priority": self.priority,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "first_token_at": self.first_token_at,
            "finished_at": self.finished_at,
            "outcome": self.outcome,
        }


class Journal:
    """The last ENTRIES_MAX requests, numbered from 1 without gaps until it is cleared."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)
        self._count = 0

    def open(self, path: str, body: bytes) -> Entry:
        """A new entry for a request that just came in."""
        self._count += 1
        kept = body if len(body) <= BODY_BYTES_MAX else body[: BODY_BYTES_MAX + 1]
        entry = Entry(number=self._count, path=path, body=kept)
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Empty, and numbered from 1 again."""
        self._entries.clear()
        self._count = 0

    def after(self, number: int, limit: int) -> list[dict[str, Any]]:
        """The first `limit` entries whose number is above `number`, oldest first."""
        found = [entry for entry in self._entries if entry.number > number]
        return [entry.listed() for entry in found[:limit]]
