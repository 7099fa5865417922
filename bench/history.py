"""Books that have been kept for long: any number of ledger entries in the product's own tables, loaded by COPY.

Persons use up one lot after the other, at the same time: a person's rows lie scattered among everybody's, as years of
use would leave them. Everything that the invariants look at is there: transactions, entries and counter-entries, lots
with what was consumed of them, settled holds, and wallets that agree. Rows are reckoned by the server, fetched by
COPY TO, and handed back by COPY FROM.

While it loads, triggers and foreign keys sleep as in a restore from a backup (the check of sums would keep ten million
entries in memory); unique indexes and checks do not. The caller proves the books by the invariants.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

# A lot is granted and used up by equal answers; so many lots make a stream of transactions, one after the other.
LOT_USES = 49
STREAM_LOTS = 5
STREAM_TX = STREAM_LOTS * (LOT_USES + 1)
# One stream in so many is the measured person's, everybody else has one: 100,000 of 10 million entries.
OWN_STREAMS_ONE_IN = 50
ANSWER_TOKENS = 1_000
HELD_TOKENS = 3_000
# What is left of everybody's last lot.
LEFT_TOKENS = 100_000
# House accounts and what was made before stand below.
FIRST_ID = 10_000
PERSON = 1
QUEUE_CHUNKS_MAX = 16

_STREAMS = """
    SELECT s, k, :first + k * :streams + s AS tx,
           :first + CASE WHEN s < :own THEN 0 ELSE s END AS account,
           :first + (k / :lot_tx) * :streams + s AS lot, k % :lot_tx = 0 AS grants,
           CASE WHEN k / :lot_tx = :lots - 1 AND (s = 0 OR s >= :own) THEN :left ELSE 0 END AS kept,
           'epoch'::timestamptz + make_interval(secs => k * 3600 + s) AS at
    FROM generate_series(0, :stream_tx - 1) k CROSS JOIN generate_series(0, :streams - 1) s
"""
# In the order of the foreign keys: table, columns, rows.
_TABLES = (
    (
        "persons",
        ("id", "language", "created_at"),
        "SELECT DISTINCT account - :first + :person, 'ru', 'epoch'::timestamptz FROM streams WHERE k = 0",
    ),
    (
        "accounts",
        ("id", "kind", "person_id", "unit", "posted", "created_at"),
        "SELECT account, 'wallet', account - :first + :person, 'token', :left, min(at)"
        " FROM streams WHERE k = 0 GROUP BY account",
    ),
    (
        "ledger_tx",
        ("id", "kind", "ref_type", "ref_id", "created_at"),
        "SELECT tx, CASE WHEN grants THEN 'grant' ELSE 'usage' END, CASE WHEN grants THEN 'day' ELSE 'hold' END,"
        " CASE WHEN grants THEN 'history:' || tx ELSE tx || ':0' END, at FROM streams",
    ),
    (
        "ledger_entries",
        ("tx_id", "account_id", "amount"),
        "SELECT tx, v.account, v.amount FROM streams, LATERAL (VALUES"
        " (streams.account, CASE WHEN grants THEN :used + kept ELSE -:answer END),"
        " (CASE WHEN grants THEN house('tokens_given') ELSE house('tokens_used') END,"
        "  CASE WHEN grants THEN -(:used + kept) ELSE :answer END)) AS v (account, amount)",
    ),
    (
        "lots",
        ("id", "account_id", "tx_id", "kind", "granted", "remaining", "expires_at", "created_at"),
        "SELECT lot, account, tx, 'daily', :used + kept, kept, CASE WHEN kept = 0 THEN at END, at"
        " FROM streams WHERE grants",
    ),
    (
        "lot_consumptions",
        ("lot_id", "tx_id", "amount"),
        "SELECT lot, tx, :answer FROM streams WHERE NOT grants",
    ),
    (
        "holds",
        ("turn_id", "step", "account_id", "amount", "status", "settled", "created_at", "resolved_at"),
        "SELECT tx, 0::smallint, account, :held, 'settled', :answer, at, at FROM streams WHERE NOT grants",
    ),
)


@dataclass(frozen=True, slots=True)
class History:
    """What was loaded: ledger entries in all, the measured person's among them, and the first free turn's id."""

    entries: int
    own_entries: int
    next_turn_id: int


async def load(url: str, entries: int) -> History:
    """Fill a fresh migrated database with about `entries` ledger entries; needs a superuser. Vacuumed and analysed."""
    streams = max(2, entries // (2 * STREAM_TX))
    own = max(1, streams // OWN_STREAMS_ONE_IN)
    values = {
        "first": FIRST_ID, "streams": streams, "own": own, "used": LOT_USES * ANSWER_TOKENS, "lot_tx": LOT_USES + 1,
        "lots": STREAM_LOTS, "stream_tx": STREAM_TX, "answer": ANSWER_TOKENS, "held": HELD_TOKENS, "left": LEFT_TOKENS,
        "person": PERSON,
    }  # fmt: skip
    source, target = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await target.execute("SET session_replication_role = replica")
        for table, columns, rows in _TABLES:
            await _copy(source, target, table, columns, _with(f"WITH streams AS ({_STREAMS}) {rows}", values))
        after = FIRST_ID + streams * STREAM_TX
        for table in ("accounts", "ledger_tx", "lots"):
            await target.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {after})")
        for table in ("persons", "accounts", "ledger_tx", "ledger_entries", "lots", "lot_consumptions", "holds"):
            await target.execute(f"VACUUM (ANALYZE) {table}")
        await target.execute("CHECKPOINT")
    finally:
        await source.close()
        await target.close()
    return History(2 * streams * STREAM_TX, own * STREAM_TX, after)


def _with(sql: str, values: dict[str, int]) -> str:
    """Write the figures into the text; COPY takes no parameters."""
    for name in sorted(values, key=len, reverse=True):
        sql = sql.replace(f":{name}", f"{values[name]}::bigint")
    return sql


async def _copy(
    source: asyncpg.Connection, target: asyncpg.Connection, table: str, columns: tuple[str, ...], rows: str
) -> None:
    """Copy what a query gives into a table, chunk by chunk, while the query still runs."""
    chunks: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_CHUNKS_MAX)

    async def fetch() -> None:
        await source.copy_from_query(rows, output=chunks.put, format="binary")
        await chunks.put(None)

    async def handed() -> AsyncIterator[bytes]:
        while (chunk := await chunks.get()) is not None:
            yield chunk

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fetch())
        await target.copy_to_table(table, source=handed(), columns=columns, format="binary")
