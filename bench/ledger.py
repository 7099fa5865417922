"""`make bench-ledger`: what an answer's hold and settlement cost, against a textbook, and with long-kept books.

A pair is `holds.place` and `holds.settle`, each in a transaction of its own on kit.db's pool, as a turn's accept and
close do them. It competes with bench/textbook.py: bare asyncpg, eight statements in two transactions. Both run in this
process, on as many connections, in one database of one durable PostgreSQL. Cases are 1, 10 and 100 persons with one
pair at a time each, and one person whose pairs use all connections at once. Windows are short and alternate (A B B A),
so that what else the machine does meets both sides; a ratio is the median of the rounds' own ratios.
Growth: one person's pairs, one at a time, in books of 10 million ledger entries and of 10 thousand (bench/history.py).
The last line is JSON: ratio_to_bare_asyncpg (the least of the cases), growth_ratio, pairs_per_s, and what they are
made of. invariant_violations counts what the invariants find in all three databases afterwards; it must be 0.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa

from bench import history
from bench.textbook import Needs, Textbook
from billing import holds, invariants, lots
from cli.embedded import Postgres, prepare_data_dir
from cli.owner import server_owner
from cli.up import ensure_database
from kit.db import POOL_SIZE, Database

CONNECTIONS = POOL_SIZE
CASES = (1, 10, 100)
# The person whose pairs run all at once, on as many connections as there are.
HOT_PERSON = 1_000
WARM_UP_PART = 0.2
FEW_ENTRIES = 10_000
WALLET_TOKENS = 10**12
# A whole check of ten million entries sorts them all.
CHECK_TIMEOUT_MS = 600_000
NEEDS = Needs()

Pair = Callable[[int], Awaitable[None]]


def product(db: Database, turn_ids: Iterator[int]) -> Pair:
    """Return the product's pair: what app/turn_accept.py and app/turn_close.py do about tokens."""

    async def pair(person_id: int) -> None:
        turn_id = next(turn_ids)
        async with db.transaction() as tx:
            await holds.place(
                tx,
                person_id=person_id,
                turn_id=turn_id,
                tokens_min=NEEDS.least,
                tokens_max=NEEDS.most,
                now=datetime.now(UTC),
            )
        async with db.transaction() as tx:
            await holds.settle(tx, turn_id=turn_id, tokens=NEEDS.used, now=datetime.now(UTC))

    return pair


def rival(textbook: Textbook) -> Pair:
    """Return the textbook's pair."""
    turn_ids = itertools.count(1)

    async def pair(person_id: int) -> None:
        await textbook.pair(person_id, next(turn_ids), NEEDS)

    return pair


async def window(pair: Pair, persons: Iterable[int], seconds: float) -> float:
    """Return the pairs a second while each of `persons` (one may come more than once) has one pair after the other."""
    done, began = 0, time.perf_counter()

    async def loop(person_id: int) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            await pair(person_id)
            done += 1

    async with asyncio.TaskGroup() as tasks:
        for person_id in persons:
            tasks.create_task(loop(person_id))
    return done / (time.perf_counter() - began)


async def alternately(
    sides: Sequence[tuple[Pair, Sequence[int]]], seconds: float, rounds: int
) -> tuple[list[float], ...]:
    """Return each side's pairs a second, window by window; what comes first warms up and is not counted."""
    for pair, persons in sides:
        await window(pair, persons, seconds * WARM_UP_PART)
    found: tuple[list[float], ...] = tuple([] for _ in sides)
    for number in range(rounds):
        turn = list(zip(sides, found, strict=True))
        for (pair, persons), rates in turn if number % 2 == 0 else reversed(turn):
            rates.append(await window(pair, persons, seconds))
    return found


async def endow(db: Database, persons: Iterable[int]) -> None:
    """Give each person a wallet with two live lots: the daily one that pays all, and one that never lapses."""
    now = datetime.now(UTC)
    midnight = now.replace(year=now.year + 1, month=1, day=1)
    person = sa.text("INSERT INTO persons (id, language, created_at) VALUES (:id, 'ru', :now) ON CONFLICT DO NOTHING")
    kinds: tuple[tuple[lots.Kind, datetime | None], ...] = (("daily", midnight), ("pack", None))
    async with db.transaction() as tx:
        for person_id in persons:
            await tx.execute(person, {"id": person_id, "now": now})
            for kind, expires_at in kinds:
                await lots.grant(
                    tx,
                    person_id=person_id,
                    tokens=WALLET_TOKENS // 2,
                    kind=kind,
                    ref_type="bench",
                    ref_id=f"{kind}:{person_id}",
                    expires_at=expires_at,
                    now=now,
                )


async def violations(db: Database) -> int:
    """Return how much of the books breaks an invariant."""
    async with db.transaction() as tx:
        await tx.execute(sa.text(f"SET LOCAL statement_timeout = {CHECK_TIMEOUT_MS}"))
        return sum(one.count for one in await invariants.check(tx))


async def against_the_textbook(url: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure every case against the textbook, both in one database."""
    persons = range(1, max(CASES) + 1)
    cases = {str(count): list(persons[:count]) for count in CASES} | {"hot": [HOT_PERSON] * CONNECTIONS}
    everybody = [*persons, HOT_PERSON]
    ours: dict[str, float] = {}
    bare: dict[str, float] = {}
    ratios: dict[str, float] = {}
    async with opened(url) as db, Textbook(url, connections=CONNECTIONS) as textbook:
        await endow(db, everybody)
        await textbook.open(everybody, WALLET_TOKENS)
        pair, other = product(db, itertools.count(1)), rival(textbook)
        for name, who in cases.items():
            mine, theirs = await alternately(((pair, who), (other, who)), seconds, rounds)
            ours[name], bare[name] = round(statistics.median(mine), 1), round(statistics.median(theirs), 1)
            ratios[name] = round(statistics.median(a / b for a, b in zip(mine, theirs, strict=True)), 3)
            print(f"{name}: {ours[name]} pairs/s, textbook {bare[name]}, ratio {ratios[name]}", flush=True)
        assert await textbook.unsound() == 0, "the textbook's books are wrong"
        return {
            "ratio_to_bare_asyncpg": min(ratios.values()),
            "pairs_per_s": ours,
            "bare_pairs_per_s": bare,
            "ratios": ratios,
            "invariant_violations": await violations(db),
        }


async def growth(few_url: str, many_url: str, entries: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure one person's pairs in young books and in old ones."""
    began = time.perf_counter()
    few, many = await history.load(few_url, min(FEW_ENTRIES, entries)), await history.load(many_url, entries)
    load_s = time.perf_counter() - began
    print(f"loaded {few.entries} and {many.entries} entries in {load_s:.0f} s", flush=True)
    async with opened(few_url) as young, opened(many_url) as old:
        sides = []
        for db, books in ((young, few), (old, many)):
            await endow(db, [history.PERSON])
            sides.append((product(db, itertools.count(books.next_turn_id)), [history.PERSON]))
        rates = await alternately(sides, seconds, rounds)
        broken = await violations(young) + await violations(old)
    young_ms, old_ms = (round(1000 / statistics.median(one), 3) for one in rates)
    ratio = round(statistics.median(a / b for a, b in zip(*rates, strict=True)), 3)
    print(f"growth: a pair takes {young_ms} ms among {few.entries}, {old_ms} among {many.entries}", flush=True)
    return {
        "growth_ratio": ratio,
        "pair_ms": {str(few.entries): young_ms, str(many.entries): old_ms},
        "own_entries": many.own_entries,
        "load_s": round(load_s, 1),
        "invariant_violations": broken,
    }


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Yield the product's pool on a database, with the product's own sizes."""
    db = Database(url)
    try:
        yield db
    finally:
        await db.close()


async def databases(postgres: Postgres, names: Sequence[str]) -> list[str]:
    """Make databases, migrated once and then copied; return their URLs."""
    first, *others = names
    admin = await asyncpg.connect(postgres.url("postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {first}")
        await ensure_database(postgres.url(first))
        for name in others:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {first}")
    finally:
        await admin.close()
    return [postgres.url(name) for name in names]


async def durability(url: str) -> dict[str, str]:
    """Return what the server says of its commits; it is the same for both sides."""
    connection = await asyncpg.connect(url)
    try:
        return {name: await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
    finally:
        await connection.close()


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window")
    parser.add_argument("--rounds", type=int, default=15, help="A B rounds of each case; growth has as many")
    parser.add_argument("--entries", type=int, default=10_000_000, help="ledger entries of the old books")
    return parser.parse_args(arguments)


async def measure(postgres: Postgres, options: argparse.Namespace) -> dict[str, Any]:
    """Run the whole benchmark in three databases of a running server: bench_pairs, bench_few, bench_many."""
    pairs, few, many = await databases(postgres, ("bench_pairs", "bench_few", "bench_many"))
    settings = await durability(pairs)
    compared = await against_the_textbook(pairs, options.seconds, options.rounds)
    grown = await growth(few, many, options.entries, options.seconds, options.rounds)
    broken = compared["invariant_violations"] + grown["invariant_violations"]
    fixed = {"bench": "ledger", "connections": CONNECTIONS, **settings}
    return fixed | compared | grown | {"invariant_violations": broken}


def main() -> None:
    """Start a durable server, measure, and print the line."""
    import uvloop

    options = parsed()
    owner = server_owner()
    with tempfile.TemporaryDirectory(prefix="forma-bench-") as home:
        postgres = Postgres(prepare_data_dir(Path(home), owner), owner)
        try:
            postgres.start()
            print(json.dumps(uvloop.run(measure(postgres, options))))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
