"""The ledger's benchmark, small: it measures what it says, in books that are sound afterwards."""

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bench import history, ledger
from billing import invariants
from cli.embedded import Postgres, Valkey
from kit.db import Database

NAMES = ("bench_pairs", "bench_few", "bench_many")
ENTRIES = 3_000


@pytest.fixture
async def postgres(servers: tuple[Postgres, Valkey]) -> AsyncIterator[Postgres]:
    server, _ = servers
    yield server
    admin = await asyncpg.connect(server.url("postgres"))
    for name in NAMES:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await admin.close()


async def test_the_benchmark_measures_pairs_and_leaves_sound_books(postgres: Postgres) -> None:
    options = ledger.parsed(["--seconds", "0.1", "--rounds", "1", "--entries", str(ENTRIES)])
    result = json.loads(json.dumps(await ledger.measure(postgres, options)))

    cases = {"1", "10", "100", "hot"}
    assert set(result["pairs_per_s"]) == set(result["bare_pairs_per_s"]) == set(result["ratios"]) == cases
    assert all(rate > 0 for rate in (*result["pairs_per_s"].values(), *result["bare_pairs_per_s"].values()))
    assert result["ratio_to_bare_asyncpg"] == min(result["ratios"].values())
    assert result["growth_ratio"] > 0
    assert result["fsync"] == "off"  # as the test servers are
    assert result["invariant_violations"] == 0

    for name in NAMES:
        db = Database(postgres.url(name), pool_size=1)
        async with db.read() as connection:
            assert await invariants.check(connection) == []
            settled = "SELECT count(*), count(*) FILTER (WHERE status = 'settled') FROM holds"
            placed, resolved = (await connection.exec_driver_sql(settled)).one()
            entries = (await connection.exec_driver_sql("SELECT count(*) FROM ledger_entries")).scalar_one()
        await db.close()
        assert placed == resolved > 0
        if name == "bench_many":
            assert entries > ENTRIES


async def test_old_books_are_the_measured_persons_in_part(postgres: Postgres) -> None:
    (url,) = await ledger.databases(postgres, ["bench_many"])
    loaded = await history.load(url, ENTRIES)

    connection = await asyncpg.connect(url)
    everything, own = await connection.fetchrow(
        "SELECT count(*), count(*) FILTER (WHERE account_id ="
        " (SELECT id FROM accounts WHERE kind = 'wallet' AND person_id = $1)) FROM ledger_entries",
        history.PERSON,
    )
    guarded = await connection.fetchval("SELECT bool_and(tgenabled = 'O') FROM pg_trigger")
    await connection.close()
    assert (everything, own) == (loaded.entries, loaded.own_entries) == (ENTRIES, history.STREAM_TX)
    assert guarded
