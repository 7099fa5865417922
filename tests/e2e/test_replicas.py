"""A model on several servers: each takes its persons, and where one is away the next one answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from tests.e2e.conftest import QUICK
from tests.support.forma import Forma, running
from tests.support.model import drive, of_persons

ENTRY = """
[models.coach]
purpose = "chat"
name = "forma-sim"
context_length = 32768
answer_tokens_max = 2048
slots = 8
kv_tokens = 100000

[models.coach.prices]
input = 250
cached = 50
output = 1000
"""


@pytest.fixture(scope="module")
async def replicas() -> AsyncIterator[list[Any]]:
    servers = [await sandbox.model.server.start(**QUICK) for _ in range(2)]
    try:
        yield servers
    finally:
        for server in servers:
            await server.close()


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, redis: Redis, replicas: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Forma]:
    models: Path = tmp_path_factory.mktemp("replicas") / "models.toml"
    tables = [f'[[models.coach.replicas]]\nbase_url = "{server.base_url}"\n' for server in replicas]
    models.write_text("\n".join([ENTRY, *tables]))
    tg = await sandbox.telegram.server.start()
    more = {"model_url": "", "model_name": "", "models_file": models}
    try:
        async with running(database_url, redis_url, tg, replicas[0], **more) as forma:
            yield forma
    finally:
        await tg.close()


async def test_every_replica_takes_its_share_and_a_dialog_stays_where_its_prefix_is(
    forma: Forma, replicas: list[Any]
) -> None:
    persons = await asyncio.gather(*(forma.person("en") for _ in range(16)))
    for question in ("[[echo: well]]", "[[echo: even on weekdays]]"):
        await asyncio.gather(*(forma.said(person, question) for person in persons))
    served = []
    for server in replicas:
        async with drive(server.base_url) as llm:
            served.append(Counter(entry["body"]["cache_salt"] for entry in of_persons(await llm.requests())))
    assert all(served)
    # Both questions of each dialog were answered by one server.
    assert sum(served, Counter()) == {str(person.id): 2 for person in persons}
    assert set(served[0]).isdisjoint(served[1])


async def test_where_a_replica_is_away_the_next_one_answers(forma: Forma, replicas: list[Any]) -> None:
    persons = [await forma.person(language) for language in ("ru", "en")]
    await replicas[0].close()
    for person in persons:
        assert "[[" not in (answer := (await forma.said(person, "[[echo: weiter]]"))[-1]), answer
        assert "weiter" in answer
    assert await forma.violations() == []
