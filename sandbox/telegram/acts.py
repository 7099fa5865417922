"""What a person does in the chat: writes, edits, presses, stops, reacts, sends files, blocks."""

import secrets
import time
from typing import Any

from sandbox.telegram import chats
from sandbox.telegram.entities import detect, split_text
from sandbox.telegram.errors import BadInput, Impossible, Missing
from sandbox.telegram.files import as_media
from sandbox.telegram.methods_change import publish_reactions
from sandbox.telegram.methods_send import STOPPED_MAX
from sandbox.telegram.state import File, Group, Json, Person, Stored
from sandbox.telegram.world import World

ANONYMOUS_BOT = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
START_PAYLOAD_MAX = 64


def place(world: World, person: Person, chat_id: Any) -> Person | Group:
    """Where the person acts: the private chat by default, or a group of which they are a member."""
    if chat_id is None or int(chat_id) == person.id:
        if person.blocked:
            raise Impossible("the person has blocked the bot")
        return person
    group = world.state.groups.get(int(chat_id))
    if group is None:
        raise Missing(f"no chat {chat_id}")
    if group.migrated_to is not None:
        raise Impossible(f"the group was upgraded to {group.migrated_to}")
    if group.members.get(person.id, "left") not in chats.PRESENT:
        raise Impossible("the person is not a member of the group")
    return group


def say(world: World, person: Person, target: Person | Group, content: Json, raw: Json) -> int:
    """Posts a person's message and hands it to the bot; answers its id."""
    if isinstance(target, Person) and not person.started:
        person.started = True
        world.events.publish("person", person.id, person=person)
    if reply_to := raw.get("reply_to_message_id"):
        content["reply_to_message"] = chats.quoted(chats.seen(world, target.id, reply_to))
    sender = person.user()
    if thread_id := raw.get("message_thread_id"):
        if target.id > 0:
            raise BadInput("topics are for groups")
        content |= {"message_thread_id": int(thread_id), "is_topic_message": True}
    if raw.get("anonymous"):
        if target.id > 0:
            raise BadInput("anonymous is for groups")
        sender = dict(ANONYMOUS_BOT)
        content["sender_chat"] = target.chat()
    stored = chats.post(world, target, sender, content)
    chats.to_bot(world, "message", stored)
    message_id: int = stored.body["message_id"]
    return message_id


def _worded(text: str, given: list[Json] | None = None) -> Json:
    entities = sorted([*(given or []), *detect(text, given)], key=lambda entity: entity["offset"])
    return {"text": text} | ({"entities": entities} if entities else {})


def send(world: World, person: Person, raw: Json) -> list[int]:
    """Sends a text; one over 4096 goes as several messages, as clients do."""
    target = place(world, person, raw.get("chat_id"))
    text = raw.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadInput("text is empty")
    parts = split_text(text.strip())
    given = raw.get("entities") if len(parts) == 1 else None
    return [say(world, person, target, _worded(part, given), raw) for part in parts]


def start(world: World, person: Person, payload: str) -> list[int]:
    """Presses Start, with the payload of a deep link if there is one; unblocks."""
    if len(payload) > START_PAYLOAD_MAX:
        raise BadInput("a payload has at most 64 characters")
    if person.blocked:
        set_blocked(world, person, blocked=False)
    return send(world, person, {"text": f"/start {payload}".strip()})


def edit(world: World, person: Person, raw: Json) -> Stored:
    """Edits a text or caption of one's own."""
    target = place(world, person, raw.get("chat_id"))
    stored = chats.seen(world, target.id, raw.get("message_id", 0))
    if stored.body["from"]["id"] != person.id:
        raise Impossible("the message is somebody else's")
    text = str(raw.get("text", ""))
    if "text" in stored.body:
        content = _worded(text)
    else:
        entities = detect(text)
        content = {"caption": text} | ({"caption_entities": entities} if entities else {})
    gone = {"text", "entities", "caption", "caption_entities"}
    body = {name: value for name, value in stored.body.items() if name not in gone}
    stored.body = body | content | {"edit_date": int(world.now())}
    stored.edited = True
    chats.changed(world, stored)
    chats.to_bot(world, "edited_message", stored)
    return stored


def _buttons(stored: Stored) -> list[Json]:
    markup = stored.body.get("reply_markup") or {}
    return [button for row in markup.get("inline_keyboard", ()) for button in row]


def _pick(stored: Stored, wanted: Any) -> Json:
    buttons = _buttons(stored)
    if isinstance(wanted, int):
        if 0 <= wanted < len(buttons):
            return buttons[wanted]
    else:
        for button in buttons:
            if button["text"] == wanted:
                return button
        for button in buttons:
            if str(wanted) in button["text"]:
                return button
    raise Missing(f"no button {wanted!r} among {[button['text'] for button in buttons]}")


def press(world: World, person: Person, raw: Json) -> Json:
    """Presses an inline button; with `data`, one that need not be there any more."""
    target = place(world, person, raw.get("chat_id"))
    stored = chats.find(world, target.id, int(raw.get("message_id", 0)))
    if "data" in raw:
        button: Json = {"text": "", "callback_data": str(raw["data"])}
    else:
        button = _pick(chats.seen(world, target.id, raw.get("message_id", 0)), raw.get("button", 0))
    if button.get("disabled") is not None:
        return {"kind": "disabled", "query_id": None}
    for kind, name in (("url", "url"), ("copy", "copy_text"), ("pay", "pay"), ("web_app", "web_app")):
        if name in button:
            return {"kind": kind, "query_id": None, name: button[name]}
    if "callback_data" not in button:
        return {"kind": "other", "query_id": None}
    if stored is not None:
        message = stored.body
    else:
        message = {"chat": target.chat(), "message_id": int(raw.get("message_id", 0)), "date": 0}
    query_id = world.remember_query(person.id, target.id)
    query: Json = {
        "id": query_id,
        "from": person.user(),
        "chat_instance": str(target.id * 31 + 7),
        "message": message,
        "data": button["callback_data"],
    }
    world.updates.push("callback_query", query)
    return {"kind": "callback", "query_id": query_id}


def stop(world: World, person: Person, draft_id: int | None) -> int:
    """Presses the stop button of the draft that streams; further drafts of that id stay invisible."""
    draft = world.drafts.get(person.id)
    if draft is None or not draft.can_stop or draft.stopped or (draft_id is not None and draft.draft_id != draft_id):
        raise Impossible("no draft can be stopped")
    world.stopped_drafts[(person.id, draft.draft_id)] = None
    while len(world.stopped_drafts) > STOPPED_MAX:
        world.stopped_drafts.popitem(last=False)
    draft.stopped = True
    if draft.keep_on_stop:
        world.events.publish("draft", person.id, draft=draft.view())
    else:
        world.drop_draft(person.id, "stopped")
    world.updates.push("stopped_message_generation", {"chat": person.chat(), "draft_id": draft.draft_id})
    return draft.draft_id


def react(world: World, person: Person, raw: Json) -> None:
    """Sets or, with emoji null, takes away the person's reaction."""
    target = place(world, person, raw.get("chat_id"))
    stored = chats.seen(world, target.id, raw.get("message_id", 0))
    emoji = raw.get("emoji")
    old = stored.reactions.pop(person.id, None)
    if emoji:
        stored.reactions[person.id] = str(emoji)

    def listed(value: Any) -> list[Json]:
        return [{"type": "emoji", "emoji": value}] if value else []

    update: Json = {
        "chat": target.chat(),
        "message_id": stored.body["message_id"],
        "date": int(world.now()),
        "user": person.user(),
        "old_reaction": listed(old),
        "new_reaction": listed(emoji),
    }
    if isinstance(target, Person) or target.members.get(world.state.bot.id) in chats.ADMINS:
        world.updates.push("message_reaction", update)
    publish_reactions(world, stored)


def upload(world: World, person: Person, kind: str, files: list[File], raw: Json) -> list[int]:
    """Sends files of one kind; several make an album with a media_group_id, the caption on the first."""
    target = place(world, person, raw.get("chat_id"))
    group_id = str(secrets.randbelow(10**17)) if len(files) > 1 else None
    caption = str(raw.get("caption") or "")
    sent = []
    for number, file in enumerate(files):
        content = as_media(kind, file, int(float(raw.get("duration") or 0)))
        if caption and number == 0:
            entities = detect(caption)
            content |= {"caption": caption} | ({"caption_entities": entities} if entities else {})
        if group_id:
            content["media_group_id"] = group_id
        sent.append(say(world, person, target, content, raw))
    return sent


def attach(world: World, person: Person, raw: Json) -> list[int]:
    """Sends what is neither text nor file: a sticker, a place, a contact, a poll, a die, shared users or chats."""
    target = place(world, person, raw.get("chat_id"))
    file_id = {"file_id": f"SBX{secrets.token_urlsafe(12)}", "file_unique_id": secrets.token_urlsafe(8)}
    request_id = int(raw.get("request_id", 1))
    makers: dict[str, Json] = {
        "sticker": {
            "sticker": file_id
            | {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
            | {"emoji": str(raw.get("emoji", "💪"))}
        },
        "location": {"location": {"latitude": 55.75, "longitude": 37.61}},
        "contact": {"contact": {"phone_number": "+70000000000", "first_name": person.first_name}},
        "poll": {
            "poll": {
                "id": world.fresh_id(),
                "question": str(raw.get("question", "?")),
                "options": [
                    {"persistent_id": str(number), "text": str(text), "voter_count": 0}
                    for number, text in enumerate(raw.get("options", ("0", "1")))
                ],
                "total_voter_count": 0,
                "is_closed": False,
                "is_anonymous": True,
                "type": "regular",
                "allows_multiple_answers": False,
                "allows_revoting": True,
                "members_only": False,
            }
        },
        "dice": {"dice": {"emoji": "🎲", "value": 4}},
        "users_shared": {
            "users_shared": {"request_id": request_id, "users": [{"user_id": int(u)} for u in raw.get("user_ids", ())]}
        },
        "chat_shared": {"chat_shared": {"request_id": request_id, "chat_id": int(raw.get("shared_chat_id", 0))}},
    }
    content = makers.get(str(raw.get("kind")))
    if content is None:
        raise BadInput(f"unknown kind {raw.get('kind')!r}")
    return [say(world, person, target, content, raw)]


def set_blocked(world: World, person: Person, *, blocked: bool) -> None:
    """Blocks or unblocks the bot, which is told by my_chat_member."""
    if person.blocked == blocked:
        return
    old, new = ("member", "kicked") if blocked else ("kicked", "member")
    person.blocked = blocked
    if blocked:
        world.drop_draft(person.id, "stopped")
    chats.bot_member_changed(world, person, person.user(), old, new)
    world.events.publish("person", person.id, person=person)
    world.changed()


def delete_chat(world: World, person: Person) -> None:
    """Deletes the private chat with its history and blocks the bot, as clients offer together."""
    chat = world.state.chats.get(person.id)
    if chat is not None:
        for message_id in list(chat.messages):
            del chat.messages[message_id]
            world.events.publish("message_deleted", person.id, message_id=message_id)
    set_blocked(world, person, blocked=True)


def current_action(world: World, chat_id: int) -> str | None:
    """The chat action that shows now."""
    action, until = world.actions.get(chat_id, ("", 0.0))
    return action if until > time.monotonic() else None
