"""YooKassa's API v3 over HTTP: key, idempotence, validation, faults, answer, log."""

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from sandbox.shop import dues, idempotence, lists, methods, payments, receipts, refunds, validation
from sandbox.shop.errors import ApiError, invalid, not_found
from sandbox.shop.faults import AFTER, BEFORE, Fault
from sandbox.shop.state import Json
from sandbox.shop.world import World

WORLD: web.AppKey[World] = web.AppKey("shop_world", World)
PREFIX = "/v3"
BODY_BYTES_MAX = 1024 * 1024
HANG_S = 3600.0
SIMULATED = {"X-Sandbox": "simulated"}

VIEWS: dict[str, Callable[[World, Any], Json]] = {
    "payment": payments.view,
    "refund": refunds.view,
    "receipt": receipts.view,
    "method": methods.view,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the merchant: `object_id` is the one in the path, `body` the JSON of a POST."""

    world: World
    object_id: str
    query: dict[str, str]
    body: Json


Handler = Callable[[Asked], tuple[str, Any]]


def record_of(world: World, kind: str, object_id: str) -> Any:
    """The record behind an id. Raises ApiError 404."""
    found = getattr(world.state, f"{kind}s").get(object_id)
    if found is None:
        raise not_found(f"There is no such {kind}")
    return found


def _create_payment(asked: Asked) -> tuple[str, Any]:
    return "payment", payments.create(asked.world, validation.read_payment(asked.body))


def _capture(asked: Asked) -> tuple[str, Any]:
    payment = record_of(asked.world, "payment", asked.object_id)
    payments.capture(asked.world, payment, validation.read_capture(asked.body))
    return "payment", payment


def _cancel(asked: Asked) -> tuple[str, Any]:
    payment = record_of(asked.world, "payment", asked.object_id)
    payments.cancel(asked.world, payment)
    return "payment", payment


def _create_refund(asked: Asked) -> tuple[str, Any]:
    return "refund", refunds.create(asked.world, validation.read_refund(asked.body))


def _create_receipt(asked: Asked) -> tuple[str, Any]:
    return "receipt", receipts.create(asked.world, validation.read_receipt(asked.body))


def _create_binding(asked: Asked) -> tuple[str, Any]:
    return "method", methods.create_binding(asked.world, validation.read_binding(asked.body))


def _me(asked: Asked) -> tuple[str, Any]:
    """What the shop is allowed to do; it is its own view."""
    body = {
        "account_id": asked.world.state.shop_id,
        "status": "enabled",
        "test": True,
        "fiscalization": {"enabled": True, "provider": "yoo_receipt"},
        "fiscalization_enabled": True,
        "payment_methods": sorted(validation.METHOD_TYPES),
    }
    return "as_is", body


def _get(kind: str) -> Handler:
    return lambda asked: (kind, record_of(asked.world, kind, asked.object_id))


def _list(kind: str) -> Handler:
    """A page of objects; it is its own view."""

    def handle(asked: Asked) -> tuple[str, Any]:
        records = getattr(asked.world.state, f"{kind}s")
        newest_first = reversed(records.values())
        return "as_is", lists.page(f"{kind}s", newest_first, asked.query, lambda one: VIEWS[kind](asked.world, one))

    return handle


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/me", _me),
    ("POST", "/payments", _create_payment),
    ("GET", "/payments", _list("payment")),
    ("GET", "/payments/{id}", _get("payment")),
    ("POST", "/payments/{id}/capture", _capture),
    ("POST", "/payments/{id}/cancel", _cancel),
    ("POST", "/refunds", _create_refund),
    ("GET", "/refunds", _list("refund")),
    ("GET", "/refunds/{id}", _get("refund")),
    ("POST", "/receipts", _create_receipt),
    ("GET", "/receipts", _list("receipt")),
    ("GET", "/receipts/{id}", _get("receipt")),
    ("POST", "/payment_methods", _create_binding),
    ("GET", "/payment_methods/{id}", _get("method")),
)


def _check_merchant(world: World, header: str | None) -> None:
    """HTTP Basic with the shop's id and secret key. Raises ApiError 401."""
    scheme, _, encoded = (header or "").partition(" ")
    expected = f"{world.state.shop_id}:{world.state.secret_key}".encode()
    try:
        given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    if not hmac.compare_digest(given, expected):
        raise ApiError(401, "invalid_credentials", "The shop's id or its secret key is wrong", "Authorization")


def _carry_out(asked: Asked, request: web.Request, handler: Handler) -> Json:
    """The answer's body. A repeated POST gets the object as it is now. Raises ApiError."""
    world = asked.world
    if request.method == "GET":
        kind, record = handler(asked)
        return record if kind == "as_is" else VIEWS[kind](world, record)
    key = idempotence.read_key(request.headers.get(idempotence.HEADER))
    print_of = idempotence.fingerprint(request.path, asked.body)
    use = idempotence.used(world, key, print_of)
    if use is not None:
        return VIEWS[use.kind](world, record_of(world, use.kind, use.object_id))
    kind, record = handler(asked)
    idempotence.remember(world, key, print_of, kind, record.id)
    return VIEWS[kind](world, record)


def _read_body(request: web.Request, raw: bytes) -> Json:
    if request.method == "GET":
        return {}
    if raw and request.content_type != "application/json":
        raise ApiError(415, "invalid_request", "The body of a POST is application/json", "Content-Type")
    return validation.read_json(raw)


def _plain(raw: str | None) -> str | None:
    """A header as text that JSON can hold, whatever bytes came."""
    return None if raw is None else raw.encode("utf-8", "replace").decode()


def _serve(handler: Handler) -> Callable[[web.Request], Any]:
    async def serve(request: web.Request) -> web.StreamResponse:
        world = request.app[WORLD]
        began = time.monotonic()
        raw = await request.read()
        call: Json = {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "key": _plain(request.headers.get(idempotence.HEADER)),
            "body": None,
        }
        fault = world.faults.of_request(request.method, request.path, BEFORE)
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.delay_s)
        elif fault is not None:
            world.journal.add(call, began=began, status=0, answer={}, fault=fault.kind)
            return await _break(request, fault.kind, {})
        dues.settle(world)
        status, answer = 200, {}
        try:
            _check_merchant(world, request.headers.get("Authorization"))
            call["body"] = _read_body(request, raw)
            asked = Asked(world, request.match_info.get("id", ""), dict(request.query), call["body"])
            answer = _carry_out(asked, request, handler)
        except ApiError as error:
            status, answer = error.status, error.body()
        after: Fault | None = world.faults.of_request(request.method, request.path, AFTER)
        struck = after or fault
        world.journal.add(call, began=began, status=status, answer=answer, fault=struck.kind if struck else None)
        if after is not None:
            return await _break(request, after.kind.removesuffix("_after"), answer)
        return reply(answer, status)

    return serve


def reply(value: Json, status: int = 200) -> web.Response:
    """JSON that says in a header that it is simulated."""
    return web.Response(
        body=orjson.dumps(value), status=status, content_type="application/json", headers=dict(SIMULATED)
    )


async def _break(request: web.Request, kind: str, answer: Json) -> web.StreamResponse:
    """What comes instead of an answer."""
    if kind == "http_500":
        error = ApiError(500, "internal_server_error", "Something broke; what became of the request is not known")
        return reply(error.body(), 500)
    if kind == "forbidden":
        return reply(ApiError(403, "forbidden", "This shop may not do this").body(), 403)
    if kind == "rate_limit":
        return reply(ApiError(429, "too_many_requests", "Too many requests, come back later").body(), 429)
    if kind == "html":
        page = "<!doctype html><html><head><title>502</title></head><body><h1>Bad Gateway</h1>simulated</body></html>"
        return web.Response(text=page, status=502, content_type="text/html", headers=dict(SIMULATED))
    if kind == "half":
        content = orjson.dumps(answer)
        return web.Response(body=content[: len(content) // 2], content_type="application/json", headers=dict(SIMULATED))
    if kind == "hang":
        await asyncio.sleep(HANG_S)  # ends when the merchant hangs up, or with the server
    if request.transport is not None:
        request.transport.abort()
    await asyncio.sleep(0)
    return web.Response(status=500)


async def _no_such_path(_request: web.Request) -> web.Response:
    return reply(not_found("There is no such resource").body(), 404)


async def _no_such_method(_request: web.Request) -> web.Response:
    error = invalid("This method is not for this resource")
    return reply(error.body(), 405)


def add_routes(app: web.Application) -> None:
    """Adds the routes; what is not among them is refused in YooKassa's form too."""
    for method, path, handler in ROUTES:
        app.router.add_route(method, PREFIX + path, _serve(handler))
    for path in dict.fromkeys(path for _, path, _ in ROUTES):
        app.router.add_route("*", PREFIX + path, _no_such_method)
    app.router.add_route("*", PREFIX + "/{rest:.*}", _no_such_path)
