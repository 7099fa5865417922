"""The control API under /_control: options, faults, the journal, death and revival. No key guards it: loopback only."""

import dataclasses
from typing import Any, Final

from aiohttp import web

from sandbox.model import dialect, faults
from sandbox.model.api import ModelServer

ENTRIES_PER_READ_MAX: Final = 1_000


def add_routes(app: web.Application, server: ModelServer) -> None:
    """Registers the routes; docs/model-server.md shows each with an example."""
    api = _Control(server)
    app.router.add_get("/_control", api.state)
    app.router.add_post("/_control/options", api.change_options)
    app.router.add_post("/_control/faults", api.add_fault)
    app.router.add_delete("/_control/faults", api.clear_faults)
    app.router.add_get("/_control/requests", api.requests)
    app.router.add_delete("/_control/requests", api.clear_requests)
    app.router.add_post("/_control/reset", api.reset)
    app.router.add_post("/_control/die", api.die)
    app.router.add_post("/_control/revive", api.revive)


class _Control:
    def __init__(self, server: ModelServer) -> None:
        self._server = server

    def _state(self) -> web.Response:
        server, engine = self._server, self._server.engine
        options = dataclasses.asdict(server.options)
        options["api_key"] = bool(options["api_key"])
        return dialect.json_response(
            {
                "simulated": True,
                "dead": server.dead,
                "options": options,
                "faults": server.faults.listed(),
                "running": len(engine.running),
                "waiting": engine.waiting_count,
                "kv_used": engine.kv_used,
                "cached_blocks": len(engine.cache),
                "preemptions_total": engine.preemptions_total,
                "steps_total": engine.steps_total,
                "late_steps_total": engine.late_steps_total,
                "prompt_tokens_total": server.metrics.prompt_tokens_total,
                "generation_tokens_total": server.metrics.generation_tokens_total,
            }
        )

    async def state(self, _: web.Request) -> web.Response:
        return self._state()

    async def change_options(self, request: web.Request) -> web.Response:
        server = self._server
        try:
            server.options.change(await _body(request))
        except ValueError as error:
            raise dialect.bad_request(str(error)) from error
        server.engine.readmit()
        return self._state()

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            self._server.faults.add(faults.from_mapping(await _body(request)))
        except (ValueError, TypeError) as error:
            raise dialect.bad_request(str(error)) from error
        return self._state()

    async def clear_faults(self, _: web.Request) -> web.Response:
        self._server.faults.clear()
        return self._state()

    async def requests(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            limit = int(request.query.get("limit", str(ENTRIES_PER_READ_MAX)))
        except ValueError as error:
            raise dialect.bad_request(f"after and limit are whole numbers: {error}") from error
        found = self._server.journal.after(after, min(max(0, limit), ENTRIES_PER_READ_MAX))
        return dialect.json_response({"requests": found})

    async def clear_requests(self, _: web.Request) -> web.Response:
        self._server.journal.clear()
        return dialect.json_response({"requests": []})

    async def reset(self, _: web.Request) -> web.Response:
        self._server.reset()
        return self._state()

    async def die(self, _: web.Request) -> web.Response:
        self._server.die()
        return self._state()

    async def revive(self, _: web.Request) -> web.Response:
        self._server.revive()
        return self._state()


async def _body(request: web.Request) -> dict[str, Any]:
    return dialect.parse_json(await request.read())
