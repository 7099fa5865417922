"""How fairly slots are shared, on virtual time and once in real time: the real Lua under three policies.

    make bench-fair

The flood: 30 slots, forty persons who ask something once a minute, one with 1,500 requests at once, under first come
first served, the paper's virtual token counters alone, and Forma. Then, under Forma: ninety-nine busy persons of all
plans and newcomers; a hundred persons who talk without a pause; and the flood once more in real time, 20 times faster,
on the simulated model server. The last line of the output is JSON.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench import queue_live
from bench.queue_scenes import (
    BUSY,
    FCFS,
    FORMA,
    LIGHT,
    NEWCOMERS,
    VTC,
    WEIGHTS,
    flood,
    flood_requests,
    hundred,
    jain,
    newcomers,
)
from bench.queue_world import SECOND, START, Seen, quantile
from cli.embedded import Valkey, prepare_data_dir
from cli.owner import server_owner
from kit import redis as kit_redis

FLOOD_REQUESTS = 1_500
SCENE_S = 600
SETTLED_S = 60
"""Shares are compared from here on: persons who have been busy for less have not been served yet."""


def waits_of(seen: Seen, persons: Iterable[int] | None = None) -> dict[str, float]:
    """Return p50, p95 and the longest wait in seconds."""
    waits = seen.waits(persons)
    return {name: round(quantile(waits, part), 3) for name, part in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))}


def weighted_jain(seen: Seen) -> float:
    """Return Jain's index of what the busy were served ÷ their weights."""
    since = START + SETTLED_S * SECOND
    return jain([seen.got(person, since, seen.until) / WEIGHTS[person % len(WEIGHTS)] for person in BUSY])


def expected_share(all_seen: Sequence[Seen]) -> float:
    """Return the part of requests that waited as long as was said, by a range no wider than promised."""
    told = [one.expected for seen in all_seen for one in seen.served]
    return sum(told) / len(told)


async def measure(redis: Redis, *, seed: int, requests: int, seconds: int) -> dict[str, Any]:
    """Run the scenes on virtual time and return their figures. The Redis is emptied."""
    floods = {}
    for policy in (FCFS, VTC, FORMA):
        floods[policy.name] = await flood(redis, policy, seed=seed, requests=requests)
        print(row(policy.name, floods[policy.name]), flush=True)
    crowd = await newcomers(redis, FORMA, seed=seed, seconds=seconds)
    print(f"newcomers among the busy wait {waits_of(crowd, range(NEWCOMERS, 2 * NEWCOMERS))} s", flush=True)
    house = await hundred(redis, FORMA, seed=seed, seconds=seconds, think_s=0.0)
    service_s = quantile((one.request.service_us / SECOND for one in house.served), 0.95)
    print(f"a hundred wait {waits_of(house)} s, p95 of the service {service_s:.1f} s", flush=True)
    forma = floods[FORMA.name]
    told = {"flood": [forma], "newcomers": [crowd], "hundred": [house]}
    return {
        "bench": "fair",
        "light_wait_s_p95": waits_of(forma, LIGHT)["p95"],
        "light_wait_s_p95_fcfs": waits_of(floods[FCFS.name], LIGHT)["p95"],
        "light_wait_s_p95_vtc": waits_of(floods[VTC.name], LIGHT)["p95"],
        "light_wait_s_max": waits_of(forma, LIGHT)["max"],
        "idle_slot_share": round(forma.idle_share, 4),
        "jain": round(weighted_jain(crowd), 4),
        "newcomer_wait_s_max": waits_of(crowd, range(NEWCOMERS, 2 * NEWCOMERS))["max"],
        "longest_wait_to_p95_service": round(max(house.waits()) / service_s, 3),
        "eta_hit_share": round(expected_share([forma, crowd, house]), 4),
        "eta_hit_shares": {name: round(expected_share(seen), 4) for name, seen in told.items()},
    }


async def measure_live(redis: Redis, *, seed: int, requests: int) -> dict[str, Any]:
    """Run the flood in real time; waits are told in the scene's own time."""
    seen = await queue_live.run(redis, FORMA.config, flood_requests(seed=seed, requests=requests))
    print(row(f"Forma, {queue_live.SPEED} times faster", seen), flush=True)
    return {
        "live_light_wait_s_p95": waits_of(seen, LIGHT)["p95"],
        "live_light_wait_s_max": waits_of(seen, LIGHT)["max"],
        "live_idle_slot_share": round(seen.idle_share, 4),
        "live_requests": len(seen.served),
    }


def head() -> str:
    """Return the table's head."""
    return f"{'the flood':28s}{'light wait, s: p50':>20s}{'p95':>9s}{'max':>9s}{'idle':>8s}{'over after, s':>15s}"


def row(name: str, seen: Seen) -> str:
    """Return one run of the flood as a row of the table."""
    waits = waits_of(seen, LIGHT)
    over_s = (seen.until - START) / SECOND
    return f"{name:28s}{waits['p50']:20.2f}{waits['p95']:9.2f}{waits['max']:9.2f}{seen.idle_share:8.3f}{over_s:15.0f}"


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="another seed, other sizes and times")
    parser.add_argument("--requests", type=int, default=FLOOD_REQUESTS, help="requests of the flood")
    parser.add_argument("--seconds", type=int, default=SCENE_S, help="virtual length of the other scenes")
    parser.add_argument("--skip-live", action="store_true", help="virtual time only")
    return parser.parse_args(arguments)


async def both(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run everything and return one line's figures."""
    redis = kit_redis.connect(url)
    try:
        print(head(), flush=True)
        live = {} if options.skip_live else await measure_live(redis, seed=options.seed, requests=options.requests)
        figures = await measure(redis, seed=options.seed, requests=options.requests, seconds=options.seconds)
        return figures | live
    finally:
        await redis.aclose()


def main() -> None:
    """Start a Valkey, run the scenes, and print the line."""
    options = parsed()
    owner = server_owner()
    with tempfile.TemporaryDirectory(prefix="forma-bench-") as home:
        valkey = Valkey(prepare_data_dir(Path(home), owner), owner)
        try:
            valkey.start()
            print(json.dumps(asyncio.run(both(valkey.url(), options))))
        finally:
            valkey.stop()


if __name__ == "__main__":
    main()
