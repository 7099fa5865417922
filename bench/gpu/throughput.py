"""A hundred persons through Forma, then a hundred bare clients with the same prompts: tokens by the server's count."""

import asyncio
import itertools
import random
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import aiohttp
import sqlalchemy as sa

from app.context import App
from bench.gpu import clients
from bench.gpu.place import Place
from bench.stack import Stack
from bench.telegram import Telegram
from cli.compose import open_app
from inference import dialogs, history, prompt, turns

PERSONS = 100
QUESTION_WORDS = 200
ANSWER_TOKENS = 300
WARM_UP_S = 25.0  # the fair queue has seen by then what prompts take
IDLE_WITHIN_S = 60.0

PLANS = f"""
[free]
kind = "free"
title = {{ ru = "Мера", en = "Measure" }}
daily_tokens = 1_000_000_000
requests_per_minute = 1_000
in_flight = 1
queued = 10
context_tokens = 100_000
answer_tokens = {ANSWER_TOKENS}
photos_per_day = 1
weight = 1
"""


async def measure(place: Place, seconds: float) -> dict[str, Any]:
    """Return Forma's and the bare clients' tokens a second, and their ratio."""
    async with clients.open_session() as session:
        forma, bodies = await _through_forma(place, session, seconds)
        place.say("throughput.forma", forma)
        await clients.until_idle(session, place.url, IDLE_WITHIN_S)
        bare = await _bare(place, session, bodies, seconds)
        place.say("throughput.bare", bare)
        await clients.until_idle(session, place.url, IDLE_WITHIN_S)
    return {
        "throughput_ratio": round(forma["tokens_per_s"] / bare["tokens_per_s"], 4),
        "forma_tokens_per_s": forma["tokens_per_s"],
        "bare_tokens_per_s": bare["tokens_per_s"],
        "cpu_s_per_1000_tokens": forma["cpu_s_per_1000_tokens"],
    }


async def _through_forma(
    place: Place, session: aiohttp.ClientSession, seconds: float
) -> tuple[dict[str, Any], list[list[bytes]]]:
    """Each person writes the next message when the answer is there; return also the prompts, by person."""
    async with place.forma(PLANS) as stack:
        telegram = Telegram(stack.telegram_url, session)
        async with telegram.followed(), open_app(place.settings(stack)) as app:
            people = await telegram.people(PERSONS, "en")

            async def chat(person: int) -> None:
                dice = random.Random(person)
                while True:
                    await telegram.ask(person, clients.words(dice, QUESTION_WORDS))

            measured = await _under([chat(person) for person in people], place, session, seconds, stack)
            return {**measured, "too_many_requests": telegram.refused}, await _bodies(app, place.model)


async def _bare(
    place: Place, session: aiohttp.ClientSession, bodies: list[list[bytes]], seconds: float
) -> dict[str, Any]:
    """As many clients, each with one person's prompts one after another."""

    async def loop(own: Iterator[bytes]) -> None:
        while True:
            await clients.read(session, place.url, next(own))

    return await _under([loop(itertools.cycle(own)) for own in bodies], place, session, seconds, None)


async def _under(
    load: list[Coroutine[Any, Any, None]],
    place: Place,
    session: aiohttp.ClientSession,
    seconds: float,
    stack: Stack | None,
) -> dict[str, Any]:
    """Measure for `seconds` while the load runs."""
    tasks = [asyncio.create_task(one) for one in load]
    try:
        await asyncio.sleep(WARM_UP_S)
        count, cpu_s, began = await _generated(session, place), stack.cpu_s() if stack else 0.0, time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        tokens = await _generated(session, place) - count
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    measured: dict[str, Any] = {"tokens_per_s": round(tokens / took, 1), "seconds": round(took, 1)}
    if stack:
        measured["cpu_s_per_1000_tokens"] = round((stack.cpu_s() - cpu_s) / tokens * 1000, 4)
    return measured


async def _generated(session: aiohttp.ClientSession, place: Place) -> float:
    return await clients.metric(session, place.url, "vllm:generation_tokens_total")


async def _bodies(app: App, model: str) -> list[list[bytes]]:
    """Return the prompts of all turns as they were sent, by person and in order.

    The salt is another one than Forma's, so that the prefix cache knows as little of them as it did the first time.
    """
    async with app.db.read() as connection:
        rows = await connection.execute(sa.select(turns.turns).order_by(turns.turns.c.person_id, turns.turns.c.id))
        bodies: dict[int, list[bytes]] = {}
        for row in rows.all():
            read = await history.of(connection, dialog_id=row.dialog_id, turn_id=row.id, until=row.id)
            asked = [message for message in read if message.text]
            if asked[-1].role == dialogs.ASSISTANT:
                asked.pop()
            messages = [{"role": "system", "content": prompt.persona("en", "short")}]
            messages += [{"role": message.role, "content": message.text} for message in asked]
            bodies.setdefault(row.person_id, []).append(
                clients.body(model, messages, ANSWER_TOKENS, salt=f"bare:{row.person_id}")
            )
    return list(bodies.values())
