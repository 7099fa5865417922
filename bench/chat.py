"""`make bench`: a hundred persons in a closed loop through the whole of Forma, against the same model server bare.

Loaded: each person writes the next message when the final answer is there. Then the bodies that reached the model
server are sent straight to it by as many clients. Windows alternate (A B A B); tokens are the server's own count.
Idle: one person, one message at a time; from their send to the first Bot API call that carries the model's text, less
the time to the first token of the same body sent straight to the model server.
Reading: CPU for each 1,000 tokens of the whole worker under that load, with its queue, flusher and database, and of
Forma's reader alone, each to that of the openai client, which reads streams of the same bodies.
The last line is JSON: throughput_ratio, added_first_token_ms_p50 and _p95, cpu_s_per_1000_tokens,
cpu_ratio_to_openai_client, and what they are made of. Everything outside of Forma is simulated: Telegram's limits and
the model's latency are the sandbox's.
"""

import argparse
import asyncio
import itertools
import json
import random
import re
import statistics
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from bench import openai_reader
from bench.stack import Stack, running
from bench.telegram import ANSWER_TIMEOUT_S, Telegram

PERSONS = 100
WARM_UP_S = 15.0
IDLE_ROUNDS = 200
IDLE_PERSONS = 12
IDLE_PAUSE_S = 0.2
READ_STREAMS = 300

# Limits so wide that the plan decides nothing: what is measured is the machinery.
PLANS = """
[free]
kind = "free"
title = { ru = "Мера", en = "Measure" }
daily_tokens = 1_000_000_000
requests_per_minute = 1_000
in_flight = 1
queued = 10
context_tokens = 8_000
answer_tokens = 1_500
photos_per_day = 1
weight = 1
"""
QUESTIONS = (
    "Как лучше спать, если я поздно ложусь?",
    "Сколько белка мне нужно в день при весе 80 кг?",
    "Составь план тренировок на три дня в неделю.",
    "Что съесть перед утренней пробежкой?",
    "How do I recover after a long run?",
    "Почему болят колени после приседаний?",
)


# A delta with text in it; the first delta has the role and an empty text.
_TEXT = re.compile(rb'"content":"[^"]')


@dataclass
class Window:
    """One measured stretch."""

    seconds: float
    tokens: int
    cpu_s: float
    worker_cpu_s: float
    requests: int

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds


async def generated(session: aiohttp.ClientSession, model_url: str) -> int:
    """Return the model server's own count of generated tokens."""
    async with session.get(f"{model_url}/metrics") as response:
        text = await response.text()
    line = next(row for row in text.splitlines() if row.startswith("vllm:generation_tokens_total"))
    return int(float(line.rpartition(" ")[2]))


async def recorded(session: aiohttp.ClientSession, model_url: str) -> list[bytes]:
    """Return the bodies that reached the model server."""
    async with session.get(f"{model_url}/_control/requests") as response:
        found = (await response.json(loads=orjson.loads))["requests"]
    return [orjson.dumps(one["body"]) for one in found if one["path"] == "/v1/chat/completions"]


async def stream_bare(session: aiohttp.ClientSession, model_url: str, body: bytes) -> float:
    """Send a body straight to the model server, read all of it; return the seconds to its first text."""
    began, first = time.perf_counter(), 0.0
    headers = {"Content-Type": "application/json"}
    async with session.post(f"{model_url}/v1/chat/completions", data=body, headers=headers) as response:
        assert response.status == 200
        async for chunk in response.content.iter_any():
            if not first and _TEXT.search(chunk):
                first = time.perf_counter() - began
    return first


async def window(
    seconds: float, stack: Stack, session: aiohttp.ClientSession, done: "itertools.count[int]", *, own_cpu: bool
) -> Window:
    """Measure tokens and Forma's CPU for `seconds` while the load runs."""
    tokens, began = await generated(session, stack.model_url), time.perf_counter()
    cpu_s, worker_cpu_s = stack.cpu_s(), stack.cpu_s("worker")
    served = next(done)
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    return Window(
        took,
        await generated(session, stack.model_url) - tokens,
        stack.cpu_s() - cpu_s if own_cpu else 0.0,
        stack.cpu_s("worker") - worker_cpu_s if own_cpu else 0.0,
        next(done) - served - 1,
    )


async def loaded_by_forma(
    telegram: Telegram, persons: list[int], seconds: float, stack: Stack, session: aiohttp.ClientSession
) -> Window:
    """A hundred persons, each with one question at a time."""
    done = itertools.count()

    async def loop(person: int) -> None:
        chooser = random.Random(person)
        while True:
            await telegram.ask(person, chooser.choice(QUESTIONS))
            next(done)

    return await _under([loop(person) for person in persons], window(seconds, stack, session, done, own_cpu=True))


async def loaded_bare(bodies: list[bytes], seconds: float, stack: Stack, session: aiohttp.ClientSession) -> Window:
    """As many clients, each with one recorded body at a time."""
    done, feed = itertools.count(), itertools.cycle(bodies)

    async def loop() -> None:
        while True:
            await stream_bare(session, stack.model_url, next(feed))
            next(done)

    return await _under([loop() for _ in range(PERSONS)], window(seconds, stack, session, done, own_cpu=False))


async def _under(load: list[Any], measure: Any) -> Window:
    tasks = [asyncio.create_task(one) for one in load]
    try:
        await asyncio.sleep(WARM_UP_S)
        result: Window = await measure
        for task in tasks:
            if task.done():
                task.result()
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def idle(stack: Stack, session: aiohttp.ClientSession, telegram: Telegram, rounds: int) -> list[float]:
    """Return, for each round, what Forma adds to the first token, in ms."""
    # In turn, so that no chat's one message a second is what is measured.
    persons = [await telegram.person() for _ in range(IDLE_PERSONS)]
    added = []
    for number in range(rounds):
        person = persons[number % IDLE_PERSONS]
        if number // IDLE_PERSONS % 4 == 0:
            await telegram.ask(person, "/new")
        await _post_model(session, stack, "requests", delete=True)
        text = f"[[tokens: 12]] Вопрос {number}: {QUESTIONS[number % len(QUESTIONS)]}"
        waiter = telegram.first_text(person)
        began = time.perf_counter()
        await telegram.ask(person, text)
        through_forma = (await asyncio.wait_for(waiter, ANSWER_TIMEOUT_S)) - began
        (body,) = await recorded(session, stack.model_url)
        bare = await stream_bare(session, stack.model_url, body)
        added.append((through_forma - bare) * 1000)
        await asyncio.sleep(IDLE_PAUSE_S)
    return added


async def _post_model(session: aiohttp.ClientSession, stack: Stack, path: str, *, delete: bool = False) -> None:
    call = session.delete if delete else session.post
    async with call(f"{stack.model_url}/_control/{path}") as response:
        assert response.status == 200


async def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a window")
    parser.add_argument("--pairs", type=int, default=2, help="A B pairs")
    parser.add_argument("--idle", type=int, default=IDLE_ROUNDS, help="idle rounds")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"bench": "chat", "persons": PERSONS}
    timeout = aiohttp.ClientTimeout(total=None)
    if arguments.idle:
        # Without prefix cache and jitter the same body takes the same time twice.
        options = ("--cache-tokens", "0", "--jitter", "0")
        async with (
            running(PLANS, model_arguments=options) as stack,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session,
        ):
            telegram = Telegram(stack.telegram_url, session)
            async with telegram.followed():
                added = sorted(await idle(stack, session, telegram, arguments.idle))
        result["added_first_token_ms_p50"] = round(statistics.median(added), 1)
        result["added_first_token_ms_p95"] = round(added[int(len(added) * 0.95)], 1)
        print(f"idle: {len(added)} rounds, added p50 {result['added_first_token_ms_p50']} ms", flush=True)
    if arguments.pairs:
        result |= await _loaded(arguments.pairs, arguments.seconds, timeout)
    print(json.dumps(result))


async def _loaded(pairs: int, seconds: float, limit: aiohttp.ClientTimeout) -> dict[str, Any]:
    async with (
        running(PLANS) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limit) as session,
    ):
        telegram = Telegram(stack.telegram_url, session)
        forma, bare = [], []
        async with telegram.followed():
            persons = [await telegram.person() for _ in range(PERSONS)]
            for _ in range(pairs):
                forma.append(await loaded_by_forma(telegram, persons, seconds, stack, session))
                bodies = await recorded(session, stack.model_url)
                await asyncio.sleep(8)  # what the persons still had running ends
                bare.append(await loaded_bare(bodies, seconds, stack, session))
                await asyncio.sleep(3)
                print(
                    f"pair: Forma {forma[-1].tokens_per_s:.0f} tokens/s, {forma[-1].requests} answers; "
                    f"bare {bare[-1].tokens_per_s:.0f} tokens/s, {bare[-1].requests} requests",
                    flush=True,
                )
        reading = await _reading(stack, bodies, forma)
    ratios = [a.tokens_per_s / b.tokens_per_s for a, b in zip(forma, bare, strict=True)]
    return {
        "throughput_ratio": round(statistics.median(ratios), 4),
        "cpu_s_per_1000_tokens": round(statistics.median(w.cpu_s / w.tokens * 1000 for w in forma), 4),
        "forma_tokens_per_s": round(statistics.median(w.tokens_per_s for w in forma), 1),
        "bare_tokens_per_s": round(statistics.median(w.tokens_per_s for w in bare), 1),
        "answers_a_minute": round(statistics.median(w.requests / w.seconds * 60 for w in forma), 1),
        "too_many_requests": telegram.refused,
        **reading,
    }


async def _reading(stack: Stack, bodies: list[bytes], forma: list[Window]) -> dict[str, float]:
    """What the worker and its reader alone cost, to what the openai client costs for streams of the same bodies."""
    feed = list(itertools.islice(itertools.cycle(bodies), READ_STREAMS))
    rival = await openai_reader.measured("openai", stack.model_url, feed)
    alone = await openai_reader.measured("forma", stack.model_url, feed)
    assert rival.tokens == alone.tokens, (rival, alone)
    worker = statistics.median(window.worker_cpu_s / window.tokens * 1000 for window in forma)
    return {
        "cpu_ratio_to_openai_client": round(worker / rival.cpu_s_per_1000_tokens, 3),
        "reader_cpu_ratio_to_openai_client": round(alone.cpu_s_per_1000_tokens / rival.cpu_s_per_1000_tokens, 3),
        "worker_cpu_s_per_1000_tokens": round(worker, 4),
        "reader_cpu_s_per_1000_tokens": round(alone.cpu_s_per_1000_tokens, 4),
        "openai_cpu_s_per_1000_tokens": round(rival.cpu_s_per_1000_tokens, 4),
        "read_tokens": rival.tokens,
    }


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
