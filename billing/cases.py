"""Cases: what a person asks about a payment, and the operator's answers. open ⇄ answered → closed; open → closed.

`open` waits for the operator until its answer is due, `answered` for whatever the person still says. A prompt says that
a person's next message belongs to a case and not to the chat; it stands in the database, so that it outlives a restart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata
from kit.errors import Rejected

# What people are promised.
ANSWER_WITHIN: Final = timedelta(hours=48)
# The operator is reminded so long before an answer is due, when it is, and daily from then on.
REMIND_BEFORE: Final = timedelta(hours=6)
REMIND_EVERY: Final = timedelta(days=1)
REMINDERS_MAX: Final = 10
# A person has so many cases at once, opens so many in a day, and speaks so often before an answer; the length counts in
# UTF-16, as Telegram's limit of a message does.
OPEN_MAX: Final = 3
OPENED_A_DAY_MAX: Final = 5
UNANSWERED_MAX: Final = 5
TEXT_UNITS_MAX: Final = 2_000
# After so long a message is a question to the model again.
PROMPT_LIFE: Final = timedelta(minutes=15)
# An answered case of which nobody speaks is closed; what was said is deleted so long after the end.
QUIET_MAX: Final = timedelta(days=14)
KEEP_WORDS: Final = timedelta(days=90)
MESSAGES_SHOWN: Final = 4

Author = Literal["person", "operator"]

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("persons.id"), nullable=False),
    sa.Column("payment_id", sa.BigInteger, sa.ForeignKey("payments.id")),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("answer_due_at", sa.DateTime(timezone=True)),
    # How often the operator was reminded of the answer that is due.
    sa.Column("reminders", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("closed_by", sa.BigInteger),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("status IN ('open', 'answered', 'closed')", name="status_known"),
    sa.CheckConstraint("(status = 'open') = (answer_due_at IS NOT NULL)", name="open_is_due"),
    sa.CheckConstraint("reminders >= 0", name="reminders_not_negative"),
    sa.Index("ix_cases_person_id_id", "person_id", "id"),
    sa.Index("ix_cases_due", "answer_due_at", postgresql_where=sa.text("status = 'open'")),
    sa.Index("ix_cases_status_updated_at", "status", "updated_at", postgresql_where=sa.text("status <> 'open'")),
)

case_messages = sa.Table(
    "case_messages",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("case_id", sa.BigInteger, sa.ForeignKey("cases.id"), nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("actor_id", sa.BigInteger, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("author IN ('person', 'operator')", name="author_known"),
    sa.Index("ix_case_messages_case_id_id", "case_id", "id"),
)

case_prompts = sa.Table(
    "case_prompts",
    metadata,
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("persons.id"), primary_key=True, autoincrement=False),
    sa.Column("payment_id", sa.BigInteger, sa.ForeignKey("payments.id")),
    sa.Column("case_id", sa.BigInteger, sa.ForeignKey("cases.id")),
    # When a text that was too long came: clients send one in several parts.
    sa.Column("refused_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
)


class CaseClosed(Rejected):
    """The case is closed, or is not there."""

    code = "error-case-closed"


class TooManyCases(Rejected):
    """The person has OPEN_MAX cases, or opened OPENED_A_DAY_MAX within a day."""

    code = "error-cases-many"


class TooManyWords(Rejected):
    """The person has said UNANSWERED_MAX times something in a case that nobody has answered yet."""

    code = "error-case-words-many"


@dataclass(frozen=True, slots=True)
class Case:
    """A case. `due_at`: when its answer is due, None while none is owed."""

    id: int
    person_id: int
    payment_id: int | None
    status: str
    due_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Said:
    """Something that was said in a case."""

    author: Author
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Prompt:
    """Where a person's next message goes: to a case of theirs, or into a new one about a payment, or about none."""

    payment_id: int | None
    case_id: int | None
    refused_at: datetime | None


_SELECT: Final[sa.Select[Any]] = sa.select(
    cases.c.id, cases.c.person_id, cases.c.payment_id, cases.c.status, cases.c.answer_due_at, cases.c.created_at
)


async def prompt(
    tx: AsyncConnection, *, person_id: int, payment_id: int | None, case_id: int | None, now: datetime
) -> None:
    """Let the person's next message go to a case; the latest prompt counts."""
    values = {"payment_id": payment_id, "case_id": case_id, "refused_at": None, "created_at": now}
    await tx.execute(
        insert(case_prompts)
        .values(person_id=person_id, **values)
        .on_conflict_do_update(index_elements=["person_id"], set_=values)
    )


async def prompted(connection: AsyncConnection, *, person_id: int, now: datetime) -> Prompt | None:
    """Return where a person's next message goes, None if it is a question like any other."""
    row = (
        await connection.execute(
            sa.select(case_prompts.c.payment_id, case_prompts.c.case_id, case_prompts.c.refused_at).where(
                case_prompts.c.person_id == person_id, case_prompts.c.created_at > now - PROMPT_LIFE
            )
        )
    ).one_or_none()
    return Prompt(*row) if row else None


async def refuse_prompted(tx: AsyncConnection, *, person_id: int, at: datetime) -> None:
    """Keep a prompt and note when a text for it was too long."""
    await tx.execute(sa.update(case_prompts).where(case_prompts.c.person_id == person_id).values(refused_at=at))


async def drop_prompt(tx: AsyncConnection, *, person_id: int) -> bool:
    """End a prompt; True if there was one."""
    gone = await tx.execute(sa.delete(case_prompts).where(case_prompts.c.person_id == person_id))
    return gone.rowcount == 1


async def check_room(connection: AsyncConnection, *, person_id: int, now: datetime) -> None:
    """Raise TooManyCases when the person may not open another case now."""
    mine = cases.c.person_id == person_id
    counts = (
        await connection.execute(
            sa.select(
                sa.func.count().filter(cases.c.status != "closed").label("alive"),
                sa.func.count().filter(cases.c.created_at > now - timedelta(days=1)).label("today"),
            ).where(mine)
        )
    ).one()
    if counts.alive >= OPEN_MAX or counts.today >= OPENED_A_DAY_MAX:
        raise TooManyCases


async def open_case(tx: AsyncConnection, *, person_id: int, payment_id: int | None, text: str, now: datetime) -> Case:
    """Open a case with a person's first words; the caller has seen that the payment is theirs. Raises TooManyCases."""
    await check_room(tx, person_id=person_id, now=now)
    row = await tx.execute(
        sa.insert(cases)
        .values(
            person_id=person_id,
            payment_id=payment_id,
            status="open",
            answer_due_at=now + ANSWER_WITHIN,
            created_at=now,
            updated_at=now,
        )
        .returning(cases.c.id)
    )
    case_id: int = row.scalar_one()
    await _say(tx, case_id, "person", person_id, text, now)
    opened = await find(tx, case_id)
    assert opened is not None
    return opened


async def add(tx: AsyncConnection, *, case_id: int, person_id: int, text: str, now: datetime) -> Case:
    """Add a person's words to a case of theirs; an answer is owed again. Raises CaseClosed, TooManyWords."""
    case = await lock(tx, case_id)
    if case is None or case.person_id != person_id or case.status == "closed":
        raise CaseClosed(id=case_id)
    latest = await said(tx, case_id=case_id, limit=UNANSWERED_MAX)
    if len(latest) == UNANSWERED_MAX and all(one.author == "person" for one in latest):
        raise TooManyWords(id=case_id)
    await _say(tx, case_id, "person", person_id, text, now)
    if case.status == "answered":
        await _set(tx, case_id, now, status="open", answer_due_at=now + ANSWER_WITHIN, reminders=0)
    again = await find(tx, case_id)
    assert again is not None
    return again


async def answer(tx: AsyncConnection, *, case_id: int, actor_id: int, text: str, now: datetime) -> Case:
    """Add the operator's words to a case; nothing is owed until the person speaks. Raises CaseClosed."""
    case = await lock(tx, case_id)
    if case is None or case.status == "closed":
        raise CaseClosed(id=case_id)
    await _say(tx, case_id, "operator", actor_id, text, now)
    await _set(tx, case_id, now, status="answered", answer_due_at=None, reminders=0)
    return case


async def close(tx: AsyncConnection, *, case_id: int, actor_id: int, now: datetime) -> Case:
    """Close a case, once. Raises CaseClosed."""
    case = await lock(tx, case_id)
    if case is None or case.status == "closed":
        raise CaseClosed(id=case_id)
    await _set(tx, case_id, now, status="closed", answer_due_at=None, closed_by=actor_id)
    return case


async def find(connection: AsyncConnection, case_id: int) -> Case | None:
    """Return a case by number."""
    row = (await connection.execute(_SELECT.where(cases.c.id == case_id))).one_or_none()
    return Case(*row) if row else None


async def lock(tx: AsyncConnection, case_id: int) -> Case | None:
    """Return a case, locked until the transaction ends."""
    row = (await tx.execute(_SELECT.where(cases.c.id == case_id).with_for_update(key_share=True))).one_or_none()
    return Case(*row) if row else None


async def of_person(connection: AsyncConnection, *, person_id: int) -> list[Case]:
    """Return a person's cases that are not closed, the oldest first: OPEN_MAX at most."""
    mine = (cases.c.person_id == person_id, cases.c.status != "closed")
    rows = await connection.execute(_SELECT.where(*mine).order_by(cases.c.id).limit(OPEN_MAX))
    return [Case(*row) for row in rows]


async def waiting(connection: AsyncConnection, *, limit: int) -> list[Case]:
    """Return the cases that are not closed: those that wait for an answer first, the most urgent at the top."""
    alive = _SELECT.where(cases.c.status != "closed")
    rows = await connection.execute(alive.order_by(cases.c.answer_due_at.nulls_last(), cases.c.id).limit(limit))
    return [Case(*row) for row in rows]


async def said(connection: AsyncConnection, *, case_id: int, limit: int = MESSAGES_SHOWN) -> Sequence[Said]:
    """Return the last things that were said in a case, in order; none once they were deleted."""
    rows = await connection.execute(
        sa.select(case_messages.c.author, case_messages.c.text, case_messages.c.at)
        .where(case_messages.c.case_id == case_id)
        .order_by(case_messages.c.id.desc())
        .limit(limit)
    )
    return [Said(*row) for row in reversed(rows.all())]


async def take_due(tx: AsyncConnection, *, now: datetime, limit: int) -> list[Case]:
    """Return the cases of whose answer the operator must be reminded now; each reminder is returned once."""
    nth = cases.c.reminders
    at = cases.c.answer_due_at + sa.case((nth == 0, -REMIND_BEFORE), else_=(nth - 1) * sa.literal(REMIND_EVERY))
    chosen = (
        sa.select(cases.c.id)
        .where(cases.c.status == "open", nth < REMINDERS_MAX, at <= now)
        .order_by(cases.c.answer_due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    due = (await tx.execute(chosen)).scalars().all()
    # A worker that was away tells once of what it missed.
    late = sa.extract("epoch", sa.literal(now) - cases.c.answer_due_at) / REMIND_EVERY.total_seconds()
    told = sa.case((cases.c.answer_due_at > now, 1), else_=sa.func.least(sa.func.floor(late) + 2, REMINDERS_MAX))
    await tx.execute(sa.update(cases).where(cases.c.id.in_(due)).values(reminders=sa.cast(told, sa.SmallInteger)))
    rows = await tx.execute(_SELECT.where(cases.c.id.in_(due)).order_by(cases.c.answer_due_at))
    return [Case(*row) for row in rows]


async def close_quiet(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Close answered cases of which nobody has spoken for QUIET_MAX; return how many."""
    quiet = (
        sa.select(cases.c.id)
        .where(cases.c.status == "answered", cases.c.updated_at <= now - QUIET_MAX)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    done = await tx.execute(sa.update(cases).where(cases.c.id.in_(quiet)).values(status="closed", updated_at=now))
    return done.rowcount


async def purge(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Delete what was said in cases that were closed KEEP_WORDS ago, and prompts that nobody followed."""
    await tx.execute(sa.delete(case_prompts).where(case_prompts.c.created_at <= now - PROMPT_LIFE))
    old = (
        sa.select(case_messages.c.id)
        .join(cases, cases.c.id == case_messages.c.case_id)
        .where(cases.c.status == "closed", cases.c.updated_at <= now - KEEP_WORDS)
        .limit(limit)
    )
    return (await tx.execute(sa.delete(case_messages).where(case_messages.c.id.in_(old)))).rowcount


async def _say(tx: AsyncConnection, case_id: int, author: Author, actor_id: int, text: str, now: datetime) -> None:
    values = {"case_id": case_id, "author": author, "actor_id": actor_id, "text": text, "at": now}
    await tx.execute(sa.insert(case_messages).values(values))


async def _set(tx: AsyncConnection, case_id: int, now: datetime, **values: object) -> None:
    await tx.execute(sa.update(cases).where(cases.c.id == case_id).values(updated_at=now, **values))
