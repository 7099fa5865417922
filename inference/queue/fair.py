"""The fair queue's Python side: it carries values to the Lua and back, and decides nothing."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from inference.queue.ticket import (
    Admission,
    Claim,
    Claimed,
    Finished,
    Limits,
    Position,
    QueueConfig,
    Reaped,
    Renewal,
    Snapshot,
    Ticket,
    Usage,
)


class Cancelled(StrEnum):
    """What `cancel` found: a waiting ticket is removed at once, a running one is flagged for its holder."""

    REMOVED = "removed"
    FLAGGED = "flagged"
    UNKNOWN = "unknown"


class FairQueue:
    """One model group's queue in Redis. Every method is one atomic script; all raise Unavailable('redis').

    `now_us` is µs since the epoch; 0, the default, means Redis' own clock.
    """

    def __init__(self, redis: Redis, group: str, config: QueueConfig) -> None:
        raise NotImplementedError

    async def configure(self, config: QueueConfig | None = None, *, now_us: int = 0) -> None:
        """Store the configuration; called by each process at its start, and with a new one on reload."""
        raise NotImplementedError

    async def admit(self, key: str, person_id: int, limits: Limits, *, tokens: int = 0, now_us: int = 0) -> Admission:
        """Keep a place for 30 s, before the turn exists; `key` is the caller's, 'chat:message' say, and idempotent.

        `tokens` is what the request may cost, for the rates that count tokens. Raises RateLimited, QueueFull.
        """
        raise NotImplementedError

    async def release(self, key: str, person_id: int, *, now_us: int = 0) -> None:
        """Give up a kept place that will not be submitted. The rate it took stays taken."""
        raise NotImplementedError

    async def submit(self, ticket: Ticket, *, key: str = "", now_us: int = 0) -> Position:
        """Queue a ticket, turning the place kept under `key` into it. Idempotent by turn; never refuses."""
        raise NotImplementedError

    async def claim(self, *, now_us: int = 0) -> Claimed:
        """Lease the fairest ticket that fits."""
        raise NotImplementedError

    async def renew(self, claim: Claim, output_tokens: int, *, now_us: int = 0) -> Renewal:
        """Extend a lease and charge the output so far. Takes up again a lease that Redis has lost."""
        raise NotImplementedError

    async def renew_many(self, items: Sequence[tuple[Claim, int]], *, now_us: int = 0) -> list[Renewal]:
        """Renew all of a worker's leases in one pipeline; the answers are in the items' order."""
        raise NotImplementedError

    def add_renew(self, pipe: Pipeline, claim: Claim, output_tokens: int, *, now_us: int = 0) -> None:
        """Put one renewal into a pipeline of the caller's, who executes it with raise_on_error=False."""
        raise NotImplementedError

    async def read_renewals(
        self, items: Sequence[tuple[Claim, int]], replies: Sequence[Any], *, now_us: int = 0
    ) -> list[Renewal]:
        """Read the replies of `add_renew`; those that met a Redis without our scripts are sent again first."""
        raise NotImplementedError

    async def finish(self, claim: Claim, usage: Usage, *, now_us: int = 0) -> Finished:
        """Free slot and KV and true the charge up. Called after the turn is closed in Postgres."""
        raise NotImplementedError

    async def requeue(self, claim: Claim, *, now_us: int = 0) -> Finished:
        """Give a claim back to the head of its person's tickets without spending a try (a worker shuts down)."""
        raise NotImplementedError

    async def cancel(self, turn_id: int, *, now_us: int = 0) -> Cancelled:
        """Remove a waiting ticket, or flag a running one: its next renewal says so."""
        raise NotImplementedError

    async def reap(self, *, now_us: int = 0) -> Reaped:
        """Take expired leases back. Its wake-ups also make good for wake-ups that were lost."""
        raise NotImplementedError

    async def position(self, turn_id: int, *, now_us: int = 0) -> Position | None:
        """Return where a ticket stands, None if the queue doesn't know it."""
        raise NotImplementedError

    async def known(self, turn_id: int, *, now_us: int = 0) -> bool:
        """Return whether a turn waits or runs here. After a loss wait one lease before you believe a False."""
        raise NotImplementedError

    async def snapshot(self, *, now_us: int = 0) -> Snapshot:
        """Return the queue's state at one moment, bounded in size."""
        raise NotImplementedError
