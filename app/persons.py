"""Persons: whom Forma talks to. The id is Telegram's, and so is the id of the private chat."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import dumps, metadata

NAME_LENGTH_MAX = 128

persons = sa.Table(
    "persons",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first_name", sa.Text, nullable=False, server_default=""),
    sa.Column("username", sa.Text),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("settings", JSONB, nullable=False, server_default="{}"),
    sa.Column("source", sa.Text),
    sa.Column("blocked_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("language IN ('ru', 'en')", name="language_known"),
    sa.Index("ix_persons_username", sa.text("lower(username)")),
    sa.Index("ix_persons_created_at", "created_at"),
    sa.Index("ix_persons_blocked_at", "blocked_at", postgresql_where=sa.text("blocked_at IS NOT NULL")),
)


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the use cases see one. `settings` holds only what differs from the defaults (app.preferences)."""

    id: int
    first_name: str
    username: str | None
    language: str
    settings: dict[str, Any]
    blocked: bool
    created_at: datetime
    is_new: bool = False


# A person's name changes rarely: without the WHERE every message would rewrite the row.
_ENSURE = sa.text(
    """
    WITH known AS (
        SELECT id, first_name, username, language, settings, blocked_at, created_at FROM persons WHERE id = :id
    ), kept AS (
        INSERT INTO persons AS p (id, first_name, username, language, source, created_at)
        VALUES (:id, :first_name, :username, :language, :source, :now)
        ON CONFLICT (id) DO UPDATE
            SET first_name = excluded.first_name, username = excluded.username, blocked_at = NULL
            WHERE (p.first_name, p.username) IS DISTINCT FROM (excluded.first_name, excluded.username)
               OR p.blocked_at IS NOT NULL
        RETURNING id, first_name, username, language, settings, blocked_at, created_at, xmax = 0 AS is_new
    )
    SELECT *, false AS is_new FROM known WHERE NOT EXISTS (SELECT FROM kept)
    UNION ALL
    SELECT * FROM kept
    """
)


async def ensure(
    tx: AsyncConnection,
    *,
    person_id: int,
    first_name: str,
    username: str | None,
    language: str,
    now: datetime,
    source: str | None = None,
) -> Person:
    """Return the person, made on first sight. A message from somebody unblocks them: they write to us again."""
    row = (
        await tx.execute(
            _ENSURE,
            {
                "id": person_id,
                "first_name": first_name[:NAME_LENGTH_MAX],
                "username": username,
                "language": language,
                "source": source,
                "now": now,
            },
        )
    ).one()
    return Person(
        row.id,
        row.first_name,
        row.username,
        row.language,
        row.settings,
        row.blocked_at is not None,
        row.created_at,
        row.is_new,
    )


async def find(connection: AsyncConnection, *, person_id: int | None = None, username: str = "") -> Person | None:
    """Return a person by id, or by @name (without the @, any case); None if unknown."""
    where = (
        persons.c.id == person_id if person_id is not None else sa.func.lower(persons.c.username) == username.lower()
    )
    row = (await connection.execute(sa.select(persons).where(where).limit(1))).one_or_none()
    if row is None:
        return None
    return Person(
        row.id, row.first_name, row.username, row.language, row.settings, row.blocked_at is not None, row.created_at
    )


async def source_of(connection: AsyncConnection, person_id: int) -> str | None:
    """Return the deep link payload by which a person first started the bot."""
    source: str | None = await connection.scalar(sa.select(persons.c.source).where(persons.c.id == person_id))
    return source


async def set_blocked(tx: AsyncConnection, person_id: int, *, blocked: bool, now: datetime) -> None:
    """Remember that the person blocked (or unblocked) the bot; since when, whatever is tried there meanwhile."""
    since = sa.func.coalesce(persons.c.blocked_at, now) if blocked else None
    await tx.execute(sa.update(persons).where(persons.c.id == person_id).values(blocked_at=since))


async def set_language(tx: AsyncConnection, person_id: int, language: str) -> None:
    await tx.execute(sa.update(persons).where(persons.c.id == person_id).values(language=language))


async def set_setting(tx: AsyncConnection, person_id: int, name: str, value: Any) -> None:
    """Store one setting; the caller has checked name and value against app.preferences."""
    await tx.execute(
        sa.text("UPDATE persons SET settings = settings || CAST(:patch AS jsonb) WHERE id = :id"),
        {"id": person_id, "patch": dumps({name: value})},
    )
