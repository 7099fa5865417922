"""Bare clients: they read the model server's stream as a gateway must, and do nothing else."""

import asyncio
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import orjson

# A delta with text in it; the first delta has the role and an empty text.
_TEXT = re.compile(rb'"content":"[^"]')
_WORDS = ("import", "return", "self", "class", "value", "name", "list", "print")
READ_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds from the request to the first text, and to the end of the stream."""

    first_s: float
    whole_s: float


def words(dice: random.Random, count: int) -> str:
    """Return so many words that a tokenizer made from Python's library knows as one token each."""
    return " ".join(dice.choice(_WORDS) for _ in range(count))


def body(model: str, messages: Sequence[Mapping[str, str]], answer_tokens: int, *, salt: str = "") -> bytes:
    """Return a chat request whose answer is exactly `answer_tokens` long."""
    fields = {
        "model": model,
        "messages": messages,
        "max_tokens": answer_tokens,
        "temperature": 1.0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    return orjson.dumps({**fields, "cache_salt": salt} if salt else fields)


def open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=READ_TIMEOUT_S)
    )


async def read(session: aiohttp.ClientSession, url: str, request: bytes, *, first_only: bool = False) -> Reading:
    """Send a chat request, read its stream to the end (or hang up after the first text)."""
    began, first_s = time.perf_counter(), 0.0
    headers = {"Content-Type": "application/json"}
    async with session.post(f"{url}/v1/chat/completions", data=request, headers=headers) as response:
        if response.status != 200:
            raise RuntimeError(f"the model server answers {response.status}: {(await response.text())[:300]}")
        async for chunk in response.content.iter_any():
            if not first_s and _TEXT.search(chunk):
                first_s = time.perf_counter() - began
                if first_only:
                    break
        else:
            return Reading(first_s, time.perf_counter() - began)
        response.close()
        return Reading(first_s, first_s)


async def metric(session: aiohttp.ClientSession, url: str, name: str) -> float:
    """Return the sum of a metric's samples on the server's /metrics page."""
    async with session.get(f"{url}/metrics") as response:
        page = await response.text()
    rows = [row for row in page.splitlines() if row.startswith((f"{name}{{", f"{name} "))]
    if not rows:
        raise LookupError(f"{url}/metrics has no {name}")
    return sum(float(row.rpartition(" ")[2]) for row in rows)


async def until_idle(session: aiohttp.ClientSession, url: str, within_s: float) -> float:
    """Wait until the server runs nothing; return the seconds that took."""
    began = time.perf_counter()
    async with asyncio.timeout(within_s):
        while await metric(session, url, "vllm:num_requests_running"):  # noqa: ASYNC110 - it is asked, it tells nobody
            await asyncio.sleep(0.005)
    return time.perf_counter() - began


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float | int]:
    """Return n, p50, p95 and max, for a result's line."""
    if not values:
        return {"n": 0}
    return {
        "n": len(values),
        "p50": round(quantile(values, 0.5), digits),
        "p95": round(quantile(values, 0.95), digits),
        "max": round(max(values), digits),
    }
