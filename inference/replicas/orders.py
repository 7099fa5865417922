"""What an operator has said of a replica, kept in Postgres: it outlives every process and a reload of models.toml."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata

replica_orders = sa.Table(
    "replica_orders",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("base_url", sa.Text, primary_key=True),
    sa.Column("drained", sa.Boolean, nullable=False),
    sa.Column("weight", sa.Integer),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("weight BETWEEN 1 AND 100", name="weight_known"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """`drained` gets no new request; `weight` stands in for that of the file, None: the file's."""

    drained: bool = False
    weight: int | None = None


async def read(connection: AsyncConnection) -> dict[tuple[str, str], Order]:
    """Return all orders by model id and base URL. One whose replica has left the file waits for its return."""
    rows = await connection.execute(sa.text("SELECT model, base_url, drained, weight FROM replica_orders"))
    return {(row.model, row.base_url): Order(row.drained, row.weight) for row in rows}


async def drain(tx: AsyncConnection, model: str, base_url: str, *, drained: bool, now: datetime) -> None:
    """Take a replica out of service for new requests, or back in."""
    await tx.execute(
        sa.text(
            """
            INSERT INTO replica_orders (model, base_url, drained, at) VALUES (:model, :url, :drained, :now)
            ON CONFLICT (model, base_url) DO UPDATE SET drained = :drained, at = :now
            """
        ),
        {"model": model, "url": base_url, "drained": drained, "now": now},
    )


async def weigh(tx: AsyncConnection, model: str, base_url: str, *, weight: int, now: datetime) -> None:
    """Give a replica another weight, 1 … 100."""
    await tx.execute(
        sa.text(
            """
            INSERT INTO replica_orders (model, base_url, drained, weight, at)
            VALUES (:model, :url, false, :weight, :now)
            ON CONFLICT (model, base_url) DO UPDATE SET weight = :weight, at = :now
            """
        ),
        {"model": model, "url": base_url, "weight": weight, "now": now},
    )
