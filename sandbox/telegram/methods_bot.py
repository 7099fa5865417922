"""Methods about the bot itself, its chats and its updates' way."""

import re
from typing import Any
from urllib.parse import urlsplit

from aiogram import methods as m
from aiogram.types import BotCommand

from sandbox.telegram import chats
from sandbox.telegram.errors import bad_request
from sandbox.telegram.files import DOWNLOAD_BYTES_MAX
from sandbox.telegram.methods_send import Handler, Uploads, dumped
from sandbox.telegram.state import Group, Json, Person, Webhook
from sandbox.telegram.updates import set_allowed
from sandbox.telegram.world import World

COMMANDS_MAX = 100
WEBHOOK_CONNECTIONS_MAX = 100
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_LANGUAGE = re.compile(r"(?:[a-z]{2})?")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def get_me(world: World, _call: m.GetMe, _: Uploads) -> Json:
    """getMe."""
    return world.state.bot.user() | {
        "can_join_groups": True,
        "can_read_all_group_messages": not world.state.bot.privacy,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def set_webhook(world: World, call: m.SetWebhook, _: Uploads) -> bool:
    """setWebhook: https, or http on loopback; an empty URL removes it."""
    if not call.url:
        return _drop_webhook(world, drop_pending=bool(call.drop_pending_updates))
    url = urlsplit(call.url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise bad_request("bad webhook: invalid URL specified")
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if call.secret_token is not None and not _SECRET.fullmatch(call.secret_token):
        raise bad_request("secret token contains unallowed characters")
    connections = min(max(call.max_connections or 40, 1), WEBHOOK_CONNECTIONS_MAX)
    state = world.state
    state.webhook = Webhook(call.url, call.secret_token, connections)
    if call.allowed_updates is not None:
        state.allowed_updates = set_allowed(call.allowed_updates)
    if call.drop_pending_updates:
        state.pending.clear()
    world.webhook.wake()
    world.changed()
    return True


def _drop_webhook(world: World, *, drop_pending: bool) -> bool:
    world.state.webhook = None
    if drop_pending:
        world.state.pending.clear()
    world.webhook.wake()
    world.changed()
    return True


def delete_webhook(world: World, call: m.DeleteWebhook, _: Uploads) -> bool:
    """deleteWebhook."""
    return _drop_webhook(world, drop_pending=bool(call.drop_pending_updates))


def get_webhook_info(world: World, _call: m.GetWebhookInfo, _: Uploads) -> Json:
    """getWebhookInfo."""
    state, webhook = world.state, world.state.webhook
    info: Json = {"url": "", "has_custom_certificate": False, "pending_update_count": len(state.pending)}
    if webhook is not None:
        info |= {"url": webhook.url, "max_connections": webhook.max_connections}
        if webhook.last_error_at is not None:
            info |= {"last_error_date": webhook.last_error_at, "last_error_message": webhook.last_error}
    if state.allowed_updates:
        info["allowed_updates"] = state.allowed_updates
    return info


def get_file(world: World, call: m.GetFile, _: Uploads) -> Json:
    """getFile: at most 20 MB, as the cloud Bot API has it."""
    file = world.files.find(call.file_id)
    if file.size > DOWNLOAD_BYTES_MAX:
        raise bad_request("file is too big")
    return {
        "file_id": file.file_id,
        "file_unique_id": file.unique_id,
        "file_size": file.size,
        "file_path": file.path,
    }


def _language(code: str | None) -> str:
    if not _LANGUAGE.fullmatch(code or ""):
        raise bad_request("invalid language code specified")
    return code or ""


def _scope(call: Any) -> str:
    scope = dumped(call.scope) if call.scope is not None else {}
    kind = scope.get("type") or getattr(call.scope, "type", "default")
    parts = [str(kind)] + [str(scope[name]) for name in ("chat_id", "user_id") if name in scope]
    return f"{':'.join(parts)}|{_language(call.language_code)}"


def set_my_commands(world: World, call: m.SetMyCommands, _: Uploads) -> bool:
    """setMyCommands, per scope and language."""
    for command in call.commands:
        if not _COMMAND.fullmatch(command.command):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(command.description) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    if len(call.commands) > COMMANDS_MAX:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    world.state.bot.commands[_scope(call)] = [dumped(BotCommand.model_validate(item)) for item in call.commands]
    world.changed()
    return True


def get_my_commands(world: World, call: m.GetMyCommands, _: Uploads) -> list[Json]:
    """getMyCommands: those of exactly this scope and language."""
    return world.state.bot.commands.get(_scope(call), [])


def delete_my_commands(world: World, call: m.DeleteMyCommands, _: Uploads) -> bool:
    """deleteMyCommands."""
    world.state.bot.commands.pop(_scope(call), None)
    world.changed()
    return True


def _set_words(world: World, kept: dict[str, str], language: str | None, words: str | None, words_max: int) -> bool:
    if len(words or "") > words_max:
        raise bad_request("text is too long")
    code = _language(language)
    if words:
        kept[code] = words
    else:
        kept.pop(code, None)
    world.changed()
    return True


def _words(kept: dict[str, str], language: str | None, otherwise: str = "") -> str:
    return kept.get(_language(language)) or kept.get("") or otherwise


def set_my_name(world: World, call: m.SetMyName, _: Uploads) -> bool:
    """setMyName."""
    return _set_words(world, world.state.bot.names, call.language_code, call.name, 64)


def get_my_name(world: World, call: m.GetMyName, _: Uploads) -> Json:
    """getMyName."""
    return {"name": _words(world.state.bot.names, call.language_code, world.state.bot.first_name)}


def set_my_description(world: World, call: m.SetMyDescription, _: Uploads) -> bool:
    """setMyDescription."""
    return _set_words(world, world.state.bot.descriptions, call.language_code, call.description, 512)


def get_my_description(world: World, call: m.GetMyDescription, _: Uploads) -> Json:
    """getMyDescription."""
    return {"description": _words(world.state.bot.descriptions, call.language_code)}


def set_my_short_description(world: World, call: m.SetMyShortDescription, _: Uploads) -> bool:
    """setMyShortDescription."""
    return _set_words(world, world.state.bot.short_descriptions, call.language_code, call.short_description, 120)


def get_my_short_description(world: World, call: m.GetMyShortDescription, _: Uploads) -> Json:
    """getMyShortDescription."""
    return {"short_description": _words(world.state.bot.short_descriptions, call.language_code)}


def accept(_world: World, _call: Any, _: Uploads) -> bool:
    """Methods whose effect nobody sees in the sandbox."""
    return True


def get_chat(world: World, call: m.GetChat, _: Uploads) -> Json:
    """getChat."""
    target = chats.known_chat(world, call.chat_id)
    if isinstance(target, Group):
        target = _live_group(world, call.chat_id)
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    return target.chat() | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, False),
    }


def _live_group(world: World, raw: Any) -> Group:
    target = chats.writable(world, raw)
    if isinstance(target, Person):
        raise bad_request("method is available only for groups and channels")
    return target


def _user(world: World, user_id: int) -> Json:
    if user_id == world.state.bot.id:
        return world.state.bot.user()
    person = world.person(user_id)
    if person is None:
        raise bad_request("user not found")
    return person.user()


def get_chat_member(world: World, call: m.GetChatMember, _: Uploads) -> Json:
    """getChatMember: somebody who never was in the group is `left`."""
    target = chats.known_chat(world, call.chat_id)
    user = _user(world, call.user_id)
    if isinstance(target, Person):
        if call.user_id not in {target.id, world.state.bot.id}:
            raise bad_request("user not found")
        return chats.member(user, "member")
    return chats.member(user, _live_group(world, call.chat_id).members.get(call.user_id, "left"))


def get_chat_administrators(world: World, call: m.GetChatAdministrators, _: Uploads) -> list[Json]:
    """getChatAdministrators: the other admins, and the bot itself if it is one."""
    members = _live_group(world, call.chat_id).members
    return [
        chats.member(_user(world, user_id), status) for user_id, status in members.items() if status in chats.ADMINS
    ]


def get_chat_member_count(world: World, call: m.GetChatMemberCount, _: Uploads) -> int:
    """getChatMemberCount."""
    target = chats.known_chat(world, call.chat_id)
    if isinstance(target, Person):
        return 2
    return sum(status in chats.PRESENT for status in _live_group(world, call.chat_id).members.values())


def leave_chat(world: World, call: m.LeaveChat, _: Uploads) -> bool:
    """leaveChat."""
    group = _live_group(world, call.chat_id)
    bot = world.state.bot
    old = group.members.get(bot.id, "left")
    group.members[bot.id] = "left"
    chats.bot_member_changed(world, group, bot.user(), old, "left")
    world.changed()
    return True


HANDLERS: dict[str, Handler] = {
    "getme": get_me,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "getfile": get_file,
    "setmycommands": set_my_commands,
    "getmycommands": get_my_commands,
    "deletemycommands": delete_my_commands,
    "setmyname": set_my_name,
    "getmyname": get_my_name,
    "setmydescription": set_my_description,
    "getmydescription": get_my_description,
    "setmyshortdescription": set_my_short_description,
    "getmyshortdescription": get_my_short_description,
    "setmydefaultadministratorrights": accept,
    "setchatmenubutton": accept,
    "getchat": get_chat,
    "getchatmember": get_chat_member,
    "getchatadministrators": get_chat_administrators,
    "getchatmembercount": get_chat_member_count,
    "leavechat": leave_chat,
}
