"""Fixtures that every suite stands on: real PostgreSQL and Valkey from the wheels, a migrated database a module."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from cli.embedded import Postgres, Valkey, prepare_data_dir
from cli.owner import server_owner
from kit import migrate
from kit.db import Database

settings.register_profile(
    "forma", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("forma")

_numbers = itertools.count(1)
REDIS_DATABASES = 256


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Postgres, Valkey]]:
    """One PostgreSQL and one Valkey for each test process, without fsync; ended with it."""
    owner = server_owner()
    home = Path(tempfile.mkdtemp(prefix="forma-test-", dir="/tmp" if owner else None))
    data_dir = prepare_data_dir(home, owner)
    postgres = Postgres(data_dir, owner, durable=False)
    valkey = Valkey(data_dir, owner, databases=REDIS_DATABASES)
    try:
        postgres.start()
        valkey.start()
        yield postgres, valkey
    finally:
        postgres.stop()
        valkey.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template(servers: tuple[Postgres, Valkey]) -> str:
    """A migrated database that modules are cloned from."""
    postgres, _ = servers

    async def make() -> None:
        await _sql(postgres, "CREATE DATABASE template_forma")
        db = Database(postgres.url("template_forma"))
        try:
            await migrate.upgrade(db)
        finally:
            await db.close()

    asyncio.run(make())
    return "template_forma"


@pytest.fixture(scope="module")
async def database_url(servers: tuple[Postgres, Valkey], template: str) -> AsyncIterator[str]:
    """The URL of a fresh migrated database of this module."""
    postgres, _ = servers
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _sql(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.url(name)
    await _sql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    yield db
    await db.close()


@pytest.fixture(scope="module")
def redis_url(servers: tuple[Postgres, Valkey]) -> str:
    """The URL of a Redis database that only this module uses."""
    _, valkey = servers
    return valkey.url(next(_numbers) % REDIS_DATABASES)


@pytest.fixture(scope="module")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    await client.flushdb()
    yield client
    await client.flushdb()
    await client.aclose()


async def _sql(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
