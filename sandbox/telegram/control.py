"""The control API but for persons: groups, what can be seen, time, limits, faults. The contract is docs/sandbox.md."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.telegram import acts, chats, groups, stars
from sandbox.telegram.bot_api import WORLD
from sandbox.telegram.control_events import events
from sandbox.telegram.control_persons import body_of, number, reply
from sandbox.telegram.errors import ApiError, BadInput, Impossible, Missing
from sandbox.telegram.limits import Rates
from sandbox.telegram.state import Json
from sandbox.telegram.world import World

CALLS_PAGE_MAX = 20_000
ADVANCE_S_MAX = 20 * 365 * 24 * 3600
SEQ_HEADER = "X-Sandbox-Seq"
_STATUS = {Impossible: 409, Missing: 404, BadInput: 400}


@web.middleware
async def as_json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turns refusals into `{"error"}` and says in a header which event was the last before the request."""
    if not request.path.startswith("/_control"):
        return await handler(request)
    seq = str(request.app[WORLD].events.last_seq)
    try:
        response = await handler(request)
    except (Impossible, Missing, BadInput) as error:
        response = web.json_response({"error": str(error)}, status=_STATUS[type(error)])
    except ApiError as error:
        response = web.json_response({"error": error.description}, status=error.code)
    except (ValueError, TypeError, KeyError) as error:
        response = web.json_response({"error": f"unreadable input: {error}"}, status=400)
    if not response.prepared:
        response.headers[SEQ_HEADER] = seq
    return response


async def health(_request: web.Request) -> web.Response:
    """GET health."""
    return reply({"ok": True, "simulated": True})


async def list_groups(request: web.Request) -> web.Response:
    """GET groups."""
    return reply({"groups": [groups.view(group) for group in request.app[WORLD].state.groups.values()]})


async def create_group(request: web.Request) -> web.Response:
    """POST groups."""
    return reply(groups.view(groups.create(request.app[WORLD], await body_of(request))))


async def get_group(request: web.Request) -> web.Response:
    """GET groups/{id}."""
    return reply(groups.view(groups.find(request.app[WORLD], request.match_info["id"])))


async def patch_group(request: web.Request) -> web.Response:
    """PATCH groups/{id}."""
    world = request.app[WORLD]
    group = groups.find(world, request.match_info["id"])
    groups.change(world, group, await body_of(request))
    return reply(groups.view(group))


async def put_member(request: web.Request) -> web.Response:
    """PUT groups/{id}/members/{user}."""
    world = request.app[WORLD]
    group = groups.find(world, request.match_info["id"])
    raw = await body_of(request)
    groups.set_member(world, group, int(request.match_info["user"]), str(raw.get("status")))
    return reply(groups.view(group))


async def migrate_group(request: web.Request) -> web.Response:
    """POST groups/{id}/migrate."""
    world = request.app[WORLD]
    return reply(groups.view(groups.migrate(world, groups.find(world, request.match_info["id"]))))


def _chat_of(world: World, chat_id: int) -> Json:
    target = world.state.persons.get(chat_id) or world.state.groups.get(chat_id)
    if target is None:
        raise Missing(f"no chat {chat_id}")
    return target.chat()


async def chat_messages(request: web.Request) -> web.Response:
    """GET chats/{id}/messages."""
    world = request.app[WORLD]
    chat_id = int(request.match_info["id"])
    limit = number(request, "limit", 200) or 200
    chat = _chat_of(world, chat_id)
    kept = world.state.chats.get(chat_id)
    stored = list(kept.messages.values())[-limit:] if kept else []
    draft = world.drafts.get(chat_id)
    return reply(
        {
            "chat": chat,
            "messages": [chats.view(world, item) for item in stored],
            "draft": draft.view() if draft else None,
            "action": acts.current_action(world, chat_id),
        }
    )


async def list_chats(request: web.Request) -> web.Response:
    """GET chats: those of one person, or all."""
    world = request.app[WORLD]
    person_id = number(request, "person")
    listed = []
    for chat_id in (*world.state.persons, *world.state.groups):
        group = world.state.groups.get(chat_id)
        if person_id is not None:
            is_member = group is not None and group.members.get(person_id, "left") in chats.PRESENT
            if chat_id != person_id and not is_member:
                continue
        kept = world.state.chats.get(chat_id)
        last = next(reversed(kept.messages.values()), None) if kept else None
        listed.append({"chat": _chat_of(world, chat_id), "last_message": chats.view(world, last) if last else None})
    return reply({"chats": listed})


async def file_bytes(request: web.Request) -> web.Response:
    """GET files/{file_id}."""
    world = request.app[WORLD]
    file = world.state.files.get(request.match_info["file_id"])
    content = world.files.content(file) if file else None
    if file is None or content is None:
        raise Missing("no such file, or it has no bytes")
    kind = file.mime_type or ""
    is_shown = kind.startswith(("image/", "audio/", "video/")) and "svg" not in kind
    headers = {
        "Content-Type": kind if is_shown else "application/octet-stream",  # uploaded HTML must not run on this origin
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=content, headers=headers)


def _bot_view(world: World) -> Json:
    bot = world.state.bot
    commands = []
    for key, items in bot.commands.items():
        scope, _, language = key.partition("|")
        commands.append({"scope": scope, "language_code": language, "commands": items})
    return {
        "id": bot.id,
        "username": bot.username,
        "first_name": bot.first_name,
        "token": bot.token,
        "privacy": bot.privacy,
        "commands": commands,
        "names": bot.names,
        "descriptions": bot.descriptions,
        "short_descriptions": bot.short_descriptions,
        "stars": bot.stars,
    }


async def get_bot(request: web.Request) -> web.Response:
    """GET bot."""
    return reply(_bot_view(request.app[WORLD]))


async def patch_bot(request: web.Request) -> web.Response:
    """PATCH bot: what BotFather would change."""
    world = request.app[WORLD]
    raw = await body_of(request)
    if "privacy" in raw:
        world.state.bot.privacy = bool(raw["privacy"])
    if "affiliate_per_mille" in raw:
        world.state.bot.affiliate_per_mille = min(max(int(raw["affiliate_per_mille"]), 0), 1000)
    for name in ("first_name", "username"):
        if name in raw:
            setattr(world.state.bot, name, str(raw[name]))
    world.events.publish("bot", bot=_bot_view(world))
    world.changed()
    return reply(_bot_view(world))


def _scopes(world: World, chat_id: int, person_id: int) -> list[str]:
    """Scopes from the narrowest to the widest, as Telegram looks for commands."""
    if chat_id > 0:
        return [f"chat:{chat_id}", "all_private_chats", "default"]
    group = groups.find(world, chat_id)
    scopes = [f"chat_member:{chat_id}:{person_id}"]
    is_admin = group.members.get(person_id) in chats.ADMINS
    if is_admin:
        scopes.append(f"chat_administrators:{chat_id}")
    scopes.append(f"chat:{chat_id}")
    if is_admin:
        scopes.append("all_chat_administrators")
    return [*scopes, "all_group_chats", "default"]


async def menu_commands(request: web.Request) -> web.Response:
    """GET commands: the menu that this person sees in this chat."""
    world = request.app[WORLD]
    person_id = number(request, "person") or 0
    chat_id = number(request, "chat_id", person_id) or person_id
    person = world.person(person_id or chat_id)
    language = (person.language_code or "")[:2] if person else ""
    kept = world.state.bot.commands
    for scope in _scopes(world, chat_id, person_id):
        for key in (f"{scope}|{language}", f"{scope}|"):
            if key in kept:
                return reply({"commands": kept[key]})
    return reply({"commands": []})


async def get_state(request: web.Request) -> web.Response:
    """GET state."""
    world = request.app[WORLD]
    state = world.state
    return reply(
        {
            "bot": _bot_view(world),
            "clock": {"now": world.now(), "offset_s": state.clock_offset_s},
            "persons": list(state.persons.values()),
            "groups": [groups.view(group) for group in state.groups.values()],
            "subscriptions": [stars.subscription_view(sub) for sub in state.subscriptions.values()],
            "payments": stars.payments_view(world),
            "pending_updates": [pending.body for pending in state.pending],
            "webhook": state.webhook,
            "limits": world.limits.rates,
            "faults": [fault.view() for fault in world.faults.rules],
            "last_seq": world.events.last_seq,
        }
    )


async def list_calls(request: web.Request) -> web.Response:
    """GET calls."""
    world = request.app[WORLD]
    raw_ok = request.query.get("ok")
    selected = world.calls.select(
        method=request.query.get("method"),
        chat_id=number(request, "chat_id"),
        since=number(request, "since", 0) or 0,
        limit=min(number(request, "limit", CALLS_PAGE_MAX) or 0, CALLS_PAGE_MAX),
        ok=None if raw_ok is None else raw_ok.lower() in {"1", "true"},
    )
    return reply({"calls": list(selected), "last_seq": world.calls.last_seq})


async def get_clock(request: web.Request) -> web.Response:
    """GET clock."""
    world = request.app[WORLD]
    return reply({"now": world.now(), "offset_s": world.state.clock_offset_s})


async def post_clock(request: web.Request) -> web.Response:
    """POST clock: advances it; what falls due happens before the answer."""
    world = request.app[WORLD]
    advance_s = float((await body_of(request)).get("advance_s", 0))
    if not 0 <= advance_s <= ADVANCE_S_MAX:
        raise BadInput("advance_s is between 0 and 20 years")
    world.state.clock_offset_s += advance_s
    world.updates.expire()
    stars.settle_due(world)
    world.events.publish("clock", now=world.now())
    world.changed()
    return await get_clock(request)


async def get_limits(request: web.Request) -> web.Response:
    """GET limits."""
    return reply(request.app[WORLD].limits.rates)


async def patch_limits(request: web.Request) -> web.Response:
    """PATCH limits."""
    world = request.app[WORLD]
    raw = await body_of(request)
    values: Json = {name: getattr(world.limits.rates, name) for name in Rates.__dataclass_fields__}
    for name, value in raw.items():
        if name not in values:
            raise BadInput(f"no limit {name!r}")
        if name != "enabled" and (not isinstance(value, int | float) or value <= 0):
            raise BadInput(f"{name} must be a number above 0")
        values[name] = value
    world.limits.rates = Rates(**values)
    world.limits.clear()
    return reply(world.limits.rates)


async def list_faults(request: web.Request) -> web.Response:
    """GET faults."""
    return reply({"faults": [fault.view() for fault in request.app[WORLD].faults.rules]})


async def add_fault(request: web.Request) -> web.Response:
    """POST faults."""
    return reply(request.app[WORLD].faults.add(await body_of(request)).view())


async def drop_faults(request: web.Request) -> web.Response:
    """DELETE faults, all or one."""
    faults = request.app[WORLD].faults
    only = request.match_info.get("id")
    faults.rules = [] if only is None else [fault for fault in faults.rules if fault.id != int(only)]
    return reply({})


async def reset(request: web.Request) -> web.Response:
    """POST reset."""
    request.app[WORLD].reset()
    return reply({})


def add_routes(app: web.Application) -> None:
    """Adds the routes."""
    group = "/_control/groups/{id:-?\\d+}"
    app.add_routes(
        [
            web.get("/_control/health", health),
            web.get("/_control/groups", list_groups),
            web.post("/_control/groups", create_group),
            web.get(group, get_group),
            web.patch(group, patch_group),
            web.put(f"{group}/members/{{user:\\d+}}", put_member),
            web.post(f"{group}/migrate", migrate_group),
            web.get("/_control/chats", list_chats),
            web.get("/_control/chats/{id:-?\\d+}/messages", chat_messages),
            web.get("/_control/files/{file_id}", file_bytes),
            web.get("/_control/bot", get_bot),
            web.patch("/_control/bot", patch_bot),
            web.get("/_control/commands", menu_commands),
            web.get("/_control/state", get_state),
            web.get("/_control/calls", list_calls),
            web.get("/_control/clock", get_clock),
            web.post("/_control/clock", post_clock),
            web.get("/_control/limits", get_limits),
            web.patch("/_control/limits", patch_limits),
            web.get("/_control/faults", list_faults),
            web.post("/_control/faults", add_fault),
            web.delete("/_control/faults", drop_faults),
            web.delete("/_control/faults/{id:\\d+}", drop_faults),
            web.post("/_control/reset", reset),
            web.get("/_control/events", events),
        ]
    )
