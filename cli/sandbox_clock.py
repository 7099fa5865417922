"""One clock for the sandbox's Telegram, its shop and Forma: wherever it is advanced, the others follow.

Its hand is on the chat page (Tools). It never goes back: periods, payments and lists rely on the order of things.
"""

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import structlog

from kit import stamp
from kit.db import Database
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
WAIT_S = 15.0
# Clocks that differ by less than this are the same: each is read a moment after the other.
SAME_S = 0.5
_PATH = "/_control/clock"


async def follow(database_url: str, telegram_url: str, shop_url: str = "") -> None:
    """Keep the clocks together for as long as `forma up` runs; `shop_url` is "" while no shop is simulated.

    The database's comes first, so that a live-stamped one stops it before anything moves: Misconfigured.
    """
    db = Database(database_url, pool_size=1)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S)) as session:
            while True:
                try:
                    await _together(db, session, [one for one in (telegram_url, shop_url) if one])
                except (aiohttp.ClientError, OSError, TimeoutError, Unavailable) as error:
                    log.debug("sandbox_clock_unreadable", error=type(error).__name__)
                await asyncio.sleep(LOOK_EVERY_S)
    finally:
        await db.close()


async def _together(db: Database, session: aiohttp.ClientSession, servers: list[str]) -> None:
    """Bring whatever lags behind to the clock that is furthest ahead."""
    offsets = {server: await _offset_s(session, server) for server in servers}
    async with db.read() as connection:
        ours_s = (await stamp.clock_offset(connection)).total_seconds()
    ahead_s = max(ours_s, *offsets.values())
    if ours_s != int(ahead_s):
        async with db.transaction() as tx:
            await stamp.set_clock_offset(tx, timedelta(seconds=int(ahead_s)))
    for server, offset_s in offsets.items():
        if ahead_s - offset_s > SAME_S:
            await _advance(session, server, ahead_s - offset_s)


async def _offset_s(session: aiohttp.ClientSession, server: str) -> float:
    async with session.get(server + _PATH) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return float(answer["offset_s"])


async def _advance(session: aiohttp.ClientSession, server: str, by_s: float) -> None:
    async with session.post(server + _PATH, json={"advance_s": by_s}) as response:
        response.raise_for_status()
