"""Notices: what a person must hear, told in their chat through the outbox, in their language when it is sent."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from kit import outbox


async def tell(tx: AsyncConnection, person_id: int, key: str, args: dict[str, Any], about: str, now: datetime) -> None:
    """Write a notice, in words of locales by its `key`; told once of what it is `about`, such as "payment:12"."""
    await outbox.add(
        tx,
        kind=outbox.NOTICE,
        chat_id=person_id,
        payload={"notice": key, "args": args},
        dedup_key=f"{key}:{about}",
        now=now,
    )
