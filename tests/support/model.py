"""Drives a simulated model server over its control API; `model_server` starts one inside the test's event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

from sandbox.model.server import Running, start

FAST: dict[str, Any] = {"first_token_base_s": 0.01, "inter_token_s": 0.002, "jitter": 0.0}
"""Times short enough for tests that do not look at time."""


class ModelDriver:
    """Faults, options and the journal of the server at `base_url`, in this process or in another."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url, self._session = base_url, session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A call of the control API, which must succeed."""
        async with self._session.request(method, f"{self.base_url}/_control{path}", json=body) as response:
            answered: dict[str, Any] = await response.json()
            assert response.status == 200, answered
            return answered

    async def state(self) -> dict[str, Any]:
        """Slots in use, totals, options, faults."""
        return await self.call("GET", "")

    async def options(self, **values: Any) -> None:
        """Changes options, such as slots=2 or inter_token_s=0.05."""
        await self.call("POST", "/options", values)

    async def fault(self, kind: str, **rule: Any) -> None:
        """Adds a fault: count=1 by default; count=None for ever; after_tokens, probability, match, …"""
        await self.call("POST", "/faults", {"kind": kind, **rule})

    async def clear_faults(self) -> None:
        """Good days again."""
        await self.call("DELETE", "/faults")

    async def requests(self, after: int = 0) -> list[dict[str, Any]]:
        """The journal: body, tokens, times and outcome of each chat request, oldest first."""
        found: list[dict[str, Any]] = (await self.call("GET", f"/requests?after={after}"))["requests"]
        return found

    async def reset(self) -> None:
        """As at the start."""
        await self.call("POST", "/reset")

    async def die(self) -> None:
        """Kills the engine; every request is reset until revive()."""
        await self.call("POST", "/die")

    async def revive(self) -> None:
        """Serves again."""
        await self.call("POST", "/revive")


def of_persons(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The requests that answer people. The house's own (titles, summaries) and probes need no usage with each token."""
    return [one for one in requests if one["body"].get("stream_options", {}).get("continuous_usage_stats")]


def drive(base_url: str) -> ModelDriver:
    """A driver with a session of its own, to be used as a context manager."""
    return ModelDriver(base_url, aiohttp.ClientSession())


@asynccontextmanager
async def model_server(**options: Any) -> AsyncIterator[tuple[Running, ModelDriver]]:
    """A fast server on a free port, and its driver."""
    running = await start(**{**FAST, **options})
    try:
        async with drive(running.base_url) as driver:
            yield running, driver
    finally:
        await running.close()
