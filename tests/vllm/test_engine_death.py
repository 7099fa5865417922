"""vLLM's engine is killed while a person reads: another server writes the answer anew, or the person is told."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.telegram.server
from inference import errors
from inference.models import Replica
from inference.vllm import ChatRequest, VllmClient
from kit.words import words
from tests.support.forma import Forma, running
from tests.support.telegram import Person
from tests.vllm import server
from tests.vllm.conftest import models_file
from tests.vllm.server import NAME, Vllm
from tests.vllm.speaker import SAID

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
TURN = "SELECT status || ' ' || attempts || ' ' || (billed_tokens > 0) FROM turns WHERE person_id = :id ORDER BY id"


@pytest.fixture(scope="module")
async def telegram() -> AsyncIterator[Any]:
    sandboxed = await sandbox.telegram.server.start()
    yield sandboxed
    await sandboxed.close()


@pytest.fixture
def mortal(vllm_python: str, vllm_model: Path, vllm_home: Path) -> Iterator[Vllm]:
    """A second server, which the test kills."""
    with server.serving(vllm_python, vllm_model, vllm_home) as second:
        yield second


async def killed_under(forma: Forma, mortal: Vllm) -> Person:
    """A person whose answer was growing when the engine was killed; so was a stream of the client's own."""
    person = await forma.person("ru")
    replica = Replica(mortal.base_url, mortal.api_key)
    beside = ChatRequest(replica, NAME, [{"role": "user", "content": "loop"}], max_tokens=3_000)
    async with VllmClient() as client:
        deltas = client.stream(beside)
        await anext(deltas)
        await person.send("loop")
        await forma.growing(person)
        while await mortal.metric("vllm:num_requests_running") < 2:
            # This dialog begins at the other server.
            await person.stop()
            await person.wait_for("⏹")
            person = await forma.person("ru")
            await person.send("loop")
            await forma.growing(person)
        mortal.kill_engine()
        with pytest.raises((errors.ServerFailed, errors.ConnectionLost)) as caught:
            async for _ in deltas:
                pass
        assert caught.value.started
    return person


async def test_another_server_writes_the_answer_anew(
    database_url: str, redis_url: str, redis: Redis, telegram: Any, mortal: Vllm, vllm: Vllm, tmp_path: Path
) -> None:
    models = models_file(tmp_path / "models.toml", mortal, vllm)
    more = {"model_url": "", "model_name": "", "models_file": models, "house_calls": 0}
    async with running(database_url, redis_url, telegram, vllm, **more) as forma:
        person = await killed_under(forma, mortal)
        await person.wait_for("снова", timeout_s=180)
        await forma.quiet(person)
        assert await forma.scalar(TURN, id=person.id) == "done 2 true"
        assert await forma.scalar("SELECT output_tokens = output_max FROM turns WHERE person_id = :id", id=person.id)
        # The dead one does not come back, and who begins there is answered by the other.
        assert (await forma.said(person, "Как спать?"))[0].split() == SAID.split()
        assert await forma.violations() == []


async def test_where_there_is_no_other_server_the_person_is_told_and_nothing_is_charged(
    database_url: str, redis_url: str, redis: Redis, telegram: Any, mortal: Vllm, tmp_path: Path
) -> None:
    models = models_file(tmp_path / "models.toml", mortal)
    more = {"model_url": "", "model_name": "", "models_file": models, "house_calls": 0}
    async with running(database_url, redis_url, telegram, mortal, **more) as forma:
        person = await killed_under(forma, mortal)
        told = await person.wait_for("токены не списаны", timeout_s=120)
        code = await forma.scalar("SELECT error_code FROM turns WHERE person_id = :id", id=person.id)
        assert told.text == words("ru").say("error-unavailable", code=code)
        assert await forma.scalar(TURN, id=person.id) == "failed 2 false"
        assert await forma.violations() == []
