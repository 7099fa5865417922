"""Alerts: what the operator must hear of, told in the admin group through the outbox."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from kit import chats, outbox


async def alert(
    app: App, tx: AsyncConnection, key: str, args: dict[str, Any], *, now: datetime, dedup_key: str | None = None
) -> None:
    """Write an alert, in words of locales' admin.ftl; without an admin group it stays in the log and the metrics."""
    if not app.settings.admin_chat_id:
        return
    await outbox.add(
        tx,
        kind=outbox.ALERT,
        chat_id=await chats.current_id(tx, app.settings.admin_chat_id),
        payload={"notice": key, "args": args},
        dedup_key=dedup_key,
        now=now,
    )
