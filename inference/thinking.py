"""Thinking: whether the model reasons before it answers. Off, until a person wishes it for a question or a dialog."""

from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import sql

THINK_OFF, THINK_NEXT, THINK_ON = "off", "next", "on"


async def begin_turn(tx: AsyncConnection, dialog_id: int) -> tuple[int, bool]:
    """Return a locked dialog's topic and whether its next turn is thought about; a wish for one turn is used up."""
    row = (await tx.execute(sql("SELECT thread_id, thinking FROM dialogs WHERE id = :id"), {"id": dialog_id})).one()
    if row.thinking == THINK_NEXT:
        await tx.execute(sql("UPDATE dialogs SET thinking = 'off' WHERE id = :id"), {"id": dialog_id})
    return row.thread_id, row.thinking != THINK_OFF


async def think_once(tx: AsyncConnection, dialog_id: int) -> None:
    """Have a locked dialog's next turn thought about."""
    await tx.execute(sql("UPDATE dialogs SET thinking = 'next' WHERE id = :id AND thinking = 'off'"), {"id": dialog_id})


async def set_thinking(tx: AsyncConnection, dialog_id: int, thinking: str) -> None:
    """Have a dialog's turns thought about: not, the next one (THINK_NEXT), or all from now on."""
    await tx.execute(
        sql("UPDATE dialogs SET thinking = :thinking WHERE id = :id"), {"id": dialog_id, "thinking": thinking}
    )


async def thinking_of(connection: AsyncConnection, *, chat_id: int, thread_id: int = 0) -> str:
    """Return whether the turns of a chat's (a topic's) active dialog are thought about."""
    found: str | None = await connection.scalar(
        sql("SELECT thinking FROM dialogs WHERE chat_id = :chat AND thread_id = :thread AND active"),
        {"chat": chat_id, "thread": thread_id},
    )
    return found or THINK_OFF
