"""Summaries: what stands in a dialog's prompt in place of its oldest turns. At most one a dialog.

A summary covers the turns up to a number. It is replaced under guard: whoever read version N may write version N + 1,
so that of two that were made at once, or of one that was forgotten meanwhile, nothing is lost or comes back.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata

summaries = sa.Table(
    "summaries",
    metadata,
    sa.Column("dialog_id", sa.BigInteger, sa.ForeignKey("dialogs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("covers_turn_id", sa.BigInteger, nullable=False),
    sa.Column("turns", sa.Integer, nullable=False),
    sa.Column("prompt_tokens", sa.Integer),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Summary:
    """`text` stands for the `turns` turns up to `covers_turn_id`; it is empty where a person had it forgotten.

    `prompt_tokens` is what the prompt took, by the model server's count, when the summary took its place in it.
    """

    text: str = ""
    covers_turn_id: int = 0
    turns: int = 0
    prompt_tokens: int | None = None
    version: int = 0
    made_at: datetime | None = None


NONE = Summary()
_COLUMNS = ", ".join(Summary.__dataclass_fields__)
_OF = sa.text(f"SELECT {_COLUMNS} FROM summaries WHERE dialog_id = :dialog")  # noqa: S608 - constants


async def of(connection: AsyncConnection, dialog_id: int) -> Summary:
    """Return a dialog's summary; one that covers nothing where there is none."""
    row = (await connection.execute(_OF, {"dialog": dialog_id})).one_or_none()
    return Summary(*row) if row else NONE


async def replace(
    tx: AsyncConnection,
    *,
    dialog_id: int,
    known: Summary,
    text: str,
    covers_turn_id: int,
    turns: int,
    prompt_tokens: int | None,
    now: datetime,
) -> bool:
    """Put a new summary in the place of `known`; False when that is not the one any more, or the dialog is gone.

    The dialog's row must be locked.
    """
    values = {
        "dialog": dialog_id,
        "text": text,
        "covers": covers_turn_id,
        "turns": turns,
        "tokens": prompt_tokens,
        "version": known.version,
        "now": now,
    }
    done = await tx.execute(
        sa.text(
            """
            INSERT INTO summaries AS s (dialog_id, text, covers_turn_id, turns, prompt_tokens, version, made_at)
            SELECT :dialog, :text, :covers, :turns, :tokens, :version + 1, :now
            FROM dialogs d WHERE d.id = :dialog AND d.deleted_at IS NULL
              AND (:version = 0 OR EXISTS (SELECT FROM summaries WHERE dialog_id = :dialog AND version = :version))
            ON CONFLICT (dialog_id) DO UPDATE
                SET text = :text, covers_turn_id = :covers, turns = :turns, prompt_tokens = :tokens,
                    version = :version + 1, made_at = :now
                WHERE s.version = :version
            """
        ),
        values,
    )
    return done.rowcount == 1


async def forget(tx: AsyncConnection, *, dialog_id: int, now: datetime) -> bool:
    """Erase a summary's words; its turns stay out of the prompt. False when there are none."""
    done = await tx.execute(
        sa.text(
            """
            UPDATE summaries SET text = '', prompt_tokens = NULL, version = version + 1, made_at = :now
            WHERE dialog_id = :dialog AND text <> ''
            """
        ),
        {"dialog": dialog_id, "now": now},
    )
    return done.rowcount == 1
