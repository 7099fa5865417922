"""One person at a time: what Forma adds to the first token, and how soon a press of stop frees the GPU."""

import asyncio
import random
import time
from typing import Any

import aiohttp

from bench.gpu import clients
from bench.gpu.place import Place
from bench.gpu.throughput import PLANS
from bench.telegram import Telegram
from inference import prompt

PERSONS = 12
QUESTION_WORDS = 40
ANSWER_TOKENS = 300
PAUSE_S = 0.2
IDLE_WITHIN_S = 30.0
SECONDS_MAX = 110.0  # what was measured by then is the result


async def measure(place: Place, rounds: int) -> dict[str, Any]:
    """Return ms: added first token, and from the stop (button or command) to nothing running at the server."""
    lost = 0
    added: list[float] = []
    stops: dict[str, list[float]] = {"button": [], "command": []}
    async with place.forma(PLANS) as stack, clients.open_session() as session:
        telegram = Telegram(stack.telegram_url, session)
        async with telegram.followed():
            # In turn, so that no chat's one message a second is what is measured.
            people = await telegram.people(PERSONS, "en")
            until = time.perf_counter() + SECONDS_MAX
            for number in range(rounds):
                if time.perf_counter() > until:
                    break
                person, way = people[number % PERSONS], ("button", "command")[number % 2]
                text = clients.words(random.Random(number), QUESTION_WORDS)
                try:
                    if number >= PERSONS:
                        await telegram.ask(person, "/new")
                    through_forma, stop_s = await _asked_and_stopped(place, session, telegram, person, text, way)
                    bare = await _bare(place, session, text, f"bare:{number}")
                except TimeoutError:
                    lost += 1
                    continue
                added.append((through_forma - bare) * 1000)
                stops[way].append(stop_s * 1000)
                await asyncio.sleep(PAUSE_S)
    return {
        "added_first_token_ms": clients.spread(added, 1),
        "stop_by_button_ms": clients.spread(stops["button"], 1),
        "stop_by_command_ms": clients.spread(stops["command"], 1),
        "rounds_lost": lost,
    }


async def _asked_and_stopped(
    place: Place, session: aiohttp.ClientSession, telegram: Telegram, person: int, text: str, way: str
) -> tuple[float, float]:
    """Ask, stop at the first text; return the seconds to it, and from the stop to an idle server."""
    waiter = telegram.first_text(person)
    began = time.perf_counter()
    asking = asyncio.create_task(telegram.ask(person, text))
    try:
        first_s = await asyncio.wait_for(waiter, IDLE_WITHIN_S) - began
        pressed = time.perf_counter()
        if way == "button":
            await telegram.post(f"persons/{person}/stop", {})
        else:
            await telegram.post(f"persons/{person}/send", {"text": "/stop"})
        await clients.until_idle(session, place.url, IDLE_WITHIN_S)
        stopped_s = time.perf_counter() - pressed
        await asking
    finally:
        asking.cancel()
    return first_s, stopped_s


async def _bare(place: Place, session: aiohttp.ClientSession, text: str, salt: str) -> float:
    """Return the seconds to the first text of the same prompt without Forma."""
    messages = [{"role": "system", "content": prompt.persona("en", "short")}, {"role": "user", "content": text}]
    body = clients.body(place.model, messages, ANSWER_TOKENS, salt=salt)
    reading = await clients.read(session, place.url, body, first_only=True)
    await clients.until_idle(session, place.url, IDLE_WITHIN_S)
    return reading.first_s
