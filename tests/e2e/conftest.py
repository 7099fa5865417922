"""The whole of Forma for a test module, on the simulated Telegram and model server."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from tests.support.forma import Forma, running

# Quick answers, so that a module takes seconds; the latencies are the model server's own options.
QUICK = {"first_token_base_s": 0.01, "inter_token_s": 0.004}
ADMIN_GROUP = -5000


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Forma]:
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start(**QUICK)
    try:
        async with running(database_url, redis_url, tg, model, admin_chat_id=ADMIN_GROUP) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()
