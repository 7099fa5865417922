"""What an operation of the fair queue costs as the queue grows: with 100, 10 thousand and 100 thousand tickets waiting.

    make bench-queue

Each size is a queue of its own in one Redis, twice: ten tickets a person, and all tickets one person's. They are asked
in turn, an operation each, so that the machine's drift hits all alike, and each keeps its size: what is finished is
submitted again. Measured are the round trip, as a worker waits for it, and the time within Redis, by its slow log.
The last line of the output is JSON; `growth_ratio_p99` is the worst operation's p99 in the longest queue ÷ that in the
shortest.
"""

import argparse
import asyncio
import gc
import itertools
import json
import random
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from cli.embedded import Valkey, prepare_data_dir
from cli.owner import server_owner
from inference.queue.fair import FairQueue
from inference.queue.scripts import SCRIPTS
from inference.queue.ticket import Claim, QueueConfig, Ticket, Usage
from kit import redis as kit_redis

SIZES = (100, 10_000, 100_000)
SHAPES = {"ten_a_person": 10, "one_person": 0}
"""Waiting tickets of each person; 0: all are one person's."""
OPERATIONS = ("submit", "claim", "renew", "finish")
HELD = 16
"""Leases that run while the queue is measured, so that renewals and finishes have company."""
SLOTS = 32
FILL_BATCH = 100
SLOW_LOG_MAX = 20_000
ROUNDS_A_READING = 500
"""After so many rounds the slow log is read; it holds more than they write."""
DEADLINE_S = 3_600
WARM_UP_PART = 0.05

Times = dict[str, list[float]]


@dataclass
class Line:
    """One queue of a fixed length and what its operations took, in µs."""

    queue: FairQueue
    size: int
    shape: str
    turns: Iterator[int]
    held: deque[Claim] = field(default_factory=deque)
    round_trip: Times = field(default_factory=lambda: defaultdict(list))
    in_redis: Times = field(default_factory=lambda: defaultdict(list))

    async def fill(self) -> None:
        """Put the tickets into the queue, and some more that run."""
        await self.queue.configure()
        own = SHAPES[self.shape] or self.size
        numbers = range(self.size + HELD)
        for batch in range(0, len(numbers), FILL_BATCH):
            tickets = [ticket(next(self.turns), number // own) for number in numbers[batch : batch + FILL_BATCH]]
            await asyncio.gather(*map(self.queue.submit, tickets))
        for _ in range(HELD):
            await self.claim()

    async def claim(self) -> None:
        claim = (await self.queue.claim()).claim
        assert claim, "a queue with free slots gives nothing away"
        self.held.append(claim)

    async def round(self, dice: random.Random) -> None:
        """Time one of each operation. Who was served last asks again, so that everybody keeps their tickets."""
        done = self.held[0]
        await self._timed("submit", self.queue.submit(ticket(next(self.turns), done.person_id)))
        await self._timed("claim", self.claim())
        await self._timed("renew", self.queue.renew(self.held[dice.randrange(HELD)], dice.randint(1, 200)))
        finished = await self._timed("finish", self.queue.finish(self.held.popleft(), Usage(200, 0, 200)))
        assert finished.accepted

    async def _timed(self, name: str, operation: Awaitable[Any]) -> Any:
        began = time.perf_counter_ns()
        result = await operation
        self.round_trip[name].append((time.perf_counter_ns() - began) / 1_000)
        return result


def ticket(turn: int, person: int) -> Ticket:
    """Return a question of the usual size with a deadline, so that all the queue's sets are as long as it is."""
    return Ticket(
        turn_id=turn,
        person_id=person + 1,
        weight=1 + person % 4,
        base_cap=1,
        input_tokens=200,
        cached_tokens_est=100,
        output_max=500,
        deadline_us=int((time.time() + DEADLINE_S) * 1_000_000),
    )


async def read_slow_log(redis: Redis, lines: Sequence[Line]) -> None:
    """Give each line the times that Redis noted for it since the last reading."""
    by_key = {f"{{fq:{line.queue.group}}}": line for line in lines}
    by_sha = {SCRIPTS[name].sha: name for name in OPERATIONS}
    for entry in await redis.slowlog_get(SLOW_LOG_MAX):
        words = entry["command"].decode(errors="replace").split()
        if words[0] == "EVALSHA" and words[1] in by_sha and words[3] in by_key:
            by_key[words[3]].in_redis[by_sha[words[1]]].append(float(entry["duration"]))
    await redis.slowlog_reset()


def quantile(times: Sequence[float], part: float) -> float:
    """Return the time that `part` of the times do not exceed."""
    return round(sorted(times)[min(len(times) - 1, int(part * len(times)))], 1)


def compared(lines: Sequence[Line], kind: str) -> dict[str, Any]:
    """Return p50 and p99 of each operation by shape and size, and how much longer the longest queue's p99 is."""
    p50, p99, ratios = {}, {}, {}
    for name in OPERATIONS:
        for shape in SHAPES:
            found = {line.size: getattr(line, kind)[name] for line in lines if line.shape == shape}
            key = f"{name} {shape}"
            p50[key] = {str(size): quantile(times, 0.5) for size, times in found.items()}
            p99[key] = {str(size): quantile(times, 0.99) for size, times in found.items()}
            ratios[key] = round(p99[key][str(max(found))] / max(1.0, p99[key][str(min(found))]), 2)
    return {"p50_us": p50, "p99_us": p99, "growth_ratios_p99": ratios}


async def measure(url: str, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Fill a Redis with the queues, ask them in turn, and return the figures. The Redis is emptied first."""
    redis = kit_redis.connect(url)
    try:
        await redis.flushdb()
        config = QueueConfig(slots=SLOTS, kv_budget=10**6, queued_max=10**9, lend_burst=10**9)
        lines = [
            Line(FairQueue(redis, f"{shape}-{size}", config), size, shape, itertools.count(1))
            for shape in SHAPES
            for size in sizes
        ]
        began = time.perf_counter()
        for line in lines:
            await line.fill()
        fill_s = round(time.perf_counter() - began, 1)
        print(f"filled {len(lines)} queues in {fill_s} s", flush=True)
        await redis.config_set("slowlog-log-slower-than", 0)
        await redis.config_set("slowlog-max-len", SLOW_LOG_MAX)
        await ask(redis, lines, rounds)
        for line in lines:
            assert (await line.queue.snapshot()).waiting == line.size
    finally:
        await redis.aclose()
    seen, inside = compared(lines, "round_trip"), compared(lines, "in_redis")
    return {
        "bench": "queue",
        "growth_ratio_p99": max(seen["growth_ratios_p99"].values()),
        "growth_ratio_p99_in_redis": max(inside["growth_ratios_p99"].values()),
        "operations_each": rounds,
        "fill_s": fill_s,
        "round_trip": seen,
        "in_redis": inside,
    }


async def ask(redis: Redis, lines: Sequence[Line], rounds: int) -> None:
    """Ask all lines for `rounds` of each operation, in a fresh order every round, after a warm-up."""
    dice = random.Random(1)
    order = list(lines)
    # A collection of the client's garbage would be found in whatever operation it meets.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        warm_up = max(1, int(rounds * WARM_UP_PART))
        for number in range(warm_up + rounds):
            dice.shuffle(order)
            for line in order:
                await line.round(dice)
            if number % ROUNDS_A_READING == 0:
                await read_slow_log(redis, lines)
            if number == warm_up - 1:
                # What was noted until now, of the fill as well, is not counted.
                await read_slow_log(redis, lines)
                for line in lines:
                    line.round_trip.clear()
                    line.in_redis.clear()
        await read_slow_log(redis, lines)
    finally:
        gc.enable()
        gc.unfreeze()


def table(result: dict[str, Any]) -> str:
    """Return the figures for people."""
    rows = []
    for kind in ("round_trip", "in_redis"):
        rows.append(f"{kind.replace('_', ' ')}, p50 / p99 in µs by tickets waiting")
        figures = result[kind]
        for key, by_size in figures["p99_us"].items():
            cells = [f"{figures['p50_us'][key][size]:8.0f} /{p99:6.0f}" for size, p99 in by_size.items()]
            rows.append(f"  {key:22s}{''.join(cells)}   p99 x {figures['growth_ratios_p99'][key]}")
    return "\n".join(rows)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="tickets waiting")
    parser.add_argument("--rounds", type=int, default=10_000, help="operations of each kind on each queue")
    return parser.parse_args(arguments)


def main() -> None:
    """Start a Valkey, measure, and print the table and the line."""
    import uvloop

    options = parsed()
    owner = server_owner()
    with tempfile.TemporaryDirectory(prefix="forma-bench-") as home:
        valkey = Valkey(prepare_data_dir(Path(home), owner), owner)
        try:
            valkey.start()
            result = uvloop.run(measure(valkey.url(), options.sizes, options.rounds))
        finally:
            valkey.stop()
    print(table(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
