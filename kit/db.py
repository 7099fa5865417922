"""Postgres: the engine, transactions and the table metadata. The only place that commits.

`transaction()` stands in a use case; domain functions take its connection (`tx`) and never commit. Code that needs
no transaction reads through `read()`, which saves the BEGIN and COMMIT round trips.

A Postgres that is away, or that cut the connection, is Unavailable('postgres'). Whether a COMMIT that was cut went
through is not known: what is tried again must find that out by itself. One that refuses the user, the password or
the database's name is Misconfigured.
"""

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import orjson
from sqlalchemy import Connection, Dialect, MetaData, TextClause, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.errors import Misconfigured, Unavailable

# Connections of one process. All that were once needed are kept: a new one costs a server process, a login and every
# plan that the functions of the ledger make afresh, more than an answer's whole bookkeeping.
POOL_SIZE = 20
POOL_WAIT_S = 10
# A statement that takes longer is a bug or a lock that will not come; either way the caller must hear of it.
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
CONNECT_TIMEOUT_S = 10
# Class 08, and the server's own end: admin_shutdown, crash_shutdown, cannot_connect_now; too_many_connections.
_LOST_STATES = ("08", "57P01", "57P02", "57P03", "53300")
# Refused at the door: a wrong password or user, and no such database. The server's words say which.
_REFUSED_STATES = ("28", "3D")

# Statements in the code, of which there are fewer than this; one that had values in its text would not fill memory.
STATEMENTS_MAX = 500

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@functools.lru_cache(maxsize=STATEMENTS_MAX)
def sql(statement: str) -> TextClause:
    """Return a statement that stands where it is used, parsed at its first use: `sa.text` reads it anew every time."""
    return text(statement)


def dumps(value: Any) -> str:
    """Serialise for a JSONB column."""
    return orjson.dumps(value).decode()


class Database:
    """A pool of connections to one Postgres database: up to POOL_SIZE, of which `pool_size` are kept open."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            _asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=max(0, POOL_SIZE - pool_size),
            pool_timeout=POOL_WAIT_S,
            # The one that was used last has its plans and pages at hand.
            pool_use_lifo=True,
            json_serializer=dumps,
            json_deserializer=orjson.loads,
            # An error would quote what people wrote.
            hide_parameters=True,
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
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection inside one transaction: commits at the end, rolls back on any error.

        Raises Unavailable('postgres') when the connection cannot be had or is lost, at the commit as well.
        """
        with _loss_is_unavailable():
            # The first statement begins it. What did not get to the commit is rolled back as the connection goes back.
            async with self._connected(self.engine) as tx:
                yield tx
                await tx.run_sync(_commit)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection without a transaction, each statement for itself. Raises Unavailable('postgres')."""
        with _loss_is_unavailable():
            async with self._connected(self._autocommit) as connection:
                yield connection

    @asynccontextmanager
    async def bare(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection whose user begins and commits, as migrations do. Raises Unavailable, Misconfigured."""
        with _loss_is_unavailable():
            async with self._connected(self.engine) as connection:
                yield connection

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        connection = engine.connect()
        try:
            await connection.start()
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
            raise Misconfigured(f"FORMA_DATABASE_URL: PostgreSQL refuses it: {error}") from error
        except (OSError, PoolTimeoutError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError) as error:
            raise Unavailable("postgres", type(error).__name__) from error
        try:
            yield connection
        finally:
            if not connection.closed:
                await connection.close()

    async def close(self) -> None:
        await self.engine.dispose()


def _commit(connection: Connection) -> None:
    """Commit and give the connection back, in one go."""
    connection.commit()
    connection.close()


async def call(tx: AsyncConnection, statement: str, *values: Any) -> Any:
    """Send a statement that answers one row, and return that row: for what runs with every answer.

    The statement is written as the driver takes it ($1, $2, …) and handed to the driver: compiling it and wrapping its
    result takes SQLAlchemy longer than all else that the client does. Errors are those of `tx.execute`.
    """
    connection = tx.sync_connection
    assert connection is not None
    if not connection.in_transaction():
        connection.begin()  # SQLAlchemy does not see the statement, and would commit nothing
    adapted: Any = connection.connection.dbapi_connection
    driver: asyncpg.Connection = adapted.driver_connection
    try:
        if not driver.is_in_transaction():
            # What the dialect does before a first statement; it has no other name. In autocommit it does nothing.
            await adapted._start_transaction()  # noqa: SLF001
        return await driver.fetchrow(statement, *values)
    except asyncio.CancelledError as error:
        await tx.invalidate(error)  # nobody knows what its server still does
        raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, connection.dialect.loaded_dbapi.Error) as error:
        # A function that was replaced under a running process is prepared anew on a new connection.
        lost = driver.is_closed() or isinstance(error, asyncpg.InvalidCachedStatementError)
        if lost:
            await tx.invalidate(error)
        raise _wrapped(error, connection.dialect, statement, lost=lost) from error


def _wrapped(error: Exception, dialect: Dialect, statement: str, *, lost: bool) -> DBAPIError:
    """Return a driver's error as SQLAlchemy would raise it."""
    dbapi = dialect.loaded_dbapi
    if not isinstance(error, dbapi.Error):
        kind = dbapi.IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else dbapi.Error
        translated = kind(str(error), error)
        translated.__cause__ = error
        error = translated
    return DBAPIError.instance(  # type: ignore[return-value]
        statement, None, error, dbapi.Error, hide_parameters=True, connection_invalidated=lost, dialect=dialect
    )


def _refuse_closed(dbapi_connection: Any, *_: object) -> None:
    """Take no connection from the pool that the server has closed meanwhile; asyncpg knows without asking."""
    if dbapi_connection.driver_connection.is_closed():
        raise InvalidatePoolError


@contextmanager
def _loss_is_unavailable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if error.connection_invalidated or state.startswith(_LOST_STATES):
            raise Unavailable("postgres", type(error.orig).__name__) from error
        if state.startswith(_REFUSED_STATES):
            raise Misconfigured(f"FORMA_DATABASE_URL: PostgreSQL refuses it: {error.orig}") from error
        raise


def _asyncpg_url(url: str) -> str:
    """Accept the URL forms that people paste (`postgres://`, `?sslmode=`) and name the driver as SQLAlchemy does."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"postgres", "postgresql"}:
        url = f"postgresql+asyncpg://{rest}"
    return re.sub(r"(?<=[?&])sslmode=", "ssl=", url)
