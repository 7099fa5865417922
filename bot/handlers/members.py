"""Who blocked or unblocked the bot, groups that get a new id, and how the operator's group learns its own."""

import structlog
from aiogram import F, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.filters import JOIN_TRANSITION, ChatMemberUpdatedFilter, Command
from aiogram.methods import SendMessage
from aiogram.types import ChatMemberUpdated, Message, TelegramObject

from app import groups, persons, renewals
from app.alerts import alert
from bot.context import Context, Room
from kit import chats, outbox
from kit.words import words

log = structlog.get_logger(__name__)

# What a person must still hear who had blocked the bot meanwhile: where their money went, what they were answered.
TOLD_LATER = (
    "paid-pack",
    "paid-subscription",
    "paid-once",
    "paid-once-later",
    "plan-changed",
    "gift-ready",
    "gift-for-you",
    "gift-taken-back",
    "refunded-gift",
    "paid-unclear",
    "paid-other-person",
    "paid-twice",
    "renewed",
    "refunded",
    "refunded-roubles",
    "refunded-part-roubles",
    "refund-failed-roubles",
    "charged-back",
    "debt-repaid",
    "grant-received",
    "granted-begun",
    "invite-rewarded",
    "invite-welcome",
    "promo-bonus",
    "credited-after-all",
    "case-answer",
    "case-closed",
)


async def no_admin_group(_: TelegramObject, room: Room) -> bool:
    """Filter: let updates through while FORMA_ADMIN_CHAT_ID is empty."""
    return room.admin_chat.id == 0


async def in_admin_group(message: Message, room: Room) -> bool:
    """Filter: let updates of the admin group through."""
    return message.chat.id == room.admin_chat.id


def router() -> Router:
    """Return the router of membership."""
    made = Router(name="members")
    group = F.chat.type.in_({ChatType.GROUP, ChatType.SUPERGROUP})
    made.my_chat_member.register(blocked, F.chat.type == ChatType.PRIVATE)
    made.my_chat_member.register(tell_id, group, ChatMemberUpdatedFilter(JOIN_TRANSITION), no_admin_group)
    made.message.register(tell_id, group, Command("start", "help"), no_admin_group)
    made.message.register(tell_new_id, F.migrate_to_chat_id, no_admin_group)
    made.message.register(migrated, F.migrate_to_chat_id, in_admin_group)
    return made


async def tell_id(event: ChatMemberUpdated | Message, ctx: Context) -> None:
    """Say a group's id in the group, for an operator who has not named one yet."""
    _say_id(ctx, event.chat.id)


async def tell_new_id(message: Message, ctx: Context) -> None:
    """Say it again where Telegram changed it, as it does when a group's bot is made an administrator."""
    assert message.migrate_to_chat_id is not None
    _say_id(ctx, message.migrate_to_chat_id)
    async with ctx.transaction() as tx:
        await groups.migrate(tx, old=message.chat.id, new=message.migrate_to_chat_id, now=ctx.app.clock.now())


def _say_id(ctx: Context, chat_id: int) -> None:
    log.info("group_without_role", chat=chat_id, setting=f"FORMA_ADMIN_CHAT_ID={chat_id}")
    text = words(ctx.app.settings.admin_language).say("admin-group-id", chat_id=chat_id)
    ctx.send(SendMessage(chat_id=chat_id, text=text), chat_id=chat_id)


async def blocked(event: ChatMemberUpdated, ctx: Context) -> None:
    """Remember a block, so that nothing is tried there; who comes back gets what could not be delivered."""
    gone = event.new_chat_member.status in {ChatMemberStatus.KICKED, ChatMemberStatus.LEFT}
    now = ctx.app.clock.now()
    async with ctx.transaction() as tx:
        await persons.set_blocked(tx, ctx.person.id, blocked=gone, now=now)
        if not gone:
            await outbox.send_again(tx, ctx.chat_id, error="blocked", now=now, notices=TOLD_LATER)
            await renewals.tell_stopped(tx, person_id=ctx.person.id, now=now)


async def migrated(message: Message, ctx: Context) -> None:
    """Follow the admin group to the supergroup that it became."""
    assert message.migrate_to_chat_id is not None
    async with ctx.transaction() as tx:
        now = ctx.app.clock.now()
        await chats.remember_migration(tx, old=message.chat.id, new=message.migrate_to_chat_id, now=now)
        await alert(ctx.app, tx, "admin-alert-migrated", {"chat_id": message.migrate_to_chat_id}, now=now)
    ctx.room.admin_chat.id = message.migrate_to_chat_id
