"""The e-mail addresses to which receipts go: asked for once, on the page."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.rouble_tables import receipt_emails


async def known(connection: AsyncConnection, person_id: int) -> str:
    """Return the address that a person gave, "" for none."""
    row = await connection.execute(sa.select(receipt_emails.c.email).where(receipt_emails.c.person_id == person_id))
    return row.scalar_one_or_none() or ""


async def keep(tx: AsyncConnection, person_id: int, email: str, *, now: datetime) -> None:
    """Keep a person's address for the next time."""
    values = {"email": email, "updated_at": now}
    await tx.execute(
        insert(receipt_emails)
        .values(person_id=person_id, **values)
        .on_conflict_do_update(index_elements=["person_id"], set_=values)
    )
