"""One real vLLM for the whole run, and Forma in front of it."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

import sandbox.telegram.server
from tests.support.forma import Forma, running
from tests.vllm import server
from tests.vllm.server import Vllm

MODELS = """
[models.coach]
purpose = "chat"
name = "{name}"
context_length = {context}
answer_tokens_max = 1024
slots = 32
kv_tokens = 100000

[models.coach.prices]
input = 250
cached = 50
output = 1000
"""


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """A python that has vLLM."""
    python = os.environ.get("FORMA_TEST_VLLM")
    if not python:
        pytest.skip("FORMA_TEST_VLLM names no python with vLLM; make test-vllm makes one")
    return python


@pytest.fixture(scope="session")
def vllm_model(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return server.make_model(vllm_python, tmp_path_factory.mktemp("speaker"))


@pytest.fixture(scope="session")
def vllm_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caches of vLLM: what the first start compiled, the second finds."""
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="session")
def vllm(vllm_python: str, vllm_model: Path, vllm_home: Path) -> Iterator[Vllm]:
    with server.serving(vllm_python, vllm_model, vllm_home) as running_server:
        yield running_server


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, redis: Redis, vllm: Vllm, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Forma]:
    """Forma that answers by vLLM; the module's `llm` driver and the simulated server are not there."""
    models = models_file(tmp_path_factory.mktemp("models") / "models.toml", vllm)
    tg = await sandbox.telegram.server.start()
    try:
        more = {"model_url": "", "model_name": "", "models_file": models, "house_calls": 0}
        async with running(database_url, redis_url, tg, vllm, **more) as forma:
            yield forma
    finally:
        await tg.close()


def models_file(path: Path, *servers: Vllm, context: int = server.CONTEXT) -> Path:
    """A models.toml with one chat model on these servers."""
    replicas = (f'[[models.coach.replicas]]\nbase_url = "{s.base_url}"\napi_key = "{s.api_key}"\n' for s in servers)
    path.write_text("\n".join([MODELS.format(name=servers[0].name, context=context), *replicas]))
    return path
