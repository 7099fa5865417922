"""Signals: "look now" between processes, over Redis pub/sub. Lossy on purpose: every receiver also looks by itself."""

import asyncio
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
RETRY_S = 1.0


async def send(client: Redis, channel: str) -> None:
    """Tell the listeners of `channel` to look; a Redis that is away is no error, they look by themselves."""
    try:
        await client.publish(channel, b"1")
    except (RedisError, OSError) as error:
        log.debug("signal_lost", channel=channel, error=type(error).__name__)


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
        """Listen until cancelled. After a broken connection every event is set: something may have been missed."""
        try:
            while True:
                try:
                    async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
                        await pubsub.subscribe(*self.events)
                        for event in self.events.values():
                            event.set()
                        async for message in pubsub.listen():
                            self.events[message["channel"].decode()].set()
                except (RedisError, OSError) as error:
                    log.warning("signals_lost", error=type(error).__name__)
                    await asyncio.sleep(RETRY_S)
        finally:
            await self._client.aclose()
            await self._client.connection_pool.disconnect()
