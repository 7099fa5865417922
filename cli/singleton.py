"""One process at a time: an advisory lock of Postgres, held by a connection of its own."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from kit import signals
from kit.db import Database
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

STANDBY_LOOK_S = 2.0
# A connection that the server closed shows without asking; one that hangs shows when it is asked.
WATCH_EVERY_S, ASK_EVERY_LOOKS, ASK_TIMEOUT_S = 0.25, 20, 5.0
# How long a holder whose connection was cut tries to get the lock again before it makes way.
RETAKE_S, RETAKE_EVERY_S, YIELD_S = 20.0, 0.1, 1.0


class Singleton:
    """The lock `key`. `acquire`, then `watch` for as long as the work runs, then `release`."""

    def __init__(self, db: Database, key: int) -> None:
        self._db = db
        self._key = key
        self._stack = contextlib.AsyncExitStack()
        self._connection: AsyncConnection | None = None

    async def acquire(self, stop: asyncio.Event, standby: Callable[[], None]) -> bool:
        """Wait until the lock is ours; False when `stop` came first. `standby` is called when it is another's."""
        waiting = False
        while not stop.is_set():
            if await self._try():
                return True
            if not waiting:
                log.info("standby")
                standby()
            waiting = True
            await signals.wait(stop, STANDBY_LOOK_S)
        return False

    async def watch(self) -> None:
        """Keep the lock: one that was lost with its connection is taken again. Raises Unavailable when it cannot be.

        Meanwhile the work goes on: whoever cannot reach Postgres can neither take the lock nor record anything.
        """
        looks = 0
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            looks += 1
            if not await self._is_held(ask=looks % ASK_EVERY_LOOKS == 0):
                log.warning("lock_connection_lost")
                await self._retake()
                log.info("lock_taken_again")

    async def release(self) -> None:
        """Give the lock back."""
        await self._drop()

    async def _try(self) -> bool:
        await self._drop()
        connection = await self._stack.enter_async_context(self._db.read())
        if await connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}):
            self._connection = connection
            return True
        await self._drop()
        return False

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        with contextlib.suppress(Exception):
            if connection is not None:
                # Closed, not given back to the pool: the lock ends with its session.
                await connection.invalidate()
        with contextlib.suppress(Exception):
            await self._stack.aclose()
        self._stack = contextlib.AsyncExitStack()

    async def _is_held(self, *, ask: bool) -> bool:
        assert self._connection is not None
        try:
            driver: Any = (await self._connection.get_raw_connection()).driver_connection
            if driver.is_closed():
                return False
            if ask:
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    await self._connection.execute(sa.text("SELECT 1"))
        except (SQLAlchemyError, OSError, TimeoutError):
            return False
        return True

    async def _retake(self) -> None:
        deadline, refused_at = time.monotonic() + RETAKE_S, 0.0
        while True:
            try:
                if await self._try():
                    return
                # The session that was cut may take a moment to end; after that it is somebody else's.
                refused_at = refused_at or time.monotonic()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            if refused_at and time.monotonic() - refused_at > YIELD_S:
                raise Unavailable("lock", "another process has taken over")
            await asyncio.sleep(RETAKE_EVERY_S)
