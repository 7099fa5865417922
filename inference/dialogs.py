"""Dialogs and their messages. A chat has one active dialog; its row lock orders everything that touches its turns."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata, sql

USER, ASSISTANT = "user", "assistant"
# Whether the model reasons before it answers: never, about the next question, about all of the dialog.
THINK_OFF, THINK_NEXT, THINK_ON = "off", "next", "on"
# A bound for what is read; what a prompt holds is decided by its tokens, and summaries keep dialogs far below it.
HISTORY_MESSAGES_MAX = 400
WAITING_MESSAGES_MAX = 20
# What may join a question that nobody has begun to answer: Telegram forwards as many at once.
TURN_MESSAGES_MAX = 100
MESSAGE_CHARS_MAX = 64_000
# The space of the advisory locks that order a chat's changes of its active dialog.
_LOCKS = 4_021

dialogs = sa.Table(
    "dialogs",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("chat_id", sa.BigInteger, nullable=False),
    # A forum's topic has dialogs of its own; 0 is a chat without topics. A group's dialogs belong to no person.
    sa.Column("thread_id", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("persons.id", ondelete="CASCADE")),
    sa.Column("active", sa.Boolean, nullable=False, server_default="true"),
    sa.Column("thinking", sa.Text, nullable=False, server_default="off"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("title", sa.Text),
    # A deleted dialog keeps its row for the turns that were paid for, and not one word.
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("deleted_at IS NULL OR (NOT active AND title IS NULL)", name="deleted_is_empty"),
    sa.CheckConstraint("thinking IN ('off', 'next', 'on')", name="thinking_known"),
    sa.CheckConstraint("person_id IS NOT NULL OR chat_id < 0", name="only_groups_without_person"),
    sa.Index("uq_dialogs_active", "chat_id", "thread_id", unique=True, postgresql_where=sa.text("active")),
    sa.Index("ix_dialogs_person_id", "person_id"),
    sa.Index("ix_dialogs_chat_id", "chat_id", postgresql_where=sa.text("deleted_at IS NULL")),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("dialog_id", sa.BigInteger, sa.ForeignKey("dialogs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("turn_id", sa.BigInteger, sa.ForeignKey("turns.id")),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("chat_id", sa.BigInteger, nullable=False),
    sa.Column("message_id", sa.BigInteger),
    sa.Column("text", sa.Text, nullable=False),
    # In groups: who wrote it, by the name that the model reads.
    sa.Column("author_id", sa.BigInteger),
    sa.Column("author", sa.Text),
    # What the model thought before its answer: shown folded, and never part of a prompt.
    sa.Column("thoughts", sa.Text),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    # What the text takes by a model server's own count, and of which model that is.
    sa.Column("tokens", sa.Integer),
    sa.Column("tokens_model", sa.Text),
    sa.CheckConstraint("role IN ('user', 'assistant')", name="role_known"),
    sa.CheckConstraint("(author_id IS NULL) = (author IS NULL)", name="author_whole"),
    sa.Index(
        "uq_messages_chat_id_message_id",
        "chat_id",
        "message_id",
        unique=True,
        postgresql_where=sa.text("role = 'user'"),
    ),
    sa.Index("ix_messages_dialog_id_id", "dialog_id", "id"),
    sa.Index("ix_messages_turn_id", "turn_id"),
    sa.Index("ix_messages_waiting", "dialog_id", "id", postgresql_where=sa.text("turn_id IS NULL AND role = 'user'")),
    sa.Index(
        "ix_messages_waiting_author",
        "author_id",
        postgresql_where=sa.text("turn_id IS NULL AND role = 'user' AND author_id IS NOT NULL"),
    ),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a dialog, as the prompt needs it. `tokens`: of the text, by the model server, where known.

    `turn_id` is the turn with the question; `id` is 0 for what is no single stored message.
    """

    role: str
    text: str
    id: int = 0
    turn_id: int = 0
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """User messages that no turn has taken yet, oldest first."""

    ids: tuple[int, ...]
    chars: int
    last_message_id: int | None


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes in a group: the id, and the name that the model reads (inference.speakers)."""

    id: int
    name: str


async def lock_active(
    tx: AsyncConnection, *, chat_id: int, person_id: int | None, now: datetime, thread_id: int = 0
) -> int:
    """Return the chat's active dialog, made when missing, its row locked until the transaction ends.

    `person_id` is None for a group, whose dialogs (one a topic) belong to nobody.
    """
    select = sql("SELECT id FROM dialogs WHERE chat_id = :chat AND thread_id = :thread AND active FOR UPDATE")
    found: int | None = await tx.scalar(select, {"chat": chat_id, "thread": thread_id})
    if found is not None:
        return found
    await tx.execute(
        sql(
            """
            INSERT INTO dialogs (chat_id, thread_id, person_id, created_at) VALUES (:chat, :thread, :person, :now)
            ON CONFLICT (chat_id, thread_id) WHERE active DO NOTHING
            """
        ),
        {"chat": chat_id, "thread": thread_id, "person": person_id, "now": now},
    )
    made: int = (await tx.execute(select, {"chat": chat_id, "thread": thread_id})).scalar_one()
    return made


@dataclass(frozen=True, slots=True)
class Locked:
    """A dialog whose row is locked until the transaction ends."""

    deleted: bool
    titled: bool


async def lock(tx: AsyncConnection, dialog_id: int) -> Locked:
    """Lock one dialog's row, active or not; one whose person is gone counts as deleted."""
    row = (
        await tx.execute(
            sql(
                """
                SELECT deleted_at IS NOT NULL AS deleted, title IS NOT NULL AS titled
                FROM dialogs WHERE id = :id FOR UPDATE
                """
            ),
            {"id": dialog_id},
        )
    ).one_or_none()
    return Locked(row.deleted, row.titled) if row else Locked(deleted=True, titled=False)


async def lock_chat(tx: AsyncConnection, chat_id: int) -> None:
    """Let the changes of which dialog is active come one after the other; buttons of a chat may be pressed at once."""
    await tx.execute(
        sql("SELECT pg_advisory_xact_lock(CAST(:space AS integer), hashint8(:chat))"),
        {"space": _LOCKS, "chat": chat_id},
    )


async def close_active(tx: AsyncConnection, *, chat_id: int, thread_id: int = 0) -> bool:
    """End the chat's active dialog, so that the next message begins a new one; False if there was none."""
    await lock_chat(tx, chat_id)
    done = await tx.execute(
        sql("UPDATE dialogs SET active = false WHERE chat_id = :chat AND thread_id = :thread AND active"),
        {"chat": chat_id, "thread": thread_id},
    )
    return done.rowcount == 1


async def add_user_message(
    tx: AsyncConnection,
    *,
    dialog_id: int,
    turn_id: int | None,
    chat_id: int,
    message_id: int | None,
    text: str,
    now: datetime,
    author: Author | None = None,
) -> int | None:
    """Store what a person wrote; None if this Telegram message is known already. `author` is for groups."""
    new_id: int | None = await tx.scalar(
        sql(
            """
            INSERT INTO messages (dialog_id, turn_id, role, chat_id, message_id, text, at, author_id, author)
            VALUES (:dialog, :turn, 'user', :chat, :message, :text, :now, :author_id, :author)
            ON CONFLICT (chat_id, message_id) WHERE role = 'user' DO NOTHING RETURNING id
            """
        ),
        {
            "dialog": dialog_id,
            "turn": turn_id,
            "chat": chat_id,
            "message": message_id,
            "text": text[:MESSAGE_CHARS_MAX],
            "now": now,
            "author_id": author.id if author else None,
            "author": author.name if author else None,
        },
    )
    return new_id


async def add_answer(
    tx: AsyncConnection,
    *,
    dialog_id: int,
    turn_id: int,
    chat_id: int,
    text: str,
    now: datetime,
    thoughts: str | None = None,
) -> None:
    """Store the final answer of a turn, with what the model thought before it."""
    await tx.execute(
        sql(
            """
            INSERT INTO messages (dialog_id, turn_id, role, chat_id, text, at, thoughts)
            VALUES (:dialog, :turn, 'assistant', :chat, :text, :now, :thoughts)
            """
        ),
        {"dialog": dialog_id, "turn": turn_id, "chat": chat_id, "text": text, "now": now, "thoughts": thoughts},
    )


async def answer_of(connection: AsyncConnection, turn_id: int) -> tuple[str, str] | None:
    """Return the stored answer of a turn and the thoughts before it ("" for none)."""
    row = (
        await connection.execute(
            sql(
                """
                SELECT text, coalesce(thoughts, '') AS thoughts FROM messages
                WHERE turn_id = :turn AND role = 'assistant' ORDER BY id DESC LIMIT 1
                """
            ),
            {"turn": turn_id},
        )
    ).one_or_none()
    return (row.text, row.thoughts) if row else None


async def has_answer(connection: AsyncConnection, turn_id: int) -> bool:
    """Tell whether a turn's answer is still part of its dialog: a redo takes it out."""
    found: bool = (
        await connection.execute(
            sql("SELECT EXISTS (SELECT FROM messages WHERE turn_id = :turn AND role = 'assistant')"),
            {"turn": turn_id},
        )
    ).scalar_one()
    return found


async def asked(connection: AsyncConnection, turn_id: int) -> int:
    """Return how many messages of a person a turn has."""
    found: int = (
        await connection.execute(
            sql("SELECT count(*) FROM messages WHERE turn_id = :turn AND role = 'user'"), {"turn": turn_id}
        )
    ).scalar_one()
    return found


async def take(tx: AsyncConnection, message_ids: tuple[int, ...], turn_id: int) -> None:
    """Give messages to a turn."""
    await tx.execute(
        sql("UPDATE messages SET turn_id = :turn WHERE id = ANY (CAST(:ids AS bigint[]))"),
        {"turn": turn_id, "ids": list(message_ids)},
    )


async def waiting(tx: AsyncConnection, dialog_id: int, *, author_id: int | None = None) -> Waiting:
    """Return the user messages of a dialog that no turn has taken; with `author_id`, in a group only theirs."""
    rows = (
        await tx.execute(
            sql(
                """
                SELECT id, message_id, octet_length(text) AS chars FROM messages
                WHERE dialog_id = :dialog AND turn_id IS NULL AND role = 'user'
                  AND (author_id = :author OR author_id IS NULL OR CAST(:author AS bigint) IS NULL)
                ORDER BY id
                """
            ),
            {"dialog": dialog_id, "author": author_id},
        )
    ).all()
    return Waiting(tuple(row.id for row in rows), sum(row.chars for row in rows), rows[-1].message_id if rows else None)


async def waiting_authors(connection: AsyncConnection, dialog_id: int) -> list[int]:
    """Return whose messages wait in a group's dialog, whoever has waited longest first."""
    rows = await connection.execute(
        sql(
            """
            SELECT author_id FROM messages
            WHERE dialog_id = :dialog AND turn_id IS NULL AND role = 'user' AND author_id IS NOT NULL
            GROUP BY author_id ORDER BY min(id)
            """
        ),
        {"dialog": dialog_id},
    )
    return [row.author_id for row in rows]


async def drop_waiting(tx: AsyncConnection, message_ids: tuple[int, ...]) -> None:
    """Drop messages that will not be answered."""
    await tx.execute(
        sql("DELETE FROM messages WHERE id = ANY (CAST(:ids AS bigint[])) AND turn_id IS NULL"),
        {"ids": list(message_ids)},
    )


async def with_waiting(connection: AsyncConnection, *, person_id: int, but: int) -> list[tuple[int, int]]:
    """Return (dialog id, chat id) of other dialogs where messages of a person wait, at most 8."""
    rows = await connection.execute(
        sql(
            """
            SELECT d.id, d.chat_id FROM dialogs d
            WHERE d.person_id = :person AND d.id <> :but AND EXISTS (
                SELECT FROM messages m WHERE m.dialog_id = d.id AND m.turn_id IS NULL AND m.role = 'user')
            UNION
            SELECT m.dialog_id, m.chat_id FROM messages m
            WHERE m.author_id = :person AND m.dialog_id <> :but AND m.turn_id IS NULL AND m.role = 'user'
            ORDER BY 1 LIMIT 8
            """
        ),
        {"person": person_id, "but": but},
    )
    return [(row.id, row.chat_id) for row in rows]


async def abandoned(connection: AsyncConnection, *, before: datetime, limit: int) -> list[tuple[int, int, int]]:
    """Return (dialog id, chat id, person id) where messages wait since `before` and no turn is open."""
    # Any of them: whoever has no tokens stays among them, and must not keep the others out for ever.
    rows = await connection.execute(
        sql(
            """
            SELECT id, chat_id, person_id FROM (
                SELECT DISTINCT d.id, d.chat_id, coalesce(m.author_id, d.person_id) AS person_id
                FROM messages m JOIN dialogs d ON d.id = m.dialog_id
                WHERE m.turn_id IS NULL AND m.role = 'user' AND m.at <= :before
                  AND NOT EXISTS (SELECT FROM turns t WHERE t.dialog_id = d.id AND t.status = 'open')
            ) AS abandoned
            ORDER BY random() LIMIT :limit
            """
        ),
        {"before": before, "limit": limit},
    )
    return [(row.id, row.chat_id, row.person_id) for row in rows]


async def release_messages(tx: AsyncConnection, turn_id: int) -> bool:
    """Take a closed turn's user messages back to waiting and drop its answers from the dialog; False if it has none."""
    moved = await tx.execute(
        sql("UPDATE messages SET turn_id = NULL WHERE turn_id = :turn AND role = 'user'"), {"turn": turn_id}
    )
    await drop_answers(tx, turn_id)
    return moved.rowcount > 0


async def active(connection: AsyncConnection, *, chat_id: int, thread_id: int = 0) -> int | None:
    """Return the chat's (a topic's) active dialog, without a lock."""
    found: int | None = await connection.scalar(
        sql("SELECT id FROM dialogs WHERE chat_id = :chat AND thread_id = :thread AND active"),
        {"chat": chat_id, "thread": thread_id},
    )
    return found


async def drop_answers(tx: AsyncConnection, turn_id: int) -> None:
    """Drop a turn's answer from the dialog, with all that reworked it."""
    await tx.execute(
        sql(
            """
            DELETE FROM messages WHERE role = 'assistant'
              AND turn_id IN (SELECT id FROM turns WHERE id = :turn OR about_turn_id = :turn)
            """
        ),
        {"turn": turn_id},
    )


async def exists(connection: AsyncConnection, *, person_id: int) -> bool:
    """Tell whether a person ever had a dialog."""
    found: bool = (
        await connection.execute(
            sql("SELECT EXISTS (SELECT FROM dialogs WHERE person_id = :person)"), {"person": person_id}
        )
    ).scalar_one()
    return found
