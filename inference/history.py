"""History: a dialog as a prompt reads it. Each answer stands once, as it was reworked last (inference.rework), and in
a group each message under its speaker's name (inference.speakers).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from inference import rework, speakers
from inference.dialogs import ASSISTANT, HISTORY_MESSAGES_MAX, Message
from kit.db import sql


@dataclass(frozen=True, slots=True)
class Piece:
    """A stored message. `place` is the turn that has its question, `instruction` what its turn did to the answer."""

    role: str
    text: str
    id: int
    place: int
    tokens: int | None
    instruction: str | None
    author_id: int | None
    author: str | None


async def of(
    connection: AsyncConnection, *, dialog_id: int, turn_id: int, until: int, after: int = 0, model: str = ""
) -> list[Message]:
    """Return what the prompt of `turn_id` may hold, oldest first: closed turns' messages, then the turn's own.

    `until` is the last turn that it reads: itself, or the one whose answer it reworks. Messages of failed turns and of
    turns that a redo replaced are left out; so are those that still wait, and those of turns up to `after`, which a
    summary covers. What joined one turn stands in the order in which it was written, which need not be that in which it
    came. Counts of tokens are those of `model`.
    """
    rows = await connection.execute(
        sql(
            """
            SELECT m.role, m.text, m.id, coalesce(t.about_turn_id, t.id) AS place,
                CASE WHEN m.tokens_model = :model THEN m.tokens END AS tokens, t.instruction, m.author_id, m.author
            FROM messages m JOIN turns t ON t.id = m.turn_id
            WHERE m.dialog_id = :dialog AND (t.status IN ('done', 'stopped') OR t.id = :turn)
              AND coalesce(t.about_turn_id, t.id) > :after AND coalesce(t.about_turn_id, t.id) <= :until
            ORDER BY place DESC, m.role = 'assistant' DESC, t.id DESC, m.message_id DESC, m.id DESC LIMIT :most
            """
        ),
        {
            "dialog": dialog_id,
            "turn": turn_id,
            "until": until,
            "after": after,
            "model": model,
            "most": HISTORY_MESSAGES_MAX,
        },
    )
    return fold([Piece(*row) for row in reversed(rows.all())])


def fold(pieces: Sequence[Piece]) -> list[Message]:
    """Return stored messages, oldest first, as a prompt reads them; the `turn_id` of each is its place."""
    names = speakers.told_apart((piece.author_id, piece.author) for piece in pieces)
    messages: list[Message] = []
    for piece in pieces:
        text = piece.text if piece.author_id is None else speakers.said(names[piece.author_id], piece.text)
        message = Message(piece.role, text, piece.id, piece.place, piece.tokens)
        last = messages[-1] if messages else None
        if piece.instruction is None or last is None or (last.turn_id, last.role) != (piece.place, ASSISTANT):
            messages.append(message)
        elif piece.instruction == rework.CONTINUE:
            # No row holds the joined text, so no count of it can be kept.
            messages[-1] = Message(ASSISTANT, rework.joined(last.text, text), turn_id=piece.place)
        else:
            messages[-1] = message
    return messages


async def size(connection: AsyncConnection, dialog_id: int) -> tuple[int, int]:
    """Return the bytes of what a prompt may hold of a dialog, its summary included, and how many messages that is."""
    row = (
        await connection.execute(
            sql(
                """
                WITH known AS (
                    SELECT covers_turn_id, octet_length(text) AS bytes FROM summaries WHERE dialog_id = :dialog)
                SELECT coalesce(sum(bytes), 0)::bigint + coalesce((SELECT bytes FROM known), 0) AS bytes,
                       count(*) + 2 * (SELECT count(*) FROM known) AS messages
                FROM (SELECT octet_length(text) + coalesce(octet_length(author), 0) AS bytes FROM messages
                      WHERE dialog_id = :dialog
                        AND (turn_id IS NULL OR turn_id > coalesce((SELECT covers_turn_id FROM known), 0))
                      ORDER BY id DESC LIMIT :most) AS last
                """
            ),
            {"dialog": dialog_id, "most": HISTORY_MESSAGES_MAX},
        )
    ).one()
    return row.bytes, row.messages
