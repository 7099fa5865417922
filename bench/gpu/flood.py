"""The flood: forty light persons write now and then, one has six hundred requests waiting; 32 slots.

Bare, the light ones' requests stand in vLLM's own queue behind the flood. With Forma in front each light person is a
person in Telegram, and the flood is one person with six hundred dialogs open: 600 turns in the fair queue. What a
light person waits is told in the stretches that Forma's own rows and the sandbox's events mark: until the worker took
the turn, until the model's first text, until that text was in the chat.
"""

import asyncio
import random
import time
from typing import Any

import aiohttp
import sqlalchemy as sa

from app import free_access, persons
from app.context import App
from app.turn_accept import Incoming, accept
from bench.gpu import clients
from bench.gpu.place import Place
from bench.telegram import Telegram
from cli.compose import open_app
from inference import dialogs

LIGHT_PERSONS = 40
FLOOD_REQUESTS = 600
LIGHT_WORDS, LIGHT_ANSWER_TOKENS = 400, 200
FLOOD_WORDS, FLOOD_ANSWER_TOKENS = 800, 400
ARRIVE_WITHIN_S, PAUSE_MEAN_S = 10.0, 20.0
DRAIN_S = 45.0
WARM_UP = 8  # questions before the first window, from which the fair queue learns what prompts take
FIRST_MESSAGE_ID = 1_000_000_000

# Light persons are on the free plan; the flood's person has a plan with longer answers and no bound worth the name.
PLANS = f"""
[free]
kind = "free"
title = {{ ru = "Мера", en = "Measure" }}
daily_tokens = 1_000_000_000
requests_per_minute = 1_000
in_flight = 1
queued = 10
context_tokens = 100_000
answer_tokens = {LIGHT_ANSWER_TOKENS}
photos_per_day = 1
weight = 1

[flood]
kind = "subscription"
title = {{ ru = "Поток", en = "Flood" }}
stars = 1
tokens = 1_000_000_000
requests_per_minute = 10_000
in_flight = 1_000
queued = 1_000
context_tokens = 100_000
answer_tokens = {FLOOD_ANSWER_TOKENS}
photos_per_day = 1
weight = 1

[trial]
kind = "trial"
of = "flood"
days = 7
title = {{ ru = "Поток на пробу", en = "Flood trial" }}
tokens = 1_000_000_000
requests_per_minute = 10_000
in_flight = 1_000
queued = 1_000
context_tokens = 100_000
answer_tokens = {FLOOD_ANSWER_TOKENS}
photos_per_day = 1
weight = 1
"""


async def measure(place: Place, seconds: float) -> dict[str, Any]:
    """Return what light persons wait for their first token: bare and with Forma, each without and with the flood."""
    result: dict[str, Any] = {}
    async with clients.open_session() as session:
        for name, flood, window_s in (("quiet", 0, seconds / 2), ("flooded", FLOOD_REQUESTS, seconds / 2)):
            result[f"bare_{name}"] = await _bare(session, place.url, place.model, flood, window_s)
            place.say(f"flood.bare.{name}", result[f"bare_{name}"])
            await clients.until_idle(session, place.url, DRAIN_S)
    for name, window in (await _through_forma(place, seconds / 2, seconds)).items():
        result[f"forma_{name}"] = window
    return result


async def _bare(session: aiohttp.ClientSession, url: str, model: str, flood: int, seconds: float) -> dict[str, Any]:
    """Return the light persons' first token without Forma, `flood` requests being in front of them."""
    dice = random.Random(1)
    seen: list[float] = []
    unanswered: list[float] = []
    until = time.perf_counter() + seconds

    async def light() -> None:
        await asyncio.sleep(dice.random() * ARRIVE_WITHIN_S)
        while time.perf_counter() < until:
            request = _request(model, dice, LIGHT_WORDS, LIGHT_ANSWER_TOKENS)
            began = time.perf_counter()
            try:
                async with asyncio.timeout(max(0.1, until + DRAIN_S - began)):
                    seen.append((await clients.read(session, url, request)).first_s)
            except TimeoutError:
                seen.append(time.perf_counter() - began)  # at least that long
                unanswered.append(began)
            await _pause(dice, until)

    heavy = [
        asyncio.create_task(clients.read(session, url, _request(model, dice, FLOOD_WORDS, FLOOD_ANSWER_TOKENS)))
        for _ in range(flood)
    ]
    await asyncio.gather(*(light() for _ in range(LIGHT_PERSONS)))
    done = sum(one.done() for one in heavy)
    for one in heavy:
        one.cancel()
    await asyncio.gather(*heavy, return_exceptions=True)
    return {"light_first_token_s": clients.spread(seen), "light_unanswered": len(unanswered), "flood_answered": done}


async def _pause(dice: random.Random, until: float) -> None:
    """Wait as long as a light person thinks, or until the window ends."""
    await asyncio.sleep(min(dice.expovariate(1 / PAUSE_MEAN_S), max(0.0, until - time.perf_counter())))


def _request(model: str, dice: random.Random, words: int, answer_tokens: int) -> bytes:
    return clients.body(model, [{"role": "user", "content": clients.words(dice, words)}], answer_tokens)


async def _through_forma(place: Place, quiet_s: float, flooded_s: float) -> dict[str, Any]:
    """Return what the light persons wait with Forma in front, first alone and then with the flood."""
    async with place.forma(PLANS) as stack, clients.open_session() as session:
        telegram = Telegram(stack.telegram_url, session)
        async with telegram.followed(), open_app(place.settings(stack)) as app:
            lights = await telegram.people(LIGHT_PERSONS, "en")
            dice = random.Random(4)
            await asyncio.gather(*(telegram.ask(one, clients.words(dice, LIGHT_WORDS)) for one in lights[:WARM_UP]))
            heavy = await telegram.person("en")
            result = {"quiet": await _window(app, telegram, lights, quiet_s)}
            place.say("flood.forma.quiet", result["quiet"])
            began = time.perf_counter()
            await _flood(app, heavy)
            place.say("flood.forma.submitted", {"requests": FLOOD_REQUESTS, "s": round(time.perf_counter() - began, 1)})
            result["flooded"] = await _window(app, telegram, lights, flooded_s)
            async with app.db.read() as connection:
                result["flooded"]["flood_answered"] = await connection.scalar(
                    sa.text("SELECT count(*) FROM turns WHERE person_id = :id AND status = 'done'"), {"id": heavy}
                )
            place.say("flood.forma.flooded", result["flooded"])
    return result


async def _flood(app: App, person_id: int) -> None:
    """Ask FLOOD_REQUESTS questions of one person, each in a dialog of its own."""
    dice = random.Random(2)
    now = app.clock.now()
    async with app.db.transaction() as tx:
        person = await persons.find(tx, person_id=person_id)
        assert person is not None
        await free_access.start_trial(tx, person, now=now)
    for number in range(FLOOD_REQUESTS):
        async with app.db.transaction() as tx:
            await dialogs.close_active(tx, chat_id=person_id)
        text = clients.words(dice, FLOOD_WORDS)
        incoming = Incoming(person, person_id, FIRST_MESSAGE_ID + number, text)
        await accept(app, incoming, app.db.transaction)


async def _window(app: App, telegram: Telegram, lights: list[int], seconds: float) -> dict[str, Any]:
    """Let the light persons write for so long; return where their seconds went."""
    dice = random.Random(3)
    shown: list[float] = []
    since = app.clock.now()
    until = time.perf_counter() + seconds

    async def light(person: int) -> None:
        await asyncio.sleep(dice.random() * ARRIVE_WITHIN_S)
        while time.perf_counter() < until:
            began = time.perf_counter()
            waiter = telegram.first_text(person)
            await telegram.ask(person, clients.words(dice, LIGHT_WORDS))
            shown.append(await waiter - began)
            await _pause(dice, until)

    await asyncio.gather(*(light(person) for person in lights))
    async with app.db.read() as connection:
        rows = (
            await connection.execute(
                sa.text(
                    """
                    SELECT extract(epoch FROM started_at - created_at), extract(epoch FROM first_token_at - started_at)
                    FROM turns WHERE created_at >= :since AND person_id = ANY (CAST(:lights AS bigint[]))
                      AND first_token_at IS NOT NULL
                    """
                ),
                {"since": since, "lights": lights},
            )
        ).all()
    return {
        "taken_s": clients.spread([float(row[0]) for row in rows]),
        "model_first_s": clients.spread([float(row[1]) for row in rows]),
        "first_token_s": clients.spread([float(row[0] + row[1]) for row in rows]),
        "first_text_s": clients.spread(shown),
        "too_many_requests": telegram.refused,
    }
