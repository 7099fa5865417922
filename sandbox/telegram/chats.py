"""Chats and their messages: who may write where, what a message looks like to the bot and to a person."""

from typing import Any

from aiogram.types import Message

from sandbox.telegram.errors import Missing, bad_request, forbidden
from sandbox.telegram.rich import plain_text
from sandbox.telegram.state import Chat, Group, Json, Person, Stored
from sandbox.telegram.world import World

MESSAGES_PER_CHAT_MAX = 2_000
ADMINS = frozenset({"creator", "administrator"})
PRESENT = ADMINS | {"member"}
_ADMIN_RIGHTS = (
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
)


def chat_id_of(raw: Any) -> int:
    """A chat id from a call; raises "chat not found" for a name, since the sandbox has no public chats."""
    try:
        return int(raw)
    except (TypeError, ValueError):
        raise bad_request("chat not found") from None


def known_chat(world: World, raw: Any) -> Person | Group:
    """The person or group with this id; raises "chat not found"."""
    chat_id = chat_id_of(raw)
    found = world.state.persons.get(chat_id) or world.state.groups.get(chat_id)
    if found is None:
        raise bad_request("chat not found")
    return found


def writable(world: World, raw: Any) -> Person | Group:
    """The chat, if the bot may write there now; else Telegram's 400 or 403."""
    target = known_chat(world, raw)
    if isinstance(target, Person):
        if target.blocked:
            raise forbidden("bot was blocked by the user")
        if not target.started:
            raise forbidden("bot can't initiate conversation with a user")
        return target
    if target.migrated_to is not None:
        raise bad_request("group chat was upgraded to a supergroup chat", migrate_to_chat_id=target.migrated_to)
    status = target.members.get(world.state.bot.id, "left")
    if status not in PRESENT:
        kind = "supergroup" if target.kind == "supergroup" else "group"
        words = (
            f"bot was kicked from the {kind} chat" if status == "kicked" else f"bot is not a member of the {kind} chat"
        )
        raise forbidden(words)
    return target


def history(world: World, chat_id: int) -> Chat:
    """The chat's messages; made on first use."""
    chat = world.state.chats.get(chat_id)
    if chat is None:
        chat = world.state.chats[chat_id] = Chat(chat_id)
    return chat


def visible_text(body: Json) -> str:
    """The words of a message: text, caption, or a rich message without style."""
    if "rich_message" in body:
        return plain_text(body["rich_message"]["blocks"])
    text = body.get("text") or body.get("caption") or ""
    return str(text)


def view(world: World, stored: Stored) -> Json:
    """A message as a person sees it: the Bot API Message with the key `sandbox`."""
    invoice = world.state.invoices.get(stored.invoice) if stored.invoice else None
    return {
        **stored.body,
        "sandbox": {
            "reactions": [{"user_id": user_id, "emoji": emoji} for user_id, emoji in stored.reactions.items()],
            "rich_source": stored.rich_source,
            "keyboard": stored.keyboard,
            "paid_by": list(stored.paid_by),
            "edited": stored.edited,
            "invoice": invoice.view() if invoice else None,
            "plain": visible_text(stored.body),
        },
    }


def post(world: World, target: Person | Group, sender: Json, content: Json, **kept: Any) -> Stored:
    """Puts a new message into a chat and shows it to people; `kept` are further fields of Stored."""
    chat = history(world, target.id)
    message_id = chat.last_message_id + 1
    body: Json = {
        "message_id": message_id,
        "date": int(world.now()),
        "chat": target.chat(),
        "from": sender,
        **content,
    }
    Message.model_validate(body)
    chat.last_message_id = message_id
    stored = chat.messages[message_id] = Stored(body, **kept)
    if len(chat.messages) > MESSAGES_PER_CHAT_MAX:
        del chat.messages[next(iter(chat.messages))]
    if sender["id"] == world.state.bot.id:
        world.drop_draft(target.id, "sent")
        world.actions.pop(target.id, None)
    world.events.publish("message", target.id, message=view(world, stored))
    world.changed()
    return stored


def changed(world: World, stored: Stored) -> None:
    """Shows an edited message to people."""
    world.events.publish("message_edited", stored.body["chat"]["id"], message=view(world, stored))
    world.changed()


def find(world: World, chat_id: int, message_id: int) -> Stored | None:
    """A message that is still there."""
    chat = world.state.chats.get(chat_id)
    return chat.messages.get(message_id) if chat else None


def seen(world: World, chat_id: int, message_id: Any) -> Stored:
    """The same for the control API; raises Missing."""
    stored = find(world, chat_id, int(message_id))
    if stored is None:
        raise Missing(f"no message {message_id} in chat {chat_id}")
    return stored


def quoted(stored: Stored) -> Json:
    """A message as another one's reply_to_message: without its own."""
    return {key: value for key, value in stored.body.items() if key != "reply_to_message"}


def reaches_bot(world: World, group: Group, body: Json) -> bool:
    """Whether privacy mode lets a group message through: commands, mentions, replies, services; all for admins.

    Source: https://core.telegram.org/bots/features#privacy-mode
    """
    bot = world.state.bot
    status = group.members.get(bot.id, "left")
    if status not in PRESENT:
        return False
    if not bot.privacy or status in ADMINS:
        return True
    if body.get("reply_to_message", {}).get("from", {}).get("id") == bot.id:
        return True
    text = body.get("text") or body.get("caption")
    if text is None:
        return not any(key in body for key in ("photo", "voice", "document", "sticker", "location", "poll", "contact"))
    for entity in body.get("entities") or body.get("caption_entities") or ():
        if entity["type"] not in {"bot_command", "mention"}:
            continue
        units = str(text).encode("utf-16-le")
        word = units[entity["offset"] * 2 : (entity["offset"] + entity["length"]) * 2].decode("utf-16-le")
        name = word.partition("@")[2].lower()
        if name == bot.username.lower() or (entity["type"] == "bot_command" and not name):
            return True
    return False


def to_bot(world: World, kind: str, stored: Stored) -> None:
    """Queues a person's message for the bot, if it may see it."""
    group = world.state.groups.get(stored.body["chat"]["id"])
    if group is None or reaches_bot(world, group, stored.body):
        world.updates.push(kind, stored.body)


def member(user: Json, status: str) -> Json:
    """A ChatMember of the status, with the rights it usually has."""
    if status == "creator":
        return {"status": status, "user": user, "is_anonymous": False}
    if status == "administrator":
        rights = dict.fromkeys(_ADMIN_RIGHTS, True)
        denied = {"can_be_edited": False, "is_anonymous": False, "can_promote_members": False}
        return {"status": status, "user": user} | denied | rights
    if status == "kicked":
        return {"status": status, "user": user, "until_date": 0}
    return {"status": status, "user": user}


def bot_member_changed(world: World, target: Person | Group, actor: Json, old: str, new: str) -> None:
    """Tells the bot by my_chat_member how its own standing in a chat changed."""
    bot = world.state.bot.user()
    world.updates.push(
        "my_chat_member",
        {
            "chat": target.chat(),
            "from": actor,
            "date": int(world.now()),
            "old_chat_member": member(bot, old),
            "new_chat_member": member(bot, new),
        },
    )
