"""Groups: made, changed, upgraded to supergroups by people."""

from typing import Any

from sandbox.telegram import chats
from sandbox.telegram.errors import BadInput, Impossible, Missing
from sandbox.telegram.state import GROUP_ID_FIRST, SUPERGROUP_BASE, Group, Json
from sandbox.telegram.world import World

STATUSES = frozenset({"creator", "administrator", "member", "left", "kicked"})


def view(group: Group) -> Json:
    """A group as the control API shows it."""
    return {
        "id": group.id,
        "title": group.title,
        "kind": group.kind,
        "members": [{"id": user_id, "status": status} for user_id, status in group.members.items()],
        "migrated_to": group.migrated_to,
        "migrated_from": group.migrated_from,
    }


def find(world: World, group_id: Any) -> Group:
    """The group; raises Missing."""
    group = world.state.groups.get(int(group_id))
    if group is None:
        raise Missing(f"no group {group_id}")
    return group


def _fresh_id(world: World, kind: str) -> int:
    number = GROUP_ID_FIRST
    while True:
        group_id = -(SUPERGROUP_BASE + number) if kind == "supergroup" else -number
        if group_id not in world.state.groups:
            return group_id
        number += 1


def create(world: World, raw: Json) -> Group:
    """Makes a group with people, and with the bot unless `bot` is left; the bot is told that it was added."""
    kind = raw.get("kind", "supergroup")
    bot_status = raw.get("bot", "member")
    if kind not in {"group", "supergroup"} or bot_status not in STATUSES:
        raise BadInput("kind is group or supergroup, bot is a status")
    group_id = int(raw["id"]) if raw.get("id") is not None else _fresh_id(world, kind)
    if group_id >= 0 or group_id in world.state.groups:
        raise BadInput("the id must be negative and free")
    group = Group(group_id, str(raw.get("title") or "Group"), kind)
    admins = [int(user_id) for user_id in raw.get("admins", ())]
    everybody = dict.fromkeys([*admins, *(int(user_id) for user_id in raw.get("members", ()))])
    for user_id in everybody:
        if user_id not in world.state.persons:
            raise Missing(f"no person {user_id}")
        group.members[user_id] = "administrator" if user_id in admins else "member"
    if everybody:
        group.members[next(iter(everybody))] = "creator"
    world.state.groups[group.id] = group
    if bot_status in chats.PRESENT:
        set_member(world, group, world.state.bot.id, bot_status)
    publish(world, group)
    return group


def set_member(world: World, group: Group, user_id: int, status: str) -> None:
    """Gives somebody, or the bot, a status; joins and leaves show as service messages."""
    if status not in STATUSES:
        raise BadInput(f"unknown status {status!r}")
    bot = world.state.bot
    person = world.person(user_id)
    if user_id != bot.id and person is None:
        raise Missing(f"no person {user_id}")
    user = bot.user() if person is None else person.user()
    actor = _actor(world, group) or user
    old = group.members.get(user_id, "left")
    group.members[user_id] = status
    if user_id == bot.id and old != status:
        chats.bot_member_changed(world, group, actor, old, status)
    joined, left = (
        status in chats.PRESENT and old not in chats.PRESENT,
        old in chats.PRESENT and status not in chats.PRESENT,
    )
    if joined or left:
        content = {"new_chat_members": [user]} if joined else {"left_chat_member": user}
        chats.to_bot(world, "message", chats.post(world, group, actor, content))
    publish(world, group)


def _actor(world: World, group: Group) -> Json | None:
    for user_id, status in group.members.items():
        if status == "creator" and (person := world.person(user_id)) is not None:
            return person.user()
    return None


def change(world: World, group: Group, raw: Json) -> None:
    """Changes the title or the bot's status."""
    if "title" in raw:
        group.title = str(raw["title"])
        content: Json = {"new_chat_title": group.title}
        if actor := _actor(world, group):
            chats.to_bot(world, "message", chats.post(world, group, actor, content))
    if "bot" in raw:
        set_member(world, group, world.state.bot.id, str(raw["bot"]))
    publish(world, group)


def migrate(world: World, group: Group) -> Group:
    """Upgrades a group to a supergroup with another id, as turning topics on does; both get a service message."""
    if group.kind != "group" or group.migrated_to is not None:
        raise Impossible("only a basic group can be upgraded, once")
    target = Group(_fresh_id(world, "supergroup"), group.title, "supergroup", dict(group.members))
    world.state.groups[target.id] = target
    actor = _actor(world, group) or world.state.bot.user()
    stored = chats.post(world, group, actor, {"migrate_to_chat_id": target.id})
    chats.to_bot(world, "message", stored)
    group.migrated_to, target.migrated_from = target.id, group.id
    chats.to_bot(world, "message", chats.post(world, target, actor, {"migrate_from_chat_id": group.id}))
    publish(world, group)
    publish(world, target)
    return target


def publish(world: World, group: Group) -> None:
    """Shows the group to people."""
    world.events.publish("group", group.id, group=view(group))
    world.changed()
