"""Who blocked or unblocked the bot, and groups that get a new id."""

from aiogram import F, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.types import ChatMemberUpdated, Message

from app import persons
from app.alerts import alert
from bot.context import Context
from kit import chats


def router() -> Router:
    """Return the router of membership."""
    made = Router(name="members")
    made.my_chat_member.register(blocked, F.chat.type == ChatType.PRIVATE)
    made.message.register(migrated, F.migrate_to_chat_id)
    return made


async def blocked(event: ChatMemberUpdated, ctx: Context) -> None:
    """Remember a block, so that nothing is tried there; writing to the bot again undoes it."""
    gone = event.new_chat_member.status in {ChatMemberStatus.KICKED, ChatMemberStatus.LEFT}
    async with ctx.transaction() as tx:
        await persons.set_blocked(tx, ctx.person.id, blocked=gone, now=ctx.app.clock.now())


async def migrated(message: Message, ctx: Context) -> None:
    """Follow the admin group to the supergroup that it became."""
    assert message.migrate_to_chat_id is not None
    if message.chat.id != ctx.room.admin_chat.id:
        return
    async with ctx.transaction() as tx:
        now = ctx.app.clock.now()
        await chats.remember_migration(tx, old=message.chat.id, new=message.migrate_to_chat_id, now=now)
        await alert(ctx.app, tx, "admin-alert-migrated", {"chat_id": message.migrate_to_chat_id}, now=now)
    ctx.room.admin_chat.id = message.migrate_to_chat_id
