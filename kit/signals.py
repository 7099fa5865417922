"""Signals: "look now" between processes, over Redis pub/sub. Lossy on purpose: every receiver also looks by itself."""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

INBOX = "forma:signal:inbox"
OUTBOX = "forma:signal:outbox"
JOBS = "forma:signal:jobs"
TURNS = "forma:signal:turns"
STOPS = "forma:signal:stops"
MODELS = "forma:signal:models"
SERVICE = "forma:signal:service"
RETRY_S = 1.0


async def send(client: Redis, channel: str) -> None:
    """Tell the listeners of `channel` to look; a Redis that is away is no error, they look by themselves."""
    try:
        await client.publish(channel, b"1")
    except (RedisError, OSError) as error:
        log.debug("signal_lost", channel=channel, error=type(error).__name__)


async def wait(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for an event, but no longer than that.

    Not by asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes with the event, and a loop around
    it would never end.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


class Listener:
    """Sets an event per channel whenever somebody signals, on one connection of its own that is kept alive."""

    def __init__(self, client: Redis, channels: Sequence[str]) -> None:
        source = client.connection_pool
        # A client-wide socket timeout would end the wait for a message that has no hurry to come.
        options = {**source.connection_kwargs, "socket_timeout": None}
        self._client: Redis = Redis(
            connection_pool=ConnectionPool(source.connection_class, max_connections=1, **options)
        )
        self.events = {channel: asyncio.Event() for channel in channels}

    async def run(self) -> None:
        """Listen until cancelled. Each new subscription sets its event: something may have been missed before it."""
        try:
            while True:
                try:
                    # The client subscribes again by itself after a cut; only the confirmations tell of it.
                    async with self._client.pubsub(ignore_subscribe_messages=False) as pubsub:
                        await pubsub.subscribe(*self.events)
                        async for message in pubsub.listen():
                            self.events[message["channel"].decode()].set()
                except (RedisError, OSError) as error:
                    log.warning("signals_lost", error=type(error).__name__)
                    await asyncio.sleep(RETRY_S)
        finally:
            await self._client.aclose()
            await self._client.connection_pool.disconnect()
