"""The schema: every step up and down again, data kept on the way, and no drift from the tables in the code."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

import app.tables
from kit import migrate
from kit.db import Database, metadata
from tests.support.books import Books

ROOT = Path(__file__).resolve().parents[2]
CATALOGS = {
    "functions": """
        SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'public' ORDER BY 1, 2
    """,
    "triggers": """
        SELECT t.tgrelid::regclass::text, pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal
        ORDER BY 1, 2
    """,
    "constraints": """
        SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c
        JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = 'public' AND c.conrelid <> 0 ORDER BY 1, 2
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
    """,
    "seeds": "SELECT id, kind, code, unit FROM accounts ORDER BY 1",
    "edges": "SELECT subject, before, after FROM status_edges ORDER BY 1, 2, 3",
}


async def rows(database: Database, sql: str) -> list[tuple[object, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(sa.text(sql))]


async def schema(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All that the migrations make, in the database's own words."""
    seen = {name: await rows(database, sql) for name, sql in CATALOGS.items() if name not in {"seeds", "edges"}}
    known = {row[0] for row in seen["columns"]}
    if "accounts" in known:
        seen |= {name: await rows(database, CATALOGS[name]) for name in ("seeds", "edges")}
    return seen


@pytest.fixture
async def at_head(database: Database) -> AsyncIterator[Database]:
    await migrate.upgrade(database)
    yield database
    await migrate.upgrade(database)


def revisions() -> list[str]:
    """From the first to the last, as each names the one before."""
    found: dict[str | None, str] = {}
    for path in (ROOT / "migrations" / "versions").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        before = re.search(r'^down_revision = (?:"(.+)"|None)$', text, re.MULTILINE)
        named = re.search(r'^revision = "(.+)"$', text, re.MULTILINE)
        assert before, path
        assert named, path
        assert before[1] not in found, f"two revisions follow {before[1]}"
        found[before[1]] = named[1]
    line, at = [], found.get(None)
    while at is not None:
        line.append(at)
        at = found.get(at)
    assert len(line) == len(found)
    return line


async def test_migrations_run_up_down_and_up_again(at_head: Database) -> None:
    before = await schema(at_head)
    await migrate.downgrade(at_head, "base")
    assert await migrate.pending(at_head) == revisions()
    left = await schema(at_head)
    assert {row[0] for row in left["columns"]} <= {"alembic_version"}
    assert left["functions"] == []
    await migrate.upgrade(at_head)
    assert await migrate.pending(at_head) == []
    assert await schema(at_head) == before


async def test_each_step_down_is_what_the_step_before_it_made(at_head: Database) -> None:
    line = revisions()
    await migrate.downgrade(at_head, "base")
    made = []
    for revision in line:
        await migrate.upgrade(at_head, revision)
        made.append(await schema(at_head))
    for revision, expected in zip(reversed(line[:-1]), reversed(made[:-1]), strict=True):
        await migrate.downgrade(at_head, revision)
        assert await schema(at_head) == expected, f"down to {revision}"


async def test_the_last_step_down_and_up_keeps_the_books(at_head: Database) -> None:
    books = Books(at_head)
    await books.open()
    person = await books.person()
    await books.buy(person, "lite")
    await books.place(person, person, 1, 700)
    before = await books.balance(person)
    await migrate.downgrade(at_head, revisions()[-2])
    await migrate.upgrade(at_head)
    assert await books.balance(person) == before
    assert await books.violations() == []


async def test_two_processes_may_migrate_at_once(at_head: Database) -> None:
    await migrate.downgrade(at_head, "base")
    await asyncio.gather(*(migrate.upgrade(at_head) for _ in range(4)))
    assert await migrate.pending(at_head) == []


async def test_the_code_describes_the_tables_that_the_migrations_make(at_head: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, metadata)

    async with at_head.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_checks_of_the_code_are_checks_of_the_database(at_head: Database) -> None:
    in_database = {name for _, name, _ in await rows(at_head, CATALOGS["constraints"])}
    named = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, (sa.CheckConstraint, sa.UniqueConstraint, sa.ForeignKeyConstraint))
    }
    assert named - in_database == set()


def test_every_module_with_tables_is_known_to_the_migrations() -> None:
    makers = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for package in ("app", "billing", "inference", "coach", "kit")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^\w+ = sa\.Table\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    imported = {module.__name__ for name, module in vars(app.tables).items() if name in app.tables.__all__}
    assert makers == imported
