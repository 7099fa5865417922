"""Turns: one request of a person and its one answer. A dialog has at most one open turn (partial unique index)."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata, sql

OPEN, DONE, STOPPED, FAILED = "open", "done", "stopped", "failed"

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("dialog_id", sa.BigInteger, sa.ForeignKey("dialogs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("person_id", sa.BigInteger, nullable=False),
    sa.Column("chat_id", sa.BigInteger, nullable=False),
    sa.Column("thread_id", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reply_to_message_id", sa.BigInteger),
    # Whether the model may reason before it answers.
    sa.Column("thinking", sa.Boolean, nullable=False, server_default="false"),
    # A turn without a question of its own: what it does (inference.rework), with the answer of which turn, and under
    # which turn's answer the button stood.
    sa.Column("instruction", sa.Text),
    sa.Column("about_turn_id", sa.BigInteger),
    sa.Column("pressed_turn_id", sa.BigInteger),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default=OPEN),
    sa.Column("ready_at", sa.DateTime(timezone=True), nullable=False),
    # What the hold was reckoned with, fixed at accept.
    sa.Column("input_max", sa.Integer, nullable=False),
    sa.Column("output_max", sa.Integer, nullable=False),
    sa.Column("price_input", sa.Integer, nullable=False),
    sa.Column("price_cached", sa.Integer, nullable=False),
    sa.Column("price_output", sa.Integer, nullable=False),
    # What the ticket in the fair queue says, so that the sweeper can submit it again.
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("in_flight_max", sa.Integer, nullable=False),
    sa.Column("admit_key", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True)),
    sa.Column("fence", sa.BigInteger),
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("first_token_at", sa.DateTime(timezone=True)),
    sa.Column("closed_at", sa.DateTime(timezone=True)),
    sa.Column("finish_reason", sa.Text),
    sa.Column("input_tokens", sa.Integer),
    sa.Column("cached_tokens", sa.Integer),
    sa.Column("output_tokens", sa.Integer),
    sa.Column("billed_tokens", sa.BigInteger),
    sa.Column("courtesy_tokens", sa.BigInteger),
    sa.Column("error_code", sa.Text),
    sa.Column("error", sa.Text),
    sa.CheckConstraint("status IN ('open', 'done', 'stopped', 'failed')", name="status_known"),
    sa.CheckConstraint("input_max > 0 AND output_max > 0 AND weight > 0", name="bounds_positive"),
    sa.CheckConstraint("(status = 'open') = (closed_at IS NULL)", name="closed_with_time"),
    sa.CheckConstraint("instruction IN ('shorter', 'deeper', 'continue')", name="instruction_known"),
    sa.CheckConstraint(
        "(instruction IS NULL) = (about_turn_id IS NULL) AND (instruction IS NULL) = (pressed_turn_id IS NULL)",
        name="instruction_about_a_turn",
    ),
    sa.Index(
        "uq_turns_pressed",
        "pressed_turn_id",
        "instruction",
        unique=True,
        postgresql_where=sa.text("status <> 'failed'"),
    ),
    sa.Index("ix_turns_about_turn_id", "about_turn_id", postgresql_where=sa.text("about_turn_id IS NOT NULL")),
    sa.Index("uq_turns_open", "dialog_id", unique=True, postgresql_where=sa.text("status = 'open'")),
    sa.Index("ix_turns_open_ready_at", "ready_at", postgresql_where=sa.text("status = 'open'")),
    sa.Index("ix_turns_person_id_id", "person_id", "id"),
    sa.Index("ix_turns_error_code", "error_code", postgresql_where=sa.text("error_code IS NOT NULL")),
    sa.Index("ix_turns_created_at", "created_at"),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """An open or closed turn, without its texts. Prices are millitokens billed per model token."""

    id: int
    dialog_id: int
    person_id: int
    chat_id: int
    reply_to_message_id: int | None
    model: str
    status: str
    ready_at: datetime
    input_max: int
    output_max: int
    price_input: int
    price_cached: int
    price_output: int
    weight: int
    in_flight_max: int
    admit_key: str
    created_at: datetime
    started_at: datetime | None
    fence: int | None
    attempts: int
    thread_id: int
    thinking: bool
    instruction: str | None
    about_turn_id: int | None
    pressed_turn_id: int | None

    @property
    def in_group(self) -> bool:
        """Whether it was asked in a group: there the chat is not the person."""
        return self.chat_id < 0

    @property
    def place(self) -> int:
        """The turn that has the question: this one, or the one whose answer this one reworks."""
        return self.about_turn_id or self.id

    @property
    def started(self) -> bool:
        return self.started_at is not None

    def cost(self, *, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """Return the billed tokens of a usage at this turn's prices, rounded up."""
        assert 0 <= cached_tokens <= input_tokens
        assert output_tokens >= 0
        millitokens = (
            (input_tokens - cached_tokens) * self.price_input
            + cached_tokens * self.price_cached
            + output_tokens * self.price_output
        )
        return -(-millitokens // 1000)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new turn is made of."""

    dialog_id: int
    person_id: int
    chat_id: int
    reply_to_message_id: int | None
    model: str
    ready_at: datetime
    input_max: int
    output_max: int
    price_input: int
    price_cached: int
    price_output: int
    weight: int
    in_flight_max: int
    admit_key: str
    thread_id: int = 0
    thinking: bool = False
    instruction: str | None = None
    about_turn_id: int | None = None
    pressed_turn_id: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended. Token counts are the model server's own usage."""

    status: str
    finish_reason: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    billed_tokens: int = 0
    courtesy_tokens: int = 0
    error_code: str | None = None
    error: str | None = None
    first_token_at: datetime | None = None


_COLUMNS = ", ".join(Turn.__dataclass_fields__)
_DRAFT_COLUMNS = ", ".join(Draft.__dataclass_fields__)
_DRAFT_VALUES = ", ".join(f":{name}" for name in Draft.__dataclass_fields__)
_OPEN = sa.text(
    f"INSERT INTO turns ({_DRAFT_COLUMNS}, created_at) VALUES ({_DRAFT_VALUES}, :now) RETURNING {_COLUMNS}"  # noqa: S608
)
_OPEN_OF_DIALOG = sa.text(f"SELECT {_COLUMNS} FROM turns WHERE dialog_id = :dialog AND status = 'open'")  # noqa: S608
_LATEST_OPEN = sa.text(
    f"""
    SELECT {_COLUMNS} FROM turns
    WHERE chat_id = :chat AND status = 'open' AND (CAST(:person AS bigint) IS NULL OR person_id = :person)
    ORDER BY id DESC LIMIT 1
    """  # noqa: S608
)
_LAST_CLOSED = sa.text(
    f"""
    SELECT {_COLUMNS} FROM turns WHERE status IN ('done', 'stopped') AND id = (
        SELECT max(turn_id) FROM messages WHERE dialog_id = :dialog AND role = 'assistant')
    """  # noqa: S608
)
_BY_ID = sa.text(f"SELECT {_COLUMNS} FROM turns WHERE id = :id")  # noqa: S608
_START = sa.text(
    f"""
    UPDATE turns SET fence = :fence, started_at = :now, attempts = attempts + 1
    WHERE id = :id AND status = 'open' AND (fence IS NULL OR fence < :fence) RETURNING {_COLUMNS}
    """  # noqa: S608
)
# By the index of open turns, in its order: a page begins behind the last turn of the one before.
_PAGE = "AND (ready_at, id) > (:after_at, :after_id) ORDER BY ready_at, id LIMIT :limit"
_OVERDUE = sa.text(
    f"""
    SELECT {_COLUMNS} FROM turns WHERE status = 'open' AND ready_at <= :before
      AND person_id <> ALL (CAST(:but_persons AS bigint[])) AND model <> ALL (CAST(:but_models AS text[])) {_PAGE}
    """  # noqa: S608
)
_UNSTARTED = sa.text(
    f"""
    SELECT {_COLUMNS} FROM turns WHERE status = 'open' AND started_at IS NULL
      AND (CAST(:person AS bigint) IS NULL OR person_id = :person) AND (CAST(:model AS text) IS NULL OR model = :model)
      {_PAGE}
    """  # noqa: S608
)
_EPOCH = datetime.fromtimestamp(0, UTC)


async def open_turn(tx: AsyncConnection, draft: Draft, *, now: datetime) -> Turn:
    """Insert an open turn. The dialog's row must be locked, so that no second one can race for its place."""
    values = {name: getattr(draft, name) for name in Draft.__dataclass_fields__}
    return Turn(*(await tx.execute(_OPEN, {**values, "now": now})).one())


async def open_of_dialog(connection: AsyncConnection, dialog_id: int) -> Turn | None:
    """Return the dialog's open turn."""
    row = (await connection.execute(_OPEN_OF_DIALOG, {"dialog": dialog_id})).one_or_none()
    return Turn(*row) if row else None


async def open_of_chat(connection: AsyncConnection, chat_id: int, thread_id: int = 0) -> Turn | None:
    """Return the open turn of the chat's (a topic's) active dialog, without a lock."""
    row = (
        await connection.execute(
            sql(
                f"""
                SELECT {_COLUMNS} FROM turns WHERE status = 'open'
                  AND dialog_id = (SELECT id FROM dialogs WHERE chat_id = :chat AND thread_id = :thread AND active)
                """  # noqa: S608
            ),
            {"chat": chat_id, "thread": thread_id},
        )
    ).one_or_none()
    return Turn(*row) if row else None


async def latest_open(connection: AsyncConnection, chat_id: int, *, person_id: int | None = None) -> Turn | None:
    """Return the chat's newest open turn, whichever of its dialogs it belongs to; with `person_id`, of that person."""
    row = (await connection.execute(_LATEST_OPEN, {"chat": chat_id, "person": person_id})).one_or_none()
    return Turn(*row) if row else None


async def find(connection: AsyncConnection, turn_id: int) -> Turn | None:
    row = (await connection.execute(_BY_ID, {"id": turn_id})).one_or_none()
    return Turn(*row) if row else None


async def last_closed(connection: AsyncConnection, dialog_id: int) -> Turn | None:
    """Return the last turn of a dialog that was answered."""
    row = (await connection.execute(_LAST_CLOSED, {"dialog": dialog_id})).one_or_none()
    return Turn(*row) if row else None


async def start(tx: AsyncConnection, turn_id: int, *, fence: int, now: datetime) -> Turn | None:
    """Take an open turn for a claim; None when it is closed or a newer claim has it. Messages join no more."""
    row = (await tx.execute(_START, {"id": turn_id, "fence": fence, "now": now})).one_or_none()
    return Turn(*row) if row else None


async def reworked(connection: AsyncConnection, turn_id: int, instruction: str) -> bool:
    """Tell whether the button `instruction` under a turn's answer has made a turn already; one that failed does not
    count."""
    found: bool = (
        await connection.execute(
            sql(
                """
                SELECT EXISTS (SELECT FROM turns
                               WHERE pressed_turn_id = :turn AND instruction = :instruction AND status <> 'failed')
                """
            ),
            {"turn": turn_id, "instruction": instruction},
        )
    ).scalar_one()
    return found


async def unspend(tx: AsyncConnection, turn_id: int, *, fence: int) -> None:
    """Take back the try that `start` counted, for a holder that stops for reasons of its own."""
    await tx.execute(
        sql("UPDATE turns SET attempts = attempts - 1 WHERE id = :id AND status = 'open' AND fence = :fence"),
        {"id": turn_id, "fence": fence},
    )


async def widen(tx: AsyncConnection, turn_id: int, *, input_tokens: int, ready_at: datetime | None) -> None:
    """Make room for a message that joins a turn nobody has started; the later `ready_at` wins."""
    await tx.execute(
        sql(
            """
            UPDATE turns SET input_max = input_max + :tokens, ready_at = greatest(ready_at, :ready)
            WHERE id = :id AND status = 'open'
            """
        ),
        {"id": turn_id, "tokens": input_tokens, "ready": ready_at},
    )


async def limit_output(tx: AsyncConnection, turn: Turn, *, output_max: int) -> Turn:
    """Cut the answer's bound to what its hold affords."""
    await tx.execute(sql("UPDATE turns SET output_max = :most WHERE id = :id"), {"id": turn.id, "most": output_max})
    return replace(turn, output_max=output_max)


async def close(tx: AsyncConnection, turn_id: int, outcome: Outcome, *, fence: int | None, now: datetime) -> bool:
    """End an open turn; False if it is closed already or `fence` (None: any) is no longer its holder's."""
    done = await tx.execute(
        sql(
            """
            UPDATE turns SET status = :status, closed_at = :now, finish_reason = :finish_reason,
                   input_tokens = :input_tokens, cached_tokens = :cached_tokens, output_tokens = :output_tokens,
                   billed_tokens = :billed_tokens, courtesy_tokens = :courtesy_tokens, error_code = :error_code,
                   error = :error, first_token_at = :first_token_at
            WHERE id = :id AND status = 'open' AND (CAST(:fence AS bigint) IS NULL OR fence = :fence)
            """
        ),
        {
            "id": turn_id,
            "fence": fence,
            "now": now,
            "status": outcome.status,
            "finish_reason": outcome.finish_reason or None,
            "input_tokens": outcome.input_tokens,
            "cached_tokens": outcome.cached_tokens,
            "output_tokens": outcome.output_tokens,
            "billed_tokens": outcome.billed_tokens,
            "courtesy_tokens": outcome.courtesy_tokens,
            "error_code": outcome.error_code,
            "error": outcome.error[:500] if outcome.error else None,
            "first_token_at": outcome.first_token_at,
        },
    )
    return done.rowcount == 1


async def overdue(
    connection: AsyncConnection,
    *,
    before: datetime,
    limit: int,
    after: Turn | None = None,
    but_persons: Collection[int] = (),
    but_models: Collection[str] = (),
) -> list[Turn]:
    """Return open turns that have been ready since `before`: the sweeper looks whether the queue knows them.

    Those behind `after`, the earliest first; without the turns of some persons or models.
    """
    values = {"before": before, "but_persons": list(but_persons), "but_models": list(but_models)}
    rows = await connection.execute(_OVERDUE, {**values, **_page(after, limit)})
    return [Turn(*row) for row in rows]


async def unstarted(
    connection: AsyncConnection, *, person_id: int | None, model: str | None, limit: int, after: Turn | None = None
) -> list[Turn]:
    """Return open turns that nobody has started, those behind `after`; of a person or a model where given."""
    values = {"person": person_id, "model": model, **_page(after, limit)}
    return [Turn(*row) for row in await connection.execute(_UNSTARTED, values)]


def _page(after: Turn | None, limit: int) -> dict[str, object]:
    return {
        "after_at": after.ready_at if after else _EPOCH,
        "after_id": after.id if after else 0,
        "limit": limit,
    }
