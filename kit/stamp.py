"""The database's stamp: `sandbox` or `live:<bot id>`, set at the first start and checked at every later one.

A start with the other kind is refused, so that a lost token never opens the sandbox's free purchases on real data.
Only a sandbox-stamped database may move its clock.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata
from kit.errors import Misconfigured

SANDBOX = "sandbox"

stamp = sa.Table(
    "stamp",
    metadata,
    sa.Column("id", sa.SmallInteger, sa.CheckConstraint("id = 1", name="single"), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("clock_offset_s", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("kind = 'sandbox' OR kind LIKE 'live:%'", name="kind_known"),
    sa.CheckConstraint("clock_offset_s >= 0 AND (kind = 'sandbox' OR clock_offset_s = 0)", name="clock_sandbox_only"),
)


def kind_of(bot_id: int) -> str:
    """Return the stamp that a start with this bot wants; 0 means the sandbox's bot."""
    return f"live:{bot_id}" if bot_id else SANDBOX


async def claim(tx: AsyncConnection, *, kind: str, now: datetime) -> None:
    """Stamp a fresh database, or check the stamp it has. Raises Misconfigured when it belongs to another kind."""
    await tx.execute(insert(stamp).values(id=1, kind=kind, created_at=now).on_conflict_do_nothing())
    await check(tx, kind=kind)


async def check(connection: AsyncConnection, *, kind: str) -> None:
    """Raise Misconfigured when the database belongs to another kind; one without a stamp belongs to nobody yet."""
    found: str | None = await connection.scalar(sa.select(stamp.c.kind))
    if found is None or found == kind:
        return
    if found == SANDBOX:
        raise Misconfigured(
            "this database belongs to the sandbox and holds purchases that nobody paid for: "
            "point FORMA_DATABASE_URL or FORMA_DATA_DIR to another place for the real bot"
        )
    raise Misconfigured(
        f"this database belongs to the bot {found.removeprefix('live:')}: start with that bot's FORMA_BOT_TOKEN"
        if kind == SANDBOX
        else f"this database belongs to the bot {found.removeprefix('live:')}, the token is of another bot ({kind}): "
        "use that bot's token, or another database"
    )


async def clock_offset(connection: AsyncConnection) -> timedelta:
    """Return how far the sandbox's clock is ahead of real time; zero in a live database."""
    seconds = await connection.scalar(sa.select(stamp.c.clock_offset_s))
    return timedelta(seconds=seconds or 0)


async def set_clock_offset(tx: AsyncConnection, offset: timedelta) -> None:
    """Move the sandbox's clock. Raises Misconfigured in a live database."""
    moved = await tx.execute(
        sa.update(stamp).where(stamp.c.kind == SANDBOX).values(clock_offset_s=int(offset.total_seconds()))
    )
    if not moved.rowcount:
        raise Misconfigured("the clock moves only in a sandbox-stamped database")
