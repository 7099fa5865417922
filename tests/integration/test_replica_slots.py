"""Two model servers and two workers: no server ever gets more than its slots, whatever dies meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import sandbox.model.server
from tests.crash.questions import all_answered, ask
from tests.support.model import drive, of_persons
from tests.support.stack import Stack, stack

SLOTS = 3
PACE = {"first_token_base_s": 0.02, "inter_token_s": 0.01, "jitter": 0.0}

ENTRY = f"""
[models.chat]
purpose = "chat"
name = "forma-sim"
context_length = 32768
slots = {SLOTS}
kv_tokens = 100000
"""


@pytest.fixture(scope="module")
async def pair() -> AsyncIterator[list[Any]]:
    running = [await sandbox.model.server.start(**PACE) for _ in range(2)]
    yield running
    for server in running:
        await server.close()


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, pair: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    file: Path = tmp_path_factory.mktemp("slots") / "models.toml"
    tables = [f'[[models.chat.replicas]]\nbase_url = "{server.base_url}"\n' for server in pair]
    file.write_text("\n".join([ENTRY, *tables]), encoding="utf-8")
    more = {"model_url": "", "model_name": "", "models_file": file}
    async with stack(database_url, redis_url, start=("bot", "worker", "worker-2"), **more) as running:
        yield running


async def journal(server: Any) -> list[dict[str, Any]]:
    """All that a server was asked: by people, by the house, by probes."""
    async with drive(server.base_url) as llm:
        return await llm.requests()


def most_at_once(entries: list[dict[str, Any]]) -> int:
    edges = [(entry["received_at"], 1) for entry in entries] + [(entry["finished_at"], -1) for entry in entries]
    return max(itertools.accumulate(step for _, step in sorted(edges)))


async def test_all_workers_together_keep_to_the_slots_of_each_server(forma: Stack, pair: list[Any]) -> None:
    persons = await forma.persons(20)
    await all_answered(forma, await ask(forma, persons, "crowd", tokens=30))
    entries = [await journal(server) for server in pair]
    assert [most_at_once(one) for one in entries] == [SLOTS, SLOTS]
    assert sum(len(of_persons(one)) for one in entries) == 20
    await forma.assert_sound()


async def test_a_server_that_dies_under_load_costs_nobody_an_answer_and_comes_back(
    forma: Stack, pair: list[Any]
) -> None:
    persons = await forma.persons(12)
    asked = await ask(forma, persons, "dying", tokens=60)
    async with drive(pair[0].base_url) as llm:
        while not (await llm.state())["running"]:
            await asyncio.sleep(0.01)
        await llm.die()
        await all_answered(forma, asked)
        before = len(of_persons(await journal(pair[0])))
        await llm.revive()
    # Its time out may have grown meanwhile; then it takes its part again.
    async with asyncio.timeout(60):
        for round_ in itertools.count():
            newcomers = await forma.persons(4)  # whoever asked before may have no request of this minute left
            await all_answered(forma, await ask(forma, newcomers, f"back{round_}", tokens=5))
            if len(of_persons(await journal(pair[0]))) > before:
                break
    assert most_at_once(await journal(pair[1])) == SLOTS
    await forma.assert_sound()


async def test_a_killed_worker_s_slots_are_given_out_again(forma: Stack, pair: list[Any]) -> None:
    persons = await forma.persons(2 * SLOTS)
    asked = await ask(forma, persons, "killed", tokens=150)
    await asyncio.gather(*(person.wait_draft("word") for person in persons))
    await forma.kill("worker")
    await all_answered(forma, asked)
    others = await forma.persons(2 * SLOTS)
    await all_answered(forma, await ask(forma, others, "after", tokens=5))
    await forma.start("worker")
    await forma.assert_sound()
