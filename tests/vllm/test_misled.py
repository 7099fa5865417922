"""A models.toml that says of the server what is not so: nothing starts, or a person is told and nothing is charged."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.telegram.server
from kit.errors import Misconfigured
from kit.words import words
from tests.support.forma import Forma, running
from tests.vllm.conftest import models_file
from tests.vllm.server import CONTEXT, NAME, Vllm

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


async def test_a_key_that_vllm_refuses_is_told(
    database_url: str, redis_url: str, redis: Redis, telegram: Any, vllm: Vllm, tmp_path: Path
) -> None:
    models = models_file(tmp_path / "models.toml", replace(vllm, api_key="another"))
    async with told(database_url, redis_url, telegram, vllm, models) as forma:
        person = await forma.person("ru")
        (said,) = await forma.said(person, "Как спать?")
        code = await forma.scalar("SELECT error_code FROM turns WHERE person_id = :id", id=person.id)
        assert said == words("ru").say("error-unavailable", code=code)
        assert await forma.scalar("SELECT billed_tokens FROM turns WHERE person_id = :id", id=person.id) == 0
        assert await forma.violations() == []


@pytest.mark.parametrize(
    ("name", "context", "says"),
    [
        ("another", CONTEXT, f"name .* serves {NAME}, not another"),
        (NAME, CONTEXT * 2, f"context_length .* has a context of {CONTEXT} tokens, and models.toml says {CONTEXT * 2}"),
    ],
)
async def test_a_name_or_a_context_that_vllm_does_not_have_is_said_at_the_start(
    database_url: str,
    redis_url: str,
    redis: Redis,
    telegram: Any,
    vllm: Vllm,
    tmp_path: Path,
    name: str,
    context: int,
    says: str,
) -> None:
    models = models_file(tmp_path / "models.toml", replace(vllm, name=name), context=context)
    with pytest.raises(Misconfigured, match=says):
        async with told(database_url, redis_url, telegram, vllm, models):
            pass
