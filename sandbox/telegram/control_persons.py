"""The control API of persons: /_control/persons and what they do. The contract is docs/sandbox.md."""

from typing import Any

import orjson
from aiohttp import web

from sandbox.telegram import acts, chats, stars
from sandbox.telegram.bot_api import WORLD
from sandbox.telegram.calls import Upload, read_params
from sandbox.telegram.errors import ApiError, BadInput, Missing
from sandbox.telegram.state import File, Json, Person
from sandbox.telegram.world import World

PERSONS_MAX = 10_000
UPLOAD_KINDS = frozenset({"photo", "voice", "document", "video", "audio"})
_FIELDS = {
    "first_name": str,
    "last_name": str,
    "username": str,
    "language_code": str,
    "is_premium": bool,
    "stars": int,
    "started": bool,
}


async def body_of(request: web.Request) -> Json:
    """The JSON object of a request; an empty body is an empty object."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadInput("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadInput("a JSON object is expected")
    return body


def reply(value: Any) -> web.Response:
    """200 with the value as JSON."""
    return web.Response(
        body=orjson.dumps(value, default=list, option=orjson.OPT_NON_STR_KEYS), content_type="application/json"
    )


def number(request: web.Request, name: str, otherwise: int | None = None) -> int | None:
    """A number from the query."""
    raw = request.query.get(name)
    return otherwise if raw in (None, "") else int(raw or 0)


def _person(request: web.Request) -> tuple[World, Person]:
    world = request.app[WORLD]
    person = world.person(int(request.match_info["id"]))
    if person is None:
        raise Missing(f"no person {request.match_info['id']}")
    return world, person


def _fill(person: Person, raw: Json) -> None:
    for name, kind in _FIELDS.items():
        if name in raw:
            value = raw[name]
            if value is not None and not isinstance(value, kind):
                raise BadInput(f"{name} must be {kind.__name__}")
            setattr(person, name, value)


async def list_persons(request: web.Request) -> web.Response:
    """GET persons."""
    return reply({"persons": list(request.app[WORLD].state.persons.values())})


async def create_person(request: web.Request) -> web.Response:
    """POST persons."""
    world = request.app[WORLD]
    raw = await body_of(request)
    persons = world.state.persons
    person_id = int(raw.get("id") or world.state.last_person_id + 1)
    if person_id <= 0 or person_id in persons or person_id == world.state.bot.id:
        raise BadInput("the id must be positive and free")
    if len(persons) >= PERSONS_MAX:
        raise BadInput(f"at most {PERSONS_MAX} persons")
    person = Person(person_id, str(raw.get("first_name") or f"Person {person_id}"))
    _fill(person, raw)
    persons[person_id] = person
    world.state.last_person_id = max(world.state.last_person_id, person_id)
    world.events.publish("person", person.id, person=person)
    world.changed()
    return reply(person)


async def get_person(request: web.Request) -> web.Response:
    """GET persons/{id}."""
    return reply(_person(request)[1])


async def patch_person(request: web.Request) -> web.Response:
    """PATCH persons/{id}."""
    world, person = _person(request)
    _fill(person, await body_of(request))
    world.events.publish("person", person.id, person=person)
    world.changed()
    return reply(person)


async def start(request: web.Request) -> web.Response:
    """POST start."""
    world, person = _person(request)
    raw = await body_of(request)
    return reply({"message_ids": acts.start(world, person, str(raw.get("payload") or ""))})


async def send(request: web.Request) -> web.Response:
    """POST send."""
    world, person = _person(request)
    return reply({"message_ids": acts.send(world, person, await body_of(request))})


async def edit(request: web.Request) -> web.Response:
    """POST edit."""
    world, person = _person(request)
    return reply(chats.view(world, acts.edit(world, person, await body_of(request))))


async def press(request: web.Request) -> web.Response:
    """POST press."""
    world, person = _person(request)
    return reply(acts.press(world, person, await body_of(request)))


async def stop(request: web.Request) -> web.Response:
    """POST stop."""
    world, person = _person(request)
    return reply({"draft_id": acts.stop(world, person, (await body_of(request)).get("draft_id"))})


async def react(request: web.Request) -> web.Response:
    """POST react."""
    world, person = _person(request)
    acts.react(world, person, await body_of(request))
    return reply({})


async def attach(request: web.Request) -> web.Response:
    """POST attach."""
    world, person = _person(request)
    return reply({"message_ids": acts.attach(world, person, await body_of(request))})


def _stored(world: World, kind: str, uploaded: Upload) -> File:
    size = len(uploaded.content)
    return world.files.put(kind, uploaded.content, size=size, name=uploaded.name, mime_type=uploaded.mime_type)


async def _uploaded(request: web.Request) -> tuple[Json, list[Upload]]:
    """Fields and files of an upload; several parts may have the same name, so the Bot API's reader won't do."""
    if request.content_type != "multipart/form-data":
        try:
            return (await read_params(request))[0], []
        except ApiError as error:
            raise BadInput(error.description) from error
    fields: Json = {}
    files = []
    form = await request.post()
    for name, value in form.items():
        if isinstance(value, web.FileField):
            files.append(Upload(value.filename, value.content_type, value.file.read()))
        else:
            fields[name] = value
    return fields, files


async def upload(request: web.Request) -> web.Response:
    """POST upload: multipart with bytes, or JSON with only a size."""
    world, person = _person(request)
    raw, uploads = await _uploaded(request)
    kind = str(raw.get("kind", "document"))
    if kind not in UPLOAD_KINDS:
        raise BadInput(f"unknown kind {kind!r}")
    acts.place(world, person, raw.get("chat_id"))
    files = [_stored(world, kind, uploaded) for uploaded in uploads]
    if not files:
        if "size" not in raw:
            raise BadInput("a file or a size is needed")
        name = str(raw["name"]) if "name" in raw else None
        files = [world.files.put(kind, None, size=int(raw["size"]), name=name, mime_type=raw.get("mime_type"))]
    return reply({"message_ids": acts.upload(world, person, kind, files, raw)})


async def pay(request: web.Request) -> web.Response:
    """POST pay: waits until the bot has answered pre_checkout_query."""
    world, person = _person(request)
    raw = await body_of(request)
    invoice, stored = stars.invoice_of(world, raw, person)
    if raw.get("cancel"):
        return reply({"state": "canceled", "error": None, "charge_id": None, "invoice": invoice.view()})
    return reply(await stars.pay(world, person, invoice, stored))


async def invoice(request: web.Request) -> web.Response:
    """POST invoice: what the sheet shows."""
    world, person = _person(request)
    return reply(stars.invoice_of(world, await body_of(request), person)[0].view())


async def list_subscriptions(request: web.Request) -> web.Response:
    """GET subscriptions."""
    world, person = _person(request)
    own = [sub for sub in world.state.subscriptions.values() if sub.person_id == person.id]
    return reply({"subscriptions": [stars.subscription_view(sub) for sub in own]})


async def change_subscription(request: web.Request) -> web.Response:
    """POST subscriptions/{sub}/cancel and /resume."""
    world, person = _person(request)
    act = stars.cancel if request.match_info["act"] == "cancel" else stars.resume
    return reply(stars.subscription_view(act(world, person, request.match_info["sub"])))


async def block(request: web.Request) -> web.Response:
    """POST block."""
    world, person = _person(request)
    acts.set_blocked(world, person, blocked=True)
    return reply(person)


async def unblock(request: web.Request) -> web.Response:
    """POST unblock."""
    world, person = _person(request)
    acts.set_blocked(world, person, blocked=False)
    return reply(person)


async def delete_chat(request: web.Request) -> web.Response:
    """POST delete_chat."""
    world, person = _person(request)
    acts.delete_chat(world, person)
    return reply({})


def add_routes(app: web.Application) -> None:
    """Adds the routes of persons."""
    one = "/_control/persons/{id:\\d+}"
    app.router.add_get("/_control/persons", list_persons)
    app.router.add_post("/_control/persons", create_person)
    app.router.add_get(one, get_person)
    app.router.add_patch(one, patch_person)
    app.router.add_get(f"{one}/subscriptions", list_subscriptions)
    app.router.add_post(f"{one}/subscriptions/{{sub}}/{{act:cancel|resume}}", change_subscription)
    for act in (start, send, edit, press, stop, react, attach, upload, pay, invoice, block, unblock, delete_chat):
        app.router.add_post(f"{one}/{act.__name__}", act)
