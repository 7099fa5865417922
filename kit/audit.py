"""The audit log: who did what to whom, append only. Admin commands and refunds write here with their effect."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("actor_id", sa.BigInteger, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject_id", sa.BigInteger),
    sa.Column("details", JSONB, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("ix_audit_log_subject_id_at", "subject_id", "at"),
)


async def record(
    tx: AsyncConnection,
    *,
    actor_id: int,
    action: str,
    subject_id: int | None,
    details: dict[str, Any],
    now: datetime,
) -> int:
    """Append a row within the transaction of the effect; returns its id."""
    row_id: int = (
        await tx.execute(
            sa.insert(audit_log)
            .values(actor_id=actor_id, action=action, subject_id=subject_id, details=details, at=now)
            .returning(audit_log.c.id)
        )
    ).scalar_one()
    return row_id
