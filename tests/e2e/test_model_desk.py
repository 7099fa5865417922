"""Models by command: how the servers do, drain and weight, a fallback that answers, models.toml read again."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from kit.words import words
from tests.e2e.conftest import ADMIN_GROUP, QUICK
from tests.support import shop
from tests.support.forma import Forma, running
from tests.support.model import drive, of_persons
from tests.support.slow_redis import SlowRedis, slowed
from tests.support.telegram import Group, Person, Seen

say = words("ru").say
LAST_TURN = "FROM turns WHERE person_id = :id ORDER BY id DESC LIMIT 1"
_numbers = itertools.count(1)


@dataclass
class World:
    """Two servers of one model, one of another that stands in for it, and the file that says so."""

    forma: Forma
    path: Path
    big: list[Any]
    small: Any
    room: Group
    operator: Person
    way: SlowRedis

    def write(self, *, fallback: str = "small", without: str = "", big_slots: int = 8, context: int = 32_768) -> None:
        """Write models.toml, the big model first."""
        entries = {
            "big": entry("big", self.big, slots=big_slots, context=context, fallback=fallback, input=250, output=1000),
            "small": entry("small", [self.small], slots=8, context=32_768, fallback="", input=100, output=400),
        }
        entries.pop(without, None)
        self.path.write_text("\n".join(entries.values()), encoding="utf-8")

    async def command(self, text: str, answer: str) -> Seen:
        await self.operator.send(text, chat=self.room)
        return await self.operator.wait_for(answer, chat=self.room, timeout_s=60)

    async def served(self) -> dict[str, int]:
        """How many chat requests each server has had, probes aside."""
        found = {}
        for name, server in (("big 1", self.big[0]), ("big 2", self.big[1]), ("small", self.small)):
            async with drive(server.base_url) as llm:
                found[name] = len(of_persons(await llm.requests()))
        return found

    async def answered(self, person: Person) -> str:
        """Ask something, and return which server answered."""
        before = await self.served()
        text = f"answer {next(_numbers)}"
        said = await self.forma.said(person, f"[[echo: {text}]]")
        assert text in said[-1], said
        after = await self.served()
        (server,) = (name for name in after if after[name] > before[name])
        return server


def entry(name: str, servers: list[Any], **fields: Any) -> str:
    replicas = "\n".join(f'[[models.{name}.replicas]]\nbase_url = "{one.base_url}"' for one in servers)
    return f"""
[models.{name}]
purpose = "chat"
name = "sim-{name}"
context_length = {fields["context"]}
slots = {fields["slots"]}
kv_tokens = 100000
fallback = "{fields["fallback"]}"
prices = {{ input = {fields["input"]}, cached = 50, output = {fields["output"]} }}
{replicas}
"""


@pytest.fixture(scope="module")
async def world(
    database_url: str, redis_url: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    path = tmp_path_factory.mktemp("desk") / "models.toml"
    big = [await sandbox.model.server.start(name="sim-big", **QUICK) for _ in range(2)]
    small = await sandbox.model.server.start(name="sim-small", **QUICK)
    tg = await sandbox.telegram.server.start()
    made = World(None, path, big, small, None, None, None)  # type: ignore[arg-type]
    made.write()
    more = {"model_url": "", "model_name": "", "models_file": path, "admin_chat_id": ADMIN_GROUP}
    try:
        async with (
            slowed(redis_url, 0.0) as (made.way, url),
            running(database_url, url, tg, big[0], **more) as forma,
        ):
            operator = await forma.tg.person(first_name="Оператор", language_code="ru")
            made.room = await forma.tg.group(
                title="Room", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
            )
            made.forma, made.operator = forma, operator
            yield made
    finally:
        await tg.close()
        for server in (*made.big, small):
            await server.close()


async def test_the_list_says_how_each_server_does(world: World) -> None:
    seen = await world.command("/models", "sim-small")
    assert seen.text.count("✅") == 3
    assert [server.base_url in seen.text for server in (*world.big, world.small)] == [True] * 3
    assert "занято мест: 0 из 8, вес 1" in seen.text
    assert "KV 0\u00a0%" in seen.text


@pytest.mark.parametrize("text", ["/models drain big", "/models what"])
async def test_whoever_mistypes_reads_how_it_goes(world: World, text: str) -> None:
    assert (await world.command(text, "/models reload")).text == say("admin-models-usage")


async def test_a_server_that_is_not_there_is_named(world: World) -> None:
    await world.command("/models drain huge 1", "У модели huge нет сервера 1")
    await world.command("/models resume big 3", "У модели big нет сервера 3")
    await world.command("/models resume big -1", "У модели big нет сервера 0")
    await world.command("/models weight big 1 101", "от 1 до 100")


async def test_a_drained_server_gets_nothing_new_until_it_is_resumed(world: World) -> None:
    forma = world.forma
    persons = [await forma.person("ru") for _ in range(3)]
    await world.command("/models drain big 1", "Сервер 1 модели big закончит")
    assert {await world.answered(person) for person in persons} == {"big 2"}
    assert "⏸" in (await world.command("/models", "⏸")).text
    await world.command("/models drain big 2", "Сервер 2 модели big закончит")
    assert await world.answered(persons[0]) == "small"
    await world.command("/models resume big 1", "Сервер 1 модели big снова")
    assert await world.answered(persons[0]) == "big 1"
    await world.command("/models resume big 2", "Сервер 2 модели big снова")
    actions = "SELECT array_agg(action ORDER BY id) FROM audit_log WHERE actor_id = :by AND action LIKE 'replica_%'"
    assert await forma.scalar(actions, by=world.operator.id) == ["replica_drain"] * 2 + ["replica_resume"] * 2


async def test_a_weight_outlives_the_processes(world: World) -> None:
    forma = world.forma
    await world.command("/models weight big 2 5", "теперь 5")
    url = world.big[1].base_url
    assert await forma.scalar("SELECT weight FROM replica_orders WHERE base_url = :url", url=url) == 5
    assert "вес 5" in (await world.command("/models", "вес 5")).text
    await world.command("/models weight big 2 1", "теперь 1")


async def test_where_all_servers_are_away_the_fallback_answers_at_its_own_price_and_they_come_back(
    world: World,
) -> None:
    forma = world.forma
    person = await forma.person("ru")
    urls = [server.base_url for server in world.big]
    for server in world.big:
        await server.close()
    async with drive(world.small.base_url) as llm:
        asked = len(of_persons(await llm.requests()))
        assert "stand-in" in (await forma.said(person, "[[echo: stand-in]]"))[-1]
        assert len(of_persons(await llm.requests())) == asked + 1
    row = f"SELECT billed_tokens = ceil((input_tokens * 100 + output_tokens * 400) / 1000.0) {LAST_TURN}"
    assert await forma.scalar(row, id=person.id)
    counted = await forma.app.redis.hget(f"fq:limits:{person.id}", "tokens-per-minute")
    due_us, us_a_token = map(float, counted.split(b":")[:2])
    row = f"SELECT extract(epoch FROM created_at)::float8 + billed_tokens * :per {LAST_TURN}"
    assert due_us / 1e6 <= max(time.time(), await forma.scalar(row, id=person.id, per=us_a_token / 1e6))
    assert "❌" in (await world.command("/models", "❌")).text
    world.big[:] = [
        await sandbox.model.server.start(port=int(url.rpartition(":")[2]), name="sim-big", **QUICK) for url in urls
    ]
    async with asyncio.timeout(60):
        while any(state.out for state in (await forma.app.replicas.states(urls)).values()):
            await asyncio.sleep(0.05)
    assert (await world.answered(person)).startswith("big")
    assert await forma.violations() == []


async def test_a_mistake_in_the_file_changes_nothing_and_is_named_with_its_line(world: World) -> None:
    good = world.path.read_text(encoding="utf-8")
    world.path.write_text(good.replace("slots = 8", "slots = many", 1), encoding="utf-8")
    line = good.split("\n").index("slots = 8") + 1
    seen = await world.command("/models reload", "Ничего не изменилось")
    assert f"models.toml:{line}:" in seen.text
    world.write(context=100_000)
    seen = await world.command("/models reload", "Ничего не изменилось")
    assert "context_length" in seen.text
    assert "has a context of 32768 tokens" in seen.text
    world.write()
    assert "ничего не изменилось" in (await world.command("/models reload", "перечитан")).text
    assert await world.answered(await world.forma.person("ru"))


async def test_a_person_is_told_of_the_model_that_answers_their_plan(world: World) -> None:
    forma = world.forma
    text = world.path.read_text(encoding="utf-8").replace('"sim-big"', '"sim-big"\nplans = ["forma"]')
    text = text.replace('"sim-small"', '"sim-small"\nreasoning_parser = "qwen3"').replace('fallback = "small"', "")
    world.path.write_text(text, encoding="utf-8")
    await world.command("/models reload", "Изменились: big, small")
    person = await forma.person("ru")
    assert await world.answered(person) == "small"
    assert "sim-small" in (await forma.said(person, "/context"))[-1]
    assert (await forma.said(person, "/think"))[-1] == say("thinking", value="off")
    assert forma.answers(person)[0].labels[-1] == say("button-think")
    world.write()
    await world.command("/models reload", "Изменились: big, small")


async def test_a_reload_changes_what_the_file_says_and_is_audited(world: World) -> None:
    world.write(big_slots=3)
    assert "Изменились: big" in (await world.command("/models reload", "перечитан")).text
    assert "из 3, вес 1" in (await world.command("/models", "из 3")).text
    state = await world.forma.app.queues["big"].snapshot()
    assert state.slots == 6
    world.write()
    await world.command("/models reload", "Изменились: big")
    by = "SELECT count(*) FROM audit_log WHERE action = 'models_reload' AND actor_id = :by"
    assert await world.forma.scalar(by, by=world.operator.id) >= 2


async def test_a_reload_that_met_a_lost_redis_is_done_whole_once_redis_is_back(world: World) -> None:
    forma = world.forma
    world.write(big_slots=5)
    world.way.away = True
    await world.way.close()
    await world.operator.send("/models reload", chat=world.room)
    await forma.quiet_until("SELECT attempts > 0 FROM inbox ORDER BY id DESC LIMIT 1")
    world.way.away = False
    await world.operator.wait_for("Изменились: big", chat=world.room, timeout_s=60)
    assert (await forma.app.queues["big"].snapshot()).slots == 10
    world.write()
    await world.command("/models reload", "Изменились: big")


async def test_open_turns_of_an_entry_that_is_gone_are_answered_by_its_fallback(world: World) -> None:
    forma = world.forma
    person = await forma.person("ru")
    await forma.stop("worker")
    await person.send("[[echo: from the heir]]")
    await forma.quiet_until(f"SELECT model = 'big' {LAST_TURN}", id=person.id)
    world.write(without="big")
    assert "Больше нет: big" in (await world.command("/models reload", "перечитан")).text
    before = await world.served()
    await forma.start("worker")
    await person.wait_for("from the heir", timeout_s=30)
    assert (await world.served())["small"] == before["small"] + 1
    world.write()
    assert "Новые: big" in (await world.command("/models reload", "перечитан")).text
    assert (await world.answered(person)).startswith("big")


async def test_open_turns_of_an_entry_that_left_no_fallback_end_in_words_and_free_of_charge(world: World) -> None:
    forma = world.forma
    world.write(fallback="")
    await world.command("/models reload", "Изменились: big")
    person = await forma.person("ru")
    await forma.stop("worker")
    await person.send("[[echo: never]]")
    await forma.quiet_until(f"SELECT model = 'big' {LAST_TURN}", id=person.id)
    world.write(without="big")
    await world.command("/models reload", "Больше нет: big")
    await forma.start("worker")
    failure = await person.wait_for("Модель сейчас не отвечает", timeout_s=30)
    assert failure.labels[0] == say("button-retry")
    assert await forma.scalar(f"SELECT billed_tokens = 0 {LAST_TURN}", id=person.id)
    await person.press(failure, 0)
    await person.wait_for("never", timeout_s=30)
    world.write()
    await world.command("/models reload", "Новые: big")
    assert await forma.violations() == []


@pytest.mark.parametrize(("of_input", "of_output"), [(0, 0), (1, 1), (250, 0)])
async def test_a_model_that_costs_next_to_nothing_answers_whoever_has_a_few_tokens(
    world: World, of_input: int, of_output: int
) -> None:
    forma = world.forma
    world.write()
    cheap = f"prices = {{ input = {of_input}, cached = 0, output = {of_output} }}"
    text = world.path.read_text(encoding="utf-8")
    world.path.write_text(re.sub(r"prices = .*", cheap, text), encoding="utf-8")
    await world.command("/models reload", "Изменились: big, small")
    person = await forma.person("ru")
    assert (await world.answered(person)).startswith("big")
    row = f"SELECT billed_tokens = ceil((input_tokens * {of_input} + output_tokens * {of_output}) / 1000.0) {LAST_TURN}"
    assert await forma.scalar(row, id=person.id)
    await forma.spend(person, leave=150)
    assert (await world.answered(person)).startswith("big")
    world.write()
    await world.command("/models reload", "Изменились: big, small")
    assert await forma.violations() == []


async def test_what_a_plans_model_can_do_is_offered_to_its_people_alone(world: World) -> None:
    forma = world.forma
    world.write()
    named = 'name = "sim-big"\nreasoning_parser = "sandbox"\nplans = ["trial", "lite", "forma", "max", "year"]'
    text = world.path.read_text(encoding="utf-8")
    world.path.write_text(text.replace('name = "sim-big"', named), encoding="utf-8")
    await world.command("/models reload", "перечитан")
    person = await forma.person("ru")
    assert await world.answered(person) == "small"
    assert say("button-think") not in forma.answers(person)[-1].labels
    await person.send("/think")
    await person.wait_for(say("thinking-not-offered"))
    await person.send("/context")
    await person.wait_for("Отвечает sim-small")
    await shop.subscribe(person, shop.TONGUES["ru"])
    assert (await world.answered(person)).startswith("big")
    assert say("button-think") in forma.answers(person)[-1].labels
    await person.send("/think")
    await person.wait_for(say("thinking", value="off"))
    await person.send("/context")
    await person.wait_for("Отвечает sim-big")
    world.write()
    await world.command("/models reload", "перечитан")
