"""The yardstick of `make bench-ledger`: a ledger's hold and settlement as a textbook has them. Written once, frozen,
but for one repair in its favour: statement 4 named the status, and after an ANALYZE was planned on the wrong index.

Eight statements in two transactions, sent by bare asyncpg from its own pool; asyncpg prepares each once a connection.

| place | | settle | |
|---|---|---|---|
| 1 | lock the wallet | 4 | lock the hold |
| 2 | insert the hold | 5 | mark it as settled |
| 3 | raise what the wallet has reserved | 6 | insert the transaction |
| | | 7 | insert its two entries |
| | | 8 | lower what the wallet has posted and reserved |

It is a fair rival: statements find their rows by an index, constraints refuse what would be wrong, no lock is stronger
than it must be, counters are updated in place (a fill factor as the product has), and the pool's reset, a round trip at
each release, is switched off, since a connection carries nothing from one pair to the next. It does less than the
product: it knows no lots and no expiry, proves no sum, pays nothing beyond the hold, and fails where the product
answers a repeated call with what the first one did.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from kit.errors import InsufficientTokens

SCHEMA = """
CREATE SCHEMA textbook;
CREATE TABLE textbook.accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id bigint UNIQUE,
    posted bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    CHECK (person_id IS NULL OR (0 <= reserved AND reserved <= posted))
) WITH (fillfactor = 70);
CREATE TABLE textbook.holds (
    turn_id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES textbook.accounts (id),
    amount bigint NOT NULL CHECK (amount > 0),
    settled bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'held' CHECK (status IN ('held', 'settled', 'released')),
    created_at timestamptz NOT NULL,
    resolved_at timestamptz,
    CHECK (settled BETWEEN 0 AND amount),
    CHECK ((status = 'held') = (resolved_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX ON textbook.holds (account_id) WHERE status = 'held';
CREATE TABLE textbook.transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    turn_id bigint UNIQUE REFERENCES textbook.holds (turn_id),
    created_at timestamptz NOT NULL
);
CREATE TABLE textbook.entries (
    transaction_id bigint NOT NULL REFERENCES textbook.transactions (id),
    account_id bigint NOT NULL REFERENCES textbook.accounts (id),
    amount bigint NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (transaction_id, account_id)
);
CREATE INDEX ON textbook.entries (account_id, transaction_id);
"""
# Statements 1 to 8.
LOCK_WALLET = "SELECT id, posted, reserved FROM textbook.accounts WHERE person_id = $1 FOR NO KEY UPDATE"
INSERT_HOLD = "INSERT INTO textbook.holds (turn_id, account_id, amount, created_at) VALUES ($1, $2, $3, $4)"
RESERVE = "UPDATE textbook.accounts SET reserved = reserved + $2 WHERE id = $1"
LOCK_HOLD = "SELECT account_id, amount, status FROM textbook.holds WHERE turn_id = $1 FOR NO KEY UPDATE"
RESOLVE = "UPDATE textbook.holds SET status = 'settled', settled = $2, resolved_at = $3 WHERE turn_id = $1"
INSERT_TRANSACTION = "INSERT INTO textbook.transactions (turn_id, created_at) VALUES ($1, $2) RETURNING id"
POST = "INSERT INTO textbook.entries (transaction_id, account_id, amount) VALUES ($1, $2, -$4::bigint), ($1, $3, $4)"
CHARGE = "UPDATE textbook.accounts SET posted = posted - $2, reserved = reserved - $3 WHERE id = $1"

OPEN_WALLET = "INSERT INTO textbook.accounts (person_id, posted) VALUES ($1, $2) RETURNING id"
UNSOUND = """
    SELECT count(*) FROM textbook.accounts a
    WHERE person_id IS NOT NULL AND (
        posted <> (SELECT coalesce(sum(amount), 0) FROM textbook.entries e WHERE e.account_id = a.id)
        OR reserved <> (SELECT coalesce(sum(amount), 0) FROM textbook.holds h
                        WHERE h.account_id = a.id AND h.status = 'held')
    )
"""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an answer asks of a wallet, in tokens: holds from `least` to `most`, and then has used `used`."""

    least: int = 300
    most: int = 3_000
    used: int = 1_200


async def _keep(connection: asyncpg.Connection) -> None:
    """Reset nothing when a connection goes back to the pool."""


class Textbook:
    """The textbook's ledger on a pool of its own; use as `async with Textbook(url, connections=20) as side`."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._pool = asyncpg.create_pool(url, min_size=connections, max_size=connections, reset=_keep)
        self._house = 0

    async def __aenter__(self) -> "Textbook":
        await self._pool
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def open(self, persons: Iterable[int], tokens: int) -> None:
        """Make the tables, and a wallet of `tokens` for each person."""
        await self._pool.execute(SCHEMA)
        self._house = await self._pool.fetchval("INSERT INTO textbook.accounts DEFAULT VALUES RETURNING id")
        async with self._pool.acquire() as connection, connection.transaction():
            for person_id in persons:
                wallet = await connection.fetchval(OPEN_WALLET, person_id, tokens)
                transaction_id = await connection.fetchval(INSERT_TRANSACTION, None, datetime.now(UTC))
                await connection.execute(POST, transaction_id, self._house, wallet, tokens)

    async def pair(self, person_id: int, turn_id: int, needs: Needs) -> None:
        """Place a hold and settle it."""
        await self._place(person_id, turn_id, needs)
        await self._settle(turn_id, needs.used)

    async def _place(self, person_id: int, turn_id: int, needs: Needs) -> None:
        now = datetime.now(UTC)
        async with self._pool.acquire() as connection, connection.transaction():
            wallet = await connection.fetchrow(LOCK_WALLET, person_id)
            amount = min(wallet["posted"] - wallet["reserved"], needs.most)
            if amount < needs.least:
                raise InsufficientTokens(posted=wallet["posted"], reserved=wallet["reserved"], needed=needs.least)
            await connection.execute(INSERT_HOLD, turn_id, wallet["id"], amount, now)
            await connection.execute(RESERVE, wallet["id"], amount)

    async def _settle(self, turn_id: int, used: int) -> None:
        now = datetime.now(UTC)
        async with self._pool.acquire() as connection, connection.transaction():
            hold = await connection.fetchrow(LOCK_HOLD, turn_id)
            if hold is None or hold["status"] != "held":
                return
            charged = min(used, hold["amount"])
            await connection.execute(RESOLVE, turn_id, charged, now)
            transaction_id = await connection.fetchval(INSERT_TRANSACTION, turn_id, now)
            await connection.execute(POST, transaction_id, hold["account_id"], self._house, charged)
            await connection.execute(CHARGE, hold["account_id"], charged, hold["amount"])

    async def unsound(self) -> int:
        """Return how many wallets are not what their entries and open holds say."""
        return await self._pool.fetchval(UNSOUND)  # type: ignore[no-any-return]
