"""The Redis client as the product's loops use it: whoever is told to end while it speaks to Redis ends."""

import asyncio

import pytest

from kit import redis as kit_redis

# A command takes a few turns of the event loop; a cancellation is tried in each of them, several times over.
TICKS_MAX = 60
END_S = 2.0


@pytest.mark.parametrize("ticks", range(TICKS_MAX))
async def test_a_loop_that_is_cancelled_in_the_middle_of_a_command_ends(redis_url: str, ticks: int) -> None:
    client = kit_redis.connect(redis_url)
    await client.ping()

    async def ping() -> None:
        while True:
            await client.ping()

    loop = asyncio.create_task(ping())
    for _ in range(ticks):
        await asyncio.sleep(0)
    loop.cancel()
    done, _ = await asyncio.wait({loop}, timeout=END_S)
    while not loop.done():
        loop.cancel()
        await asyncio.wait({loop}, timeout=0.01)
    await client.aclose()
    assert done, "the cancellation was swallowed"
