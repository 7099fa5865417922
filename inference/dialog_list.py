"""The dialogs of a chat as its person sees them: listed, named, read out whole, deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from inference import dialogs, titles
from inference.dialogs import Message

EXPORT_BYTES_MAX: Final = 20 * 1_048_576
"""What is longer loses its beginning: Telegram takes files of 50 MB."""

_FIRST_WORDS_CHARS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One dialog. `title` is never empty but for a dialog without any words; `last_at` is when it last grew."""

    id: int
    title: str
    active: bool
    messages: int
    created_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a dialog that is read out."""

    role: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Opening:
    """The first answered turn of a dialog, of which its title is made: who asked, and the model that answered."""

    person_id: int
    model: str
    messages: tuple[Message, ...]


_ENTRIES = f"""
    SELECT d.id, d.title, d.active, d.created_at, m.messages, coalesce(m.last_at, d.created_at) AS last_at,
           (SELECT left(f.text, {_FIRST_WORDS_CHARS}) FROM messages f
            WHERE f.dialog_id = d.id AND f.role = 'user' ORDER BY f.id LIMIT 1) AS first
    FROM dialogs d
    CROSS JOIN LATERAL (
        SELECT count(*) AS messages, max(at) AS last_at, coalesce(max(id), 0) AS last_id
        FROM messages WHERE dialog_id = d.id) AS m
    WHERE d.chat_id = :chat AND d.deleted_at IS NULL
"""  # noqa: S608 - a constant
_PAGE = sa.text(f"{_ENTRIES} ORDER BY m.last_id DESC, d.id DESC LIMIT :limit OFFSET :offset")
_ONE = sa.text(f"{_ENTRIES} AND d.id = :id")


async def count(connection: AsyncConnection, *, chat_id: int) -> int:
    """Return how many dialogs a chat has."""
    found: int = (
        await connection.execute(
            sa.text("SELECT count(*) FROM dialogs WHERE chat_id = :chat AND deleted_at IS NULL"), {"chat": chat_id}
        )
    ).scalar_one()
    return found


async def page(connection: AsyncConnection, *, chat_id: int, limit: int, offset: int) -> list[Entry]:
    """Return a chat's dialogs, the one that grew last first."""
    rows = await connection.execute(_PAGE, {"chat": chat_id, "limit": limit, "offset": offset})
    return [_entry(row) for row in rows]


async def find(connection: AsyncConnection, *, chat_id: int, dialog_id: int) -> Entry | None:
    """Return one dialog of a chat; None for another chat's and for one that was deleted."""
    row = (await connection.execute(_ONE, {"chat": chat_id, "id": dialog_id})).one_or_none()
    return _entry(row) if row else None


def _entry(row: sa.Row[tuple[int, ...]]) -> Entry:
    title = row.title or titles.of_words(row.first or "")
    return Entry(row.id, title, row.active, row.messages, row.created_at, row.last_at)


async def activate(tx: AsyncConnection, *, chat_id: int, dialog_id: int) -> bool:
    """Go on with one of the chat's dialogs; False when it is not of this chat, or was deleted."""
    await dialogs.lock_chat(tx, chat_id)
    values = {"chat": chat_id, "id": dialog_id}
    mine = await tx.scalar(
        sa.text("SELECT id FROM dialogs WHERE id = :id AND chat_id = :chat AND deleted_at IS NULL FOR UPDATE"), values
    )
    if mine is None:
        return False
    # Two statements, since the one active dialog of a chat is watched row by row.
    await tx.execute(
        sa.text("UPDATE dialogs SET active = false WHERE chat_id = :chat AND active AND id <> :id"), values
    )
    await tx.execute(sa.text("UPDATE dialogs SET active = true WHERE id = :id AND NOT active"), values)
    return True


async def rename(tx: AsyncConnection, *, chat_id: int, dialog_id: int, title: str) -> bool:
    """Give a dialog a person's title; False when the chat has no such dialog."""
    done = await tx.execute(
        sa.text("UPDATE dialogs SET title = :title WHERE id = :id AND chat_id = :chat AND deleted_at IS NULL"),
        {"title": title, "id": dialog_id, "chat": chat_id},
    )
    return done.rowcount == 1


async def opening(connection: AsyncConnection, dialog_id: int) -> Opening | None:
    """Return the first exchange of a dialog that has no title; None where it has one, was deleted, or has no answer."""
    rows = (
        await connection.execute(
            sa.text(
                """
                SELECT t.person_id, t.model, m.role, m.text
                FROM dialogs d
                JOIN LATERAL (
                    SELECT id, model, person_id FROM turns
                    WHERE dialog_id = d.id AND status IN ('done', 'stopped')
                      AND EXISTS (SELECT FROM messages WHERE turn_id = turns.id AND role = 'assistant')
                    ORDER BY id LIMIT 1) AS t ON true
                JOIN messages m ON m.turn_id = t.id
                WHERE d.id = :dialog AND d.title IS NULL AND d.deleted_at IS NULL
                ORDER BY m.role = 'assistant', m.message_id, m.id
                """
            ),
            {"dialog": dialog_id},
        )
    ).all()
    if not rows:
        return None
    return Opening(rows[0].person_id, rows[0].model, tuple(Message(row.role, row.text) for row in rows))


async def entitle(tx: AsyncConnection, *, dialog_id: int, title: str) -> bool:
    """Give a dialog the model's title, unless it has one or was deleted."""
    done = await tx.execute(
        sa.text("UPDATE dialogs SET title = :title WHERE id = :id AND title IS NULL AND deleted_at IS NULL"),
        {"title": title, "id": dialog_id},
    )
    return done.rowcount == 1


async def lines(connection: AsyncConnection, dialog_id: int) -> tuple[list[Line], bool]:
    """Return a dialog's messages in order, and whether the oldest were left out for EXPORT_BYTES_MAX."""
    rows = (
        await connection.execute(
            sa.text(
                """
                SELECT role, text, at, whole FROM (
                    SELECT role, text, at, turn_id, message_id, id,
                           sum(octet_length(text)) OVER newest_first AS bytes, count(*) OVER () AS whole
                    FROM messages WHERE dialog_id = :dialog
                    WINDOW newest_first AS (ORDER BY turn_id DESC NULLS FIRST, role = 'assistant' DESC,
                                            message_id DESC, id DESC)) AS m
                WHERE bytes <= :most
                ORDER BY turn_id NULLS LAST, role = 'assistant', message_id, id
                """
            ),
            {"dialog": dialog_id, "most": EXPORT_BYTES_MAX},
        )
    ).all()
    return [Line(row.role, row.text, row.at) for row in rows], bool(rows) and rows[0].whole > len(rows)


async def delete(tx: AsyncConnection, *, chat_id: int, dialog_ids: Sequence[int], now: datetime) -> list[int]:
    """Erase all words of dialogs, and what was made of them; return the ids of their open turns.

    The rows of dialogs and turns stay, without a word: what was paid for is to be accounted for. What an open turn
    still brings is discarded when it closes.
    """
    values = {"chat": chat_id, "ids": list(dialog_ids), "now": now}
    gone = await tx.execute(
        sa.text(
            """
            UPDATE dialogs SET deleted_at = :now, active = false, title = NULL
            WHERE chat_id = :chat AND id = ANY (CAST(:ids AS bigint[])) AND deleted_at IS NULL RETURNING id
            """
        ),
        values,
    )
    erased = {"ids": [row.id for row in gone]}
    for table in ("messages", "summaries", "house_work"):
        await tx.execute(
            sa.text(f"DELETE FROM {table} WHERE dialog_id = ANY (CAST(:ids AS bigint[]))"),  # noqa: S608
            erased,
        )
    found = await tx.execute(
        sa.text("SELECT id FROM turns WHERE dialog_id = ANY (CAST(:ids AS bigint[])) AND status = 'open' ORDER BY id"),
        erased,
    )
    return [row.id for row in found]
