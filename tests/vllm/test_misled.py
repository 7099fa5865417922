"""A models.toml that says of the server what is not so: a person is told in words, and nothing is charged."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.telegram.server
from kit.words import words
from tests.support.forma import Forma, running
from tests.vllm.conftest import models_file
from tests.vllm.server import CONTEXT, Vllm

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
async def telegram() -> AsyncIterator[Any]:
    server = await sandbox.telegram.server.start()
    yield server
    await server.close()


@contextlib.asynccontextmanager
async def told(database_url: str, redis_url: str, telegram: Any, vllm: Vllm, models: Path) -> AsyncIterator[Forma]:
    more = {"model_url": "", "model_name": "", "models_file": models, "house_calls": 0}
    async with running(database_url, redis_url, telegram, vllm, **more) as forma:
        yield forma


@pytest.mark.parametrize("wrong", [{"api_key": "another"}, {"name": "another"}])
async def test_a_key_or_a_name_that_vllm_refuses_is_told(
    database_url: str, redis_url: str, redis: Redis, telegram: Any, vllm: Vllm, tmp_path: Path, wrong: dict[str, str]
) -> None:
    models = models_file(tmp_path / "models.toml", replace(vllm, **wrong))
    async with told(database_url, redis_url, telegram, vllm, models) as forma:
        person = await forma.person("ru")
        (said,) = await forma.said(person, "Как спать?")
        code = await forma.scalar("SELECT error_code FROM turns WHERE person_id = :id", id=person.id)
        assert said == words("ru").say("error-unavailable", code=code)
        assert await forma.scalar("SELECT billed_tokens FROM turns WHERE person_id = :id", id=person.id) == 0
        assert await forma.violations() == []


async def test_a_context_that_is_shorter_than_promised_is_told_in_characters(
    database_url: str, redis_url: str, redis: Redis, telegram: Any, vllm: Vllm, tmp_path: Path
) -> None:
    models = models_file(tmp_path / "models.toml", vllm, context=CONTEXT * 2)
    async with told(database_url, redis_url, telegram, vllm, models) as forma:
        person = await forma.person("ru")
        # Five tokens for two characters: within what models.toml says, beyond what the server has.
        (said,) = await forma.said(person, "ж⅞" * 1_000)
        assert "символ" in said
        assert await forma.scalar("SELECT billed_tokens FROM turns WHERE person_id = :id", id=person.id) == 0
        assert await forma.violations() == []
