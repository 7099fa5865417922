"""The checkout page and the calls that it makes: what is to be paid, Pay, the bank's question."""

from pathlib import Path

from aiohttp import web

from sandbox.shop import customer, dues
from sandbox.shop.api import SIMULATED, WORLD, reply
from sandbox.shop.cards import CARDS
from sandbox.shop.control import body_of
from sandbox.shop.errors import BadInput, WrongField
from sandbox.shop.state import Json, Method, Payment, money
from sandbox.shop.world import World

PAGE = Path(__file__).resolve().parent / "page"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def view(world: World, target: Payment | Method) -> Json:
    """What the page shows."""
    now_ms = world.now_ms()
    shown: Json = {
        "simulated": True,
        "id": target.id,
        "shop_id": world.state.shop_id,
        "status": target.status,
        "methods": customer.offered(target),
        "asks_3ds": target.asks_3ds,
        "return_url": target.return_url,
        "expires_in_s": max(0, (target.due_ms or now_ms) - now_ms) // 1000,
        "cards": [card.view() for card in CARDS.values()],
    }
    holder = target if isinstance(target, Method) else world.state.methods.get(target.holder or "")
    shown["last4"] = holder.card["last4"] if holder is not None and holder.card else None
    shown["saved"] = holder is not None and holder.saved
    if isinstance(target, Method):
        return shown | {"kind": "binding", "amount": None, "description": None, "save": True, "reason": None}
    return shown | {
        "kind": "payment",
        "amount": money(target.amount),
        "description": target.description,
        "save": target.save,
        "reason": target.reason,
    }


async def _page(_request: web.Request) -> web.StreamResponse:
    headers = SIMULATED | {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY, "Referrer-Policy": "origin"}
    return web.FileResponse(PAGE / "index.html", headers=headers)


def _target(request: web.Request) -> tuple[World, Payment | Method]:
    world = request.app[WORLD]
    dues.settle(world)
    return world, customer.find(world, request.match_info["id"])


async def _state(request: web.Request) -> web.Response:
    """GET checkout/{id}/state."""
    world, target = _target(request)
    return reply(view(world, target))


async def _body(request: web.Request) -> Json:
    """JSON from the page itself: a form of another site cannot send this type."""
    if request.content_type != "application/json":
        raise BadInput("application/json is expected")
    return await body_of(request)


async def _pay(request: web.Request) -> web.Response:
    """POST checkout/{id}/pay; `{"wrong": field}` when something typed is wrong, and nothing has happened."""
    raw = await _body(request)
    world, target = _target(request)
    try:
        customer.pay(world, target, customer.read_choice(world, raw))
    except WrongField as error:
        return reply({"wrong": str(error)})
    return reply(view(world, target))


async def _confirm(request: web.Request) -> web.Response:
    """POST checkout/{id}/3ds."""
    raw = await _body(request)
    world, target = _target(request)
    customer.confirm_3ds(world, target, agreed=raw.get("ok") is True)
    return reply(view(world, target))


def add_routes(app: web.Application) -> None:
    """Adds the routes."""
    app.add_routes(
        [
            web.get("/checkout/{id}", _page),
            web.get("/checkout/{id}/state", _state),
            web.post("/checkout/{id}/pay", _pay),
            web.post("/checkout/{id}/3ds", _confirm),
            web.static("/page", PAGE),
        ]
    )
