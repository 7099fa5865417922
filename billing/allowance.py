"""The free allowance: a lot for each UTC day, and one welcome lot, both granted lazily when a message is accepted."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

_ENSURE = sa.text("SELECT allowance_ensure(:person, :now)").bindparams(
    sa.bindparam("person", type_=sa.BigInteger()), sa.bindparam("now", type_=sa.DateTime(timezone=True))
)


async def ensure(tx: AsyncConnection, *, person_id: int, now: datetime) -> None:
    """Grant what is due: the welcome lot once, today's lot if the person's plan has one. One statement; idempotent."""
    await tx.execute(_ENSURE, {"person": person_id, "now": now})


def renews_at(now: datetime) -> datetime:
    """Return when the next daily lot is due: the coming midnight in UTC."""
    return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
