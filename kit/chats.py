"""Groups that became supergroups: their new ids, so that a setting with the old one still finds them."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata

chat_migrations = sa.Table(
    "chat_migrations",
    metadata,
    sa.Column("old_chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("new_chat_id", sa.BigInteger, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
)


async def remember_migration(tx: AsyncConnection, *, old: int, new: int, now: datetime) -> None:
    """Store that a group has a new id; told again, it changes nothing."""
    row = insert(chat_migrations).values(old_chat_id=old, new_chat_id=new, at=now)
    await tx.execute(row.on_conflict_do_nothing())


async def current_id(connection: AsyncConnection, chat_id: int) -> int:
    """Return the id that a group has now; Telegram migrates a group at most once."""
    new: int | None = await connection.scalar(
        sa.select(chat_migrations.c.new_chat_id).where(chat_migrations.c.old_chat_id == chat_id)
    )
    return new if new is not None else chat_id
