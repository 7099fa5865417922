"""The sandbox's one clock: it moves Forma's in a sandbox-stamped database, and nothing anywhere beside a live one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

import sandbox.telegram.server
from cli import sandbox_clock
from kit import stamp
from kit.clock import Clock
from kit.db import Database
from kit.errors import Misconfigured
from tests.support.shop_driver import SandboxShop, ShopBench, shop_running
from tests.support.telegram import SandboxTelegram

DAY_S = 86_400
WAIT_S = 10.0


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    running = await sandbox.telegram.server.start()
    async with SandboxTelegram(running.base_url) as driver:
        yield driver
    await running.close()


@pytest.fixture
async def bench() -> AsyncIterator[ShopBench]:
    async with shop_running() as made:
        yield made


async def _stamped(database: Database, kind: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(sa.delete(stamp.stamp))
        await stamp.claim(tx, kind=kind, now=Clock().now())


async def _offset_s(server: SandboxTelegram | SandboxShop) -> int:
    return round((await server.control("GET", "clock"))["offset_s"])


async def test_a_live_database_stops_the_clock_before_anything_moves(
    database: Database, database_url: str, telegram: SandboxTelegram, bench: ShopBench
) -> None:
    await _stamped(database, "live:42")
    await telegram.advance(days=1)
    with pytest.raises(Misconfigured, match="sandbox-stamped"):
        async with asyncio.timeout(WAIT_S):
            await sandbox_clock.follow(database_url, telegram.base_url, bench.server.base_url)
    assert await _offset_s(bench.shop) == 0
    async with database.read() as connection:
        assert await stamp.clock_offset(connection) == timedelta(0)


async def test_a_server_that_came_back_with_an_older_clock_is_brought_forward(
    database: Database, database_url: str, telegram: SandboxTelegram, bench: ShopBench
) -> None:
    await _stamped(database, stamp.SANDBOX)
    await bench.shop.advance(2 * DAY_S)
    await telegram.advance(hours=1)
    follower = asyncio.create_task(
        sandbox_clock.follow(database_url, telegram.base_url, bench.server.base_url), name="clock"
    )
    try:
        async with asyncio.timeout(WAIT_S):
            while await _offset_s(telegram) != 2 * DAY_S:
                await asyncio.sleep(0.02)
        async with database.read() as connection:
            assert await stamp.clock_offset(connection) == timedelta(days=2)
    finally:
        follower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await follower


async def test_forma_that_is_ahead_of_a_sandbox_begun_anew_is_not_set_back(
    database: Database, database_url: str, telegram: SandboxTelegram, bench: ShopBench
) -> None:
    await _stamped(database, stamp.SANDBOX)
    async with database.transaction() as tx:
        await stamp.set_clock_offset(tx, timedelta(days=3))
    follower = asyncio.create_task(
        sandbox_clock.follow(database_url, telegram.base_url, bench.server.base_url), name="clock"
    )
    try:
        async with asyncio.timeout(WAIT_S):
            while {await _offset_s(telegram), await _offset_s(bench.shop)} != {3 * DAY_S}:
                await asyncio.sleep(0.02)
        async with database.read() as connection:
            assert await stamp.clock_offset(connection) == timedelta(days=3)
    finally:
        follower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await follower
