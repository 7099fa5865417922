"""The Bot API over HTTP: token, method, validation, limits, faults, answer, log."""

import asyncio
import inspect
import time
from typing import Any

import orjson
from aiohttp import web

from sandbox.telegram import methods_bot, methods_change, methods_send, methods_stars
from sandbox.telegram.calls import METHODS, Upload, chat_of, decode, read_params, unknown_params, validate
from sandbox.telegram.errors import ApiError
from sandbox.telegram.faults import AFTER, BEFORE, DELIVERY, Fault
from sandbox.telegram.methods_send import Handler
from sandbox.telegram.state import Json
from sandbox.telegram.world import World

WORLD: web.AppKey[World] = web.AppKey("world", World)
BODY_BYTES_MAX = 64 * 1024 * 1024


def _get_updates(world: World, call: Any, _: dict[str, Upload]) -> Any:
    return world.updates.poll(call)


HANDLERS: dict[str, Handler] = {
    "getupdates": _get_updates,
    **methods_bot.HANDLERS,
    **methods_send.HANDLERS,
    **methods_change.HANDLERS,
    **methods_stars.HANDLERS,
}


async def _carry_out(world: World, name: str, decoded: Json, uploads: dict[str, Upload]) -> Any:
    cls = METHODS[name]
    handler = HANDLERS.get(name)
    if handler is None:
        raise ApiError(501, f"Not Implemented: the sandbox does not simulate {cls.__api_method__}")
    call = validate(cls, decoded)
    paid = decoded.get("allow_paid_broadcast") in (True, "true", "True", "1")
    world.limits.take(cls.__api_method__, chat_of(decoded), paid=paid)
    result = handler(world, call, uploads)
    return await result if inspect.isawaitable(result) else result


def _cut(request: web.Request) -> None:
    """Ends the connection without an answer, as a reset."""
    if request.transport is not None:
        request.transport.abort()


async def _before(fault: Fault, request: web.Request) -> None:
    """What a fault does instead of the call (raises) or ahead of it (delay)."""
    if fault.kind == "delay":
        await asyncio.sleep(fault.delay_s)
    elif fault.kind == "http_500":
        raise ApiError(500, "Internal Server Error")
    elif fault.kind == "rate_limit":
        words = f"Too Many Requests: retry after {fault.retry_after_s}"
        raise ApiError(429, words, retry_after=fault.retry_after_s)
    elif fault.kind == "refuse":
        raise ApiError(400, fault.description)
    elif fault.kind == "reset":
        _cut(request)
        raise ApiError(500, "connection reset by the sandbox")


def _delivery(fault: Fault | None, batch: list[Json]) -> list[Json]:
    if fault is None:
        return batch
    if fault.kind == "reorder":
        return batch[::-1]
    return [body for body in batch for _ in range(2)]


def _logged(decoded: Json, uploads: dict[str, Upload]) -> Json:
    if not uploads:
        return decoded
    return decoded | {name: {"file": upload.name, "size": len(upload.content)} for name, upload in uploads.items()}


async def serve_method(request: web.Request) -> web.StreamResponse:
    """`/bot<token>/<Method>`."""
    world = request.app[WORLD]
    began = time.monotonic()
    if request.match_info["token"] != world.state.bot.token:
        return _answer(ApiError(401, "Unauthorized").body())
    name = request.match_info["method"].lower()
    if name not in METHODS:
        return _answer(ApiError(404, "Not Found").body())
    cls = METHODS[name]
    decoded: Json = {}
    uploads: dict[str, Upload] = {}
    fault: Fault | None = None
    try:
        params, uploads = await read_params(request)
        decoded = decode(cls, params, uploads)
        chat_id = chat_of(decoded)
        if world.faults.rules and (fault := world.faults.strike(name, chat_id, BEFORE)) is not None:
            await _before(fault, request)
        result = await _carry_out(world, name, decoded, uploads)
        if world.faults.rules:
            if name == "getupdates" and result:
                fault = world.faults.strike(name, None, DELIVERY) or fault
                result = _delivery(fault if fault and fault.kind in DELIVERY else None, result)
            after = None if name == "getupdates" and not result else world.faults.strike(name, chat_id, AFTER)
            fault = after or fault
        body: Json = {"ok": True, "result": result}
    except ApiError as error:
        body = error.body()
    if name != "getupdates" or fault is not None or not body["ok"]:
        _log(world, cls.__api_method__, _logged(decoded, uploads), began, body, fault, unknown_params(cls, decoded))
    if fault is not None and fault.kind in {"reset", "drop_response"}:
        _cut(request)
    return _answer(body, half=fault is not None and fault.kind == "malformed")


def _log(
    world: World, method: str, params: Json, began: float, body: Json, fault: Fault | None, unknown: list[str]
) -> None:
    kind = fault.kind if fault is not None else None
    seq = world.calls.add(method, params, began=began, body=body, fault=kind, unknown=unknown)
    world.events.publish(
        "call", chat_of(params), call_seq=seq, method=method, ok=body["ok"], error_code=body.get("error_code")
    )


def _answer(body: Json, *, half: bool = False) -> web.Response:
    content = orjson.dumps(body)
    if half:
        content = content[: len(content) // 2]
    return web.Response(body=content, status=body.get("error_code", 200), content_type="application/json")


async def serve_file(request: web.Request) -> web.Response:
    """`/file/bot<token>/<file_path>`."""
    world = request.app[WORLD]
    if request.match_info["token"] != world.state.bot.token:
        return _answer(ApiError(401, "Unauthorized").body())
    file = world.files.by_path(request.match_info["path"])
    content = world.files.content(file) if file is not None else None
    if content is None:
        return _answer(ApiError(404, "Not Found").body())
    return web.Response(body=content, content_type="application/octet-stream")
