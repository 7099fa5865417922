"""How busy a model server is, from vLLM's own /metrics: load, KV use, tokens a second."""

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import aiohttp

METRICS_S: Final = 3.0
"""How long a server may take to show its metrics."""

METRICS_BYTES_MAX: Final = 4 * 1_048_576
SAMPLE_S: Final = 1.0
"""Between the two looks that the tokens a second are reckoned from."""

_SAMPLE: Final = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|generation_tokens_total)"
    r"(?:\{[^}]*\})? (\S+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """One server now. `kv_share` is the used part of its KV cache, 0 … 1; tokens are those that it writes."""

    running: int
    waiting: int
    kv_share: float
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    running: float
    waiting: float
    kv_share: float
    written: float


async def loads(
    urls: Collection[str], session: aiohttp.ClientSession, *, sample_s: float = SAMPLE_S
) -> dict[str, ServerLoad | None]:
    """Read every server's metrics twice; None for one that shows none. Takes `sample_s` and what the servers take."""
    wanted = list(urls)
    first = await asyncio.gather(*(_read(url, session) for url in wanted))
    await asyncio.sleep(sample_s)
    second = await asyncio.gather(*(_read(url, session) for url in wanted))
    return {url: _load(*pair) for url, *pair in zip(wanted, first, second, strict=True)}


def _load(first: _Reading | None, second: _Reading | None) -> ServerLoad | None:
    if first is None or second is None or second.at_s <= first.at_s:
        return None
    # A server that was restarted in between counts from zero again.
    written = max(0.0, second.written - first.written)
    return ServerLoad(
        running=int(second.running),
        waiting=int(second.waiting),
        kv_share=min(1.0, max(0.0, second.kv_share)),
        tokens_per_s=written / (second.at_s - first.at_s),
    )


async def _read(url: str, session: aiohttp.ClientSession) -> _Reading | None:
    try:
        async with (
            asyncio.timeout(METRICS_S),
            session.get(f"{url}/metrics", allow_redirects=False) as response,
        ):
            if response.status != 200:
                return None
            raw = b""
            async for part in response.content.iter_any():
                raw += part
                if len(raw) > METRICS_BYTES_MAX:
                    return None
        return _parse(raw.decode(errors="replace"), asyncio.get_running_loop().time())
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, OverflowError):
        return None


def _parse(page: str, at_s: float) -> _Reading | None:
    """Several engines behind one address add up; of their KV caches the fullest counts."""
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(page):
        found.setdefault(name, []).append(float(value))
    if "num_requests_running" not in found:
        return None
    return _Reading(
        at_s=at_s,
        running=sum(found["num_requests_running"]),
        waiting=sum(found.get("num_requests_waiting", [])),
        kv_share=max(found.get("kv_cache_usage_perc", [0.0])),
        written=sum(found.get("generation_tokens_total", [])),
    )
