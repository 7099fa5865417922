"""Incidents: what is wrong right now. The operator hears of each once when it begins and once when it is over.

A row stands while it lasts; it is written with the alert, so that neither a crash nor a second worker repeats one.
"""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts import alert
from app.context import App
from kit.db import metadata

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("looks", sa.Integer, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("looks > 0", name="looks_positive"),
)

_SEEN = sa.text(
    """
    INSERT INTO incidents AS i (name, looks, told, since, seen_at) VALUES (:name, 1, false, :now, :now)
    ON CONFLICT (name) DO UPDATE SET looks = i.looks + 1, seen_at = :now
    """
)


async def seen(
    app: App,
    tx: AsyncConnection,
    name: str,
    alert_key: str,
    args: dict[str, Any],
    *,
    now: datetime,
    patience: int = 1,
) -> bool:
    """Note that something is wrong; at the `patience`-th look in a row the operator is told. True when told now."""
    await tx.execute(_SEEN, {"name": name, "now": now})
    due = (incidents.c.name == name, incidents.c.looks >= patience, sa.not_(incidents.c.told))
    told = (await tx.execute(sa.update(incidents).where(*due).values(told=True))).rowcount == 1
    if told:
        await alert(app, tx, alert_key, args, now=now)
    return told


async def over(
    app: App,
    tx: AsyncConnection,
    name: str,
    alert_key: str,
    args: dict[str, Any],
    *,
    now: datetime,
    quiet: timedelta | None = None,
) -> bool:
    """Close an incident, if it stands and was not seen for `quiet`; whoever heard of it hears that it is over."""
    gone = sa.delete(incidents).where(incidents.c.name == name)
    if quiet is not None:
        gone = gone.where(incidents.c.seen_at <= now - quiet)
    told = (await tx.execute(gone.returning(incidents.c.told))).scalar_one_or_none()
    if told:
        await alert(app, tx, alert_key, args, now=now)
    return bool(told)
