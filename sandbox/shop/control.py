"""The control API under /_control: customers act, time advances, faults are set, books are read. docs/sandbox.md."""

import ipaddress
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from sandbox.shop import books, customer, dues, methods, payments
from sandbox.shop.api import PREFIX, VIEWS, WORLD, reply
from sandbox.shop.cards import CARDS, REASONS, REFUND_REASONS
from sandbox.shop.errors import BadInput, Impossible, Missing
from sandbox.shop.state import Json, Method, Payment
from sandbox.shop.world import World

CALLS_PAGE_MAX = 20_000
ADVANCE_S_MAX = 20 * 365 * 24 * 3600
EVENTS = {
    "payment.waiting_for_capture": "payment",
    "payment.succeeded": "payment",
    "payment.canceled": "payment",
    "refund.succeeded": "refund",
    "payment_method.active": "method",
}


@web.middleware
async def as_json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turns refusals of the control API and of the page's calls into `{"error"}`."""
    if request.path.startswith(f"{PREFIX}/"):
        return await handler(request)
    try:
        return await handler(request)
    except (Impossible, Missing) as error:
        return reply({"error": str(error)}, 409 if isinstance(error, Impossible) else 404)
    except BadInput as error:
        return reply({"error": str(error)}, 400)
    except (ValueError, TypeError, KeyError) as error:
        return reply({"error": f"unreadable input: {error}"}, 400)


async def body_of(request: web.Request) -> Json:
    """The JSON object of a request; an empty body is an empty object. Raises BadInput."""
    raw = await request.read()
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError as error:
        raise BadInput("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadInput("a JSON object is expected")
    return body


def _world(request: web.Request) -> World:
    """The world, with what is due done."""
    world = request.app[WORLD]
    dues.settle(world)
    return world


def _payment(request: web.Request) -> tuple[World, Payment]:
    world = _world(request)
    payment = world.state.payments.get(request.match_info["id"])
    if payment is None:
        raise Missing("no such payment")
    return world, payment


def _method(request: web.Request) -> tuple[World, Method]:
    world = _world(request)
    method = world.state.methods.get(request.match_info["id"])
    if method is None:
        raise Missing("no such payment method")
    return world, method


async def health(_request: web.Request) -> web.Response:
    """GET health."""
    return reply({"ok": True, "simulated": True})


async def get_state(request: web.Request) -> web.Response:
    """GET state."""
    world = _world(request)
    return reply(
        {
            "simulated": True,
            "shop_id": world.state.shop_id,
            "api_url": world.base_url + PREFIX,
            "clock": _clock(world),
            "settings": _settings(world),
            "totals": books.totals(world),
            "faults": [fault.view() for fault in world.faults.rules],
            "pending_notifications": len(world.state.notifications),
            "last_seq": world.journal.last_seq,
        }
    )


async def get_totals(request: web.Request) -> web.Response:
    """GET totals: the shop's own books."""
    return reply(books.totals(_world(request)))


async def list_payments(request: web.Request) -> web.Response:
    """GET payments: all of them, oldest first, optionally those of a status."""
    world = _world(request)
    status = request.query.get("status")
    found = [one for one in world.state.payments.values() if status in (None, one.status)]
    return reply({"payments": [payments.view(world, one) for one in found]})


async def pay(request: web.Request) -> web.Response:
    """POST payments/{id}/pay: as the customer would on the page; `3ds` true or false answers the bank at once."""
    raw = await body_of(request)
    world = _world(request)
    target = customer.find(world, request.match_info["id"])
    if raw.get("method", customer.offered(target)[0]) == "bank_card":
        raw.setdefault("card", next(iter(CARDS)))
    raw.setdefault("method", customer.offered(target)[0])
    customer.pay(world, target, customer.read_choice(world, raw))
    if target.asks_3ds and isinstance(raw.get("3ds"), bool):
        customer.confirm_3ds(world, target, agreed=raw["3ds"])
    return _shown(world, target)


async def confirm(request: web.Request) -> web.Response:
    """POST payments/{id}/3ds."""
    raw = await body_of(request)
    world = _world(request)
    target = customer.find(world, request.match_info["id"])
    customer.confirm_3ds(world, target, agreed=raw.get("ok", True) is True)
    return _shown(world, target)


def _shown(world: World, target: Payment | Method) -> web.Response:
    kind = "method" if isinstance(target, Method) else "payment"
    return reply(VIEWS[kind](world, target) | {"asks_3ds": target.asks_3ds})


async def give_up(request: web.Request) -> web.Response:
    """POST payments/{id}/cancel: the bank or the shop says no to a payment that is not over."""
    raw = await body_of(request)
    world, payment = _payment(request)
    reason = raw.get("reason", "expired_on_confirmation")
    if reason not in REASONS:
        raise BadInput(f"unknown reason {reason!r}")
    if payment.status not in {"pending", "waiting_for_capture"}:
        raise Impossible(f"the payment is {payment.status}")
    payment.answer = None
    payments.give_up(world, payment, reason)
    return _shown(world, payment)


async def list_methods(request: web.Request) -> web.Response:
    """GET methods: those that were saved."""
    world = _world(request)
    found = [one for one in world.state.methods.values() if one.saved]
    return reply({"methods": [methods.control_view(world, one) for one in found]})


async def patch_method(request: web.Request) -> web.Response:
    """PATCH methods/{id}: what later charges get."""
    raw = await body_of(request)
    world, method = _method(request)
    methods.change(world, method, raw, REASONS)
    return reply(methods.control_view(world, method))


async def revoke_method(request: web.Request) -> web.Response:
    """DELETE methods/{id}: its owner forbids charges at the bank."""
    world, method = _method(request)
    methods.change(world, method, {"revoked": True}, REASONS)
    return reply(methods.control_view(world, method))


async def list_cards(_request: web.Request) -> web.Response:
    """GET cards."""
    return reply({"cards": [card.view() for card in CARDS.values()]})


def _settings(world: World) -> Json:
    settings = world.state.settings
    return {name: getattr(settings, name) for name in settings.__slots__}


def _is_address(value: object) -> bool:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return True


async def get_settings(request: web.Request) -> web.Response:
    """GET settings."""
    return reply(_settings(_world(request)))


async def patch_settings(request: web.Request) -> web.Response:
    """PATCH settings."""
    raw = await body_of(request)
    world = _world(request)
    settings = world.state.settings
    for name, value in raw.items():
        if name not in settings.__slots__:
            raise BadInput(f"no setting {name!r}")
        if name.endswith("_s") and not (isinstance(value, int | float) and 0 <= value <= ADVANCE_S_MAX):
            raise BadInput(f"{name} is a number of seconds")
        if name == "refund_decline" and value is not None and value not in REFUND_REASONS:
            raise BadInput(f"unknown reason {value!r}")
        if name == "forwarded_for" and value is not None and not _is_address(value):
            raise BadInput("forwarded_for is an IP address")
        if name == "notification_url" and value is not None and not str(value).startswith(("http://", "https://")):
            raise BadInput("notification_url is an http or https address")
    for name, value in raw.items():
        setattr(settings, name, value)
    world.changed()
    return reply(_settings(world))


async def list_calls(request: web.Request) -> web.Response:
    """GET calls."""
    world = request.app[WORLD]
    query = request.query
    found = world.journal.select(
        method=query.get("method"),
        path=query.get("path", "*"),
        since=int(query.get("since", "0")),
        limit=min(int(query.get("limit", CALLS_PAGE_MAX)), CALLS_PAGE_MAX),
    )
    return reply({"calls": list(found), "last_seq": world.journal.last_seq})


async def list_notifications(request: web.Request) -> web.Response:
    """GET notifications: what was sent, is to be sent, or was lost on purpose."""
    world = _world(request)
    event, object_id = request.query.get("event"), request.query.get("object_id")
    found = [
        one for one in world.notifier.views() if event in (None, one["event"]) and object_id in (None, one["object_id"])
    ]
    return reply({"notifications": found})


async def send_notification(request: web.Request) -> web.Response:
    """POST notifications: sends one again, or one that never was true; with the object as it is now."""
    raw = await body_of(request)
    world = _world(request)
    kind = EVENTS.get(str(raw.get("event")))
    if kind is None:
        raise BadInput(f"event is one of {', '.join(EVENTS)}")
    record = getattr(world.state, f"{kind}s").get(str(raw.get("id")))
    if record is None:
        raise Missing(f"no such {kind}")
    world.notifier.notify(raw["event"], record.id, VIEWS[kind](world, record))
    return reply({})


async def flush(request: web.Request) -> web.Response:
    """POST notifications/flush: comes back when nothing is due any more."""
    world = _world(request)
    await world.notifier.flush()
    return reply({"pending": len(world.state.notifications)})


def _clock(world: World) -> Json:
    return {"now": world.now_ms() / 1000, "offset_s": world.state.clock_offset_s}


async def get_clock(request: web.Request) -> web.Response:
    """GET clock."""
    return reply(_clock(_world(request)))


async def post_clock(request: web.Request) -> web.Response:
    """POST clock: advances it, or sets its offset, never back; what falls due happens before the answer."""
    raw = await body_of(request)
    world = _world(request)
    state = world.state
    offset_s = float(raw["offset_s"]) if "offset_s" in raw else state.clock_offset_s + float(raw.get("advance_s", 0))
    if not 0 <= offset_s - state.clock_offset_s <= ADVANCE_S_MAX:
        raise BadInput("the clock goes forward, by at most 20 years at once")
    state.clock_offset_s = offset_s
    world.changed()
    dues.settle(world)
    await world.notifier.flush()
    return reply(_clock(world))


async def list_faults(request: web.Request) -> web.Response:
    """GET faults."""
    return reply({"faults": [fault.view() for fault in request.app[WORLD].faults.rules]})


async def add_fault(request: web.Request) -> web.Response:
    """POST faults."""
    raw = await body_of(request)
    return reply(request.app[WORLD].faults.add(raw).view())


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
    at = "/_control"
    app.add_routes(
        [
            web.get(f"{at}/health", health),
            web.get(f"{at}/state", get_state),
            web.get(f"{at}/totals", get_totals),
            web.get(f"{at}/cards", list_cards),
            web.get(f"{at}/payments", list_payments),
            web.post(f"{at}/payments/{{id}}/pay", pay),
            web.post(f"{at}/payments/{{id}}/3ds", confirm),
            web.post(f"{at}/payments/{{id}}/cancel", give_up),
            web.get(f"{at}/methods", list_methods),
            web.patch(f"{at}/methods/{{id}}", patch_method),
            web.delete(f"{at}/methods/{{id}}", revoke_method),
            web.get(f"{at}/settings", get_settings),
            web.patch(f"{at}/settings", patch_settings),
            web.get(f"{at}/calls", list_calls),
            web.get(f"{at}/notifications", list_notifications),
            web.post(f"{at}/notifications", send_notification),
            web.post(f"{at}/notifications/flush", flush),
            web.get(f"{at}/clock", get_clock),
            web.post(f"{at}/clock", post_clock),
            web.get(f"{at}/faults", list_faults),
            web.post(f"{at}/faults", add_fault),
            web.delete(f"{at}/faults", drop_faults),
            web.delete(f"{at}/faults/{{id:\\d+}}", drop_faults),
            web.post(f"{at}/reset", reset),
        ]
    )
