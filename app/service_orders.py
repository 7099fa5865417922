"""Service orders: an operator puts a person, a model or everybody into the slow lane, or into a maintenance window.

Every process keeps what is on in memory (`ServiceOrders`), since each question is looked at. An order is one row that
begins, is ended by command or ends by itself, and stays; app/service_lanes.py has what follows from it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit import audit
from kit.db import metadata
from kit.errors import Rejected

Kind = Literal["slow", "maintenance"]
About = Literal["person", "model", "everybody"]

LONGEST: Final[dict[Kind, timedelta]] = {"slow": timedelta(days=30), "maintenance": timedelta(hours=12)}
SHORTEST: Final = timedelta(minutes=1)
EVERYBODY: Final = "all"
MODEL_PREFIX: Final = "model:"
ORDERS_MAX: Final = 500
REASON_CHARS_MAX: Final = 200
# So long after an order began or ended, tickets that wait are looked at once more: another process may have submitted
# them by what it knew.
UNSETTLED: Final = timedelta(minutes=1)

service_orders = sa.Table(
    "service_orders",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("person_id", sa.BigInteger),
    sa.Column("model", sa.Text),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_by", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("ended_by", sa.BigInteger),
    sa.CheckConstraint("kind IN ('slow', 'maintenance')", name="kind_known"),
    sa.CheckConstraint("about IN ('person', 'model', 'everybody')", name="about_known"),
    sa.CheckConstraint(
        "(about = 'person') = (person_id IS NOT NULL) AND (about = 'model') = (model IS NOT NULL)",
        name="subject_of_about",
    ),
    sa.CheckConstraint(
        "until > created_at AND until <= created_at"
        " + CASE kind WHEN 'slow' THEN interval '30 days' ELSE interval '12 hours' END",
        name="bounded",
    ),
    sa.CheckConstraint("ended_by IS NULL OR ended_at IS NOT NULL", name="ended_with_time"),
    sa.Index(
        "uq_service_orders_open",
        "kind",
        "about",
        sa.text("coalesce(person_id, 0)"),
        sa.text("coalesce(model, '')"),
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
    sa.Index("ix_service_orders_until", "until"),
)


class TooManyOrders(Rejected):
    """As many orders are on as there may be."""

    code = "admin-service-many"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an order is about: a person, a model, or everybody where neither is given."""

    person_id: int | None = None
    model: str | None = None

    @property
    def about(self) -> About:
        if self.person_id is not None:
            return "person"
        return "model" if self.model is not None else "everybody"

    @property
    def named(self) -> str:
        """The subject as the operator writes it in a command."""
        if self.person_id is not None:
            return str(self.person_id)
        return EVERYBODY if self.model is None else f"{MODEL_PREFIX}{self.model}"


@dataclass(frozen=True, slots=True)
class Order:
    """One order as it stands."""

    id: int
    kind: Kind
    person_id: int | None
    model: str | None
    until: datetime
    reason: str
    created_by: int
    created_at: datetime
    ended_at: datetime | None

    @property
    def subject(self) -> Subject:
        return Subject(self.person_id, self.model)

    def is_on(self, now: datetime) -> bool:
        """Whether it holds: an order ends by its clock in every process at once, whoever notes it."""
        return self.ended_at is None and now < self.until

    def concerns(self, person_id: int, model: str) -> bool:
        """Whether a person's answer by a model falls under it."""
        return self.person_id in (None, person_id) and self.model in (None, model)


class ServiceOrders:
    """The orders as this process last read them: those that are on, and those that ended a moment ago."""

    def __init__(self) -> None:
        self._read: tuple[Order, ...] = ()

    async def reload(self, connection: AsyncConnection, now: datetime) -> None:
        """Read them anew."""
        self._read = await current(connection, now=now)

    def on(self, now: datetime) -> tuple[Order, ...]:
        """Return what is on, the oldest first."""
        return tuple(order for order in self._read if order.is_on(now))

    def maintenance(self, *, person_id: int, model: str, now: datetime) -> Order | None:
        """Return the maintenance window that keeps a person's answer by a model back, the one that ends last."""
        found = [one for one in self.on(now) if one.kind == "maintenance" and one.concerns(person_id, model)]
        return max(found, key=lambda order: order.until, default=None)

    def slow(self, *, person_id: int, model: str, now: datetime) -> bool:
        """Whether a person's answer by a model goes by the slow lane."""
        return any(one.kind == "slow" and one.concerns(person_id, model) for one in self.on(now))

    def unsettled(self, now: datetime) -> bool:
        """Whether some order began or ended within the last minute."""
        return any(
            now - moment < UNSETTLED
            for order in self._read
            for moment in (order.created_at, min(order.ended_at or order.until, order.until))
            if moment <= now
        )


_COLUMNS = ", ".join(Order.__dataclass_fields__)
_CURRENT = sa.text(
    f"SELECT {_COLUMNS} FROM service_orders"  # noqa: S608
    " WHERE (ended_at IS NULL OR ended_at > :since) AND until > :since ORDER BY id LIMIT :most"
)
_END = sa.text(
    f"""
    UPDATE service_orders SET ended_at = least(:now, until), ended_by = :by
    WHERE ended_at IS NULL AND kind = :kind AND about = :about AND person_id IS NOT DISTINCT FROM :person_id
      AND model IS NOT DISTINCT FROM :model
    RETURNING {_COLUMNS}
    """  # noqa: S608
).bindparams(sa.bindparam("person_id", type_=sa.BigInteger()), sa.bindparam("model", type_=sa.Text()))
_EXPIRE = sa.text(
    f"UPDATE service_orders SET ended_at = until WHERE ended_at IS NULL AND until <= :now RETURNING {_COLUMNS}"  # noqa: S608
)


async def current(connection: AsyncConnection, *, now: datetime) -> tuple[Order, ...]:
    """Return the orders that are on, and those that ended within the last two minutes."""
    values = {"since": now - 2 * UNSETTLED, "most": 2 * ORDERS_MAX}
    return tuple(Order(*row) for row in await connection.execute(_CURRENT, values))


async def place(
    tx: AsyncConnection, *, kind: Kind, subject: Subject, until: datetime, reason: str, by: int, now: datetime
) -> Order:
    """Put an order in force, in the place of one of that kind about the same subject; it is noted in the audit log.

    Raises TooManyOrders. `until` is within SHORTEST and LONGEST from now.
    """
    assert SHORTEST <= until - now <= LONGEST[kind]
    assert 0 < len(reason) <= REASON_CHARS_MAX
    await tx.execute(sa.text("LOCK TABLE service_orders IN SHARE ROW EXCLUSIVE MODE"))
    await _end(tx, kind, subject, by=by, now=now)
    open_now = await tx.scalar(sa.text("SELECT count(*) FROM service_orders WHERE ended_at IS NULL"))
    if int(open_now or 0) >= ORDERS_MAX:
        raise TooManyOrders(most=ORDERS_MAX)
    values: dict[str, Any] = {
        "kind": kind,
        "about": subject.about,
        "person_id": subject.person_id,
        "model": subject.model,
        "until": until,
        "reason": reason,
        "created_by": by,
        "created_at": now,
    }
    columns = [service_orders.c[name] for name in Order.__dataclass_fields__]
    row = (await tx.execute(sa.insert(service_orders).values(**values).returning(*columns))).one()
    order = Order(*row)
    await _note(tx, order, f"{kind}_on", by=by, now=now)
    return order


async def end(tx: AsyncConnection, *, kind: Kind, subject: Subject, by: int, now: datetime) -> Order | None:
    """End the order of that kind about a subject; None where none is on. It is noted in the audit log."""
    ended = await _end(tx, kind, subject, by=by, now=now)
    if ended is None or ended.until <= now:
        return None
    await _note(tx, ended, f"{kind}_off", by=by, now=now)
    return ended


async def expire(tx: AsyncConnection, *, now: datetime) -> list[Order]:
    """Note the end of orders whose time is over, each once; returns them."""
    return [Order(*row) for row in await tx.execute(_EXPIRE, {"now": now})]


async def _end(tx: AsyncConnection, kind: Kind, subject: Subject, *, by: int, now: datetime) -> Order | None:
    values = {"kind": kind, "about": subject.about, "person_id": subject.person_id, "model": subject.model}
    row = (await tx.execute(_END, {**values, "by": by, "now": now})).one_or_none()
    return Order(*row) if row else None


async def _note(tx: AsyncConnection, order: Order, action: str, *, by: int, now: datetime) -> None:
    details = {"order": order.id, "model": order.model, "until": order.until.isoformat(), "reason": order.reason}
    await audit.record(tx, actor_id=by, action=action, subject_id=order.person_id, details=details, now=now)
