"""Postgres: the engine, transactions and the table metadata. The only place that commits.

`transaction()` stands in a use case; domain functions take its connection (`tx`) and never commit. Code that needs
no transaction reads through `read()`, which saves the BEGIN and COMMIT round trips.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

POOL_SIZE = 12
POOL_OVERFLOW_MAX = 8
POOL_WAIT_S = 10
# A statement that takes longer is a bug or a lock that will not come; either way the caller must hear of it.
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
CONNECT_TIMEOUT_S = 10

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def dumps(value: Any) -> str:
    """Serialise for a JSONB column."""
    return orjson.dumps(value).decode()


class Database:
    """A pool of connections to one Postgres database."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            _asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=POOL_OVERFLOW_MAX,
            pool_timeout=POOL_WAIT_S,
            json_serializer=dumps,
            json_deserializer=orjson.loads,
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "server_settings": {
                    "application_name": "forma",
                    "timezone": "UTC",
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "lock_timeout": str(LOCK_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
                    # Statements here are short and indexed; compiling them costs more than running them.
                    "jit": "off",
                },
            },
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection inside one transaction: commits at the end, rolls back on any error."""
        async with self.engine.begin() as tx:
            yield tx

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection without a transaction, each statement for itself."""
        async with self._autocommit.connect() as connection:
            yield connection

    async def close(self) -> None:
        await self.engine.dispose()


def _asyncpg_url(url: str) -> str:
    """Accept the URL forms that people paste (`postgres://`, `postgresql://`) and name the driver."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"postgres", "postgresql"}:
        return f"postgresql+asyncpg://{rest}"
    return url
