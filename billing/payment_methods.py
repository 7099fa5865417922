"""Means of payment that their owners let be kept for renewals: cards above all. active → removed | dead → removed.

What was removed, or refused for good by its bank, never charges again; another one is kept by another payment.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.card_tables import card_renewals, payment_methods
from billing.yookassa.objects import SavedMethod
from kit.errors import Conflict


@dataclass(frozen=True, slots=True)
class Method:
    """A kept means of payment. `title` is YooKassa's ("Bank card *4444"); `reason`: why it is dead."""

    id: int
    person_id: int
    provider_method_id: str
    kind: str
    title: str
    status: str
    reason: str | None

    @property
    def active(self) -> bool:
        return self.status == "active"

    @property
    def ending(self) -> str:
        """What tells a card from its owner's others: "*4444", or the whole title where there is no such ending."""
        head, star, last = self.title.rpartition("*")
        return f"*{last}" if star and head else self.title


_SELECT: Final[sa.Select[Any]] = sa.select(
    payment_methods.c.id,
    payment_methods.c.person_id,
    payment_methods.c.provider_method_id,
    payment_methods.c.kind,
    payment_methods.c.title,
    payment_methods.c.status,
    payment_methods.c.reason,
)


async def keep(tx: AsyncConnection, saved: SavedMethod, *, person_id: int, payment_id: int, now: datetime) -> Method:
    """Return what a payment let be kept, as it stands if it is known. Raises Conflict when it is somebody else's."""
    await tx.execute(
        insert(payment_methods)
        .values(
            person_id=person_id,
            payment_id=payment_id,
            provider_method_id=saved.id,
            kind=saved.kind,
            title=saved.title,
            status="active",
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
    )
    kept = await tx.execute(_SELECT.where(payment_methods.c.provider_method_id == saved.id))
    row = kept.one_or_none()
    if row is None or row.person_id != person_id:
        raise Conflict(f"the means of payment {saved.id} of payment {payment_id} belongs to somebody else")
    return Method(*row)


async def find(connection: AsyncConnection, method_id: int) -> Method | None:
    """Return a means of payment by our number."""
    row = (await connection.execute(_SELECT.where(payment_methods.c.id == method_id))).one_or_none()
    return Method(*row) if row else None


async def of_person(connection: AsyncConnection, *, person_id: int) -> dict[int, Method]:
    """Return what a person's subscriptions are charged from, by their numbers; what was removed or is dead as well."""
    rows = await connection.execute(
        _SELECT.add_columns(card_renewals.c.subscription_id)
        .join(card_renewals, card_renewals.c.method_id == payment_methods.c.id)
        .where(payment_methods.c.person_id == person_id)
    )
    return {number: Method(*what) for *what, number in rows}


async def remove(tx: AsyncConnection, method_id: int, *, now: datetime) -> bool:
    """Never charge a means of payment again, at its owner's word; True when that is new."""
    return await _end(tx, method_id, "removed", ("active", "dead"), None, now)


async def bury(tx: AsyncConnection, method_id: int, *, reason: str, now: datetime) -> bool:
    """Never charge a means of payment again, since its bank refuses it for good; True when that is new."""
    return await _end(tx, method_id, "dead", ("active",), reason, now)


async def _end(
    tx: AsyncConnection, method_id: int, status: str, before: tuple[str, ...], reason: str | None, now: datetime
) -> bool:
    values: dict[str, object] = {"status": status, "updated_at": now}
    if reason is not None:
        values["reason"] = reason
    ended = await tx.execute(
        sa.update(payment_methods)
        .where(payment_methods.c.id == method_id, payment_methods.c.status.in_(before))
        .values(values)
    )
    return ended.rowcount > 0
