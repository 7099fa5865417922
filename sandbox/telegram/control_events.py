"""Events for the page and for tests: a WebSocket, or a list for those who cannot have one."""

import asyncio
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from sandbox.telegram.bot_api import WORLD
from sandbox.telegram.control_persons import number, reply
from sandbox.telegram.events import Listener
from sandbox.telegram.state import Json
from sandbox.telegram.world import World

EVENTS_WAIT_S_MAX = 30.0


def _listener(request: web.Request) -> Listener:
    types = request.query.get("types")
    return Listener(number(request, "chat_id"), frozenset(types.split(",")) if types else None)


def _dumps(event: Any) -> str:
    return orjson.dumps(event, default=list, option=orjson.OPT_NON_STR_KEYS).decode()


async def events(request: web.Request) -> web.StreamResponse:
    """GET events: a WebSocket, or a list for those who cannot have one."""
    world = request.app[WORLD]
    listener = _listener(request)
    since = number(request, "since", world.events.last_seq) or 0
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return await _events_once(request, world, listener, since)
    socket = web.WebSocketResponse(heartbeat=30, compress=False)
    await socket.prepare(request)
    backlog = [event for event in world.events.since(since) if listener.wants(event) or event["type"] == "gap"]
    world.events.listeners.add(listener)
    writer = asyncio.create_task(_write_events(socket, listener, backlog))
    try:
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
    finally:
        world.events.listeners.discard(listener)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
    return socket


async def _write_events(socket: web.WebSocketResponse, listener: Listener, backlog: list[Json]) -> None:
    for event in backlog:
        await socket.send_str(_dumps(event))
    while True:
        event = await listener.queue.get()
        await socket.send_str(_dumps(event))
        if listener.lagging:
            await socket.send_str(_dumps({"seq": event["seq"], "type": "gap", "at": event["at"]}))
            listener.lagging = False


async def _events_once(request: web.Request, world: World, listener: Listener, since: int) -> web.Response:
    timeout_s = min(float(request.query.get("timeout_s", 0)), EVENTS_WAIT_S_MAX)
    found = [event for event in world.events.since(since) if listener.wants(event) or event["type"] == "gap"]
    if not found and timeout_s > 0:
        world.events.listeners.add(listener)
        try:
            async with asyncio.timeout(timeout_s):
                found.append(await listener.queue.get())
        except TimeoutError:
            pass
        finally:
            world.events.listeners.discard(listener)
    return reply({"events": found, "last_seq": world.events.last_seq})
