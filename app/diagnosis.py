"""Diagnosis: whether each part that Forma stands on works now, for /health in the admin group and for web."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from app.context import App
from billing import invariants
from kit import outbox

SLOW_MS = 250.0
OUTBOX_AGE_SLOW_S, OUTBOX_AGE_BAD_S = 15.0, 120.0


@dataclass(frozen=True, slots=True)
class Part:
    """`detail` is a number with its unit, or the name of an error; never a text of a person."""

    name: str
    state: Literal["good", "slow", "bad"]
    detail: str


async def parts(app: App) -> list[Part]:
    """Return the state of Postgres, Redis, every queue, the outbox and the books."""
    found = [await _timed("postgres", lambda: _postgres(app)), await _timed("redis", lambda: _redis(app))]
    found += [await _queue(app, name) for name in app.queues]
    found += [await _outbox(app), await _books(app)]
    return found


async def _timed(name: str, ask: Callable[[], Awaitable[None]]) -> Part:
    began = time.monotonic()
    try:
        await ask()
    except Exception as error:
        return Part(name, "bad", type(error).__name__)
    took_ms = (time.monotonic() - began) * 1000
    return Part(name, "slow" if took_ms > SLOW_MS else "good", f"{took_ms:.0f} ms")


async def _postgres(app: App) -> None:
    async with app.db.read() as connection:
        await connection.execute(sa.text("SELECT 1"))


async def _redis(app: App) -> None:
    await app.redis.ping()


async def _queue(app: App, name: str) -> Part:
    try:
        state = await app.queues[name].snapshot()
    except Exception as error:
        return Part(f"queue {name}", "bad", type(error).__name__)
    return Part(f"queue {name}", "good", f"{state.running}/{state.slots} + {state.waiting}")


async def _outbox(app: App) -> Part:
    try:
        async with app.db.read() as connection:
            age_s = await outbox.oldest_age_s(connection, now=app.clock.now())
    except Exception as error:
        return Part("outbox", "bad", type(error).__name__)
    state: Literal["good", "slow", "bad"] = (
        "bad" if age_s > OUTBOX_AGE_BAD_S else "slow" if age_s > OUTBOX_AGE_SLOW_S else "good"
    )
    return Part("outbox", state, f"{age_s:.0f} s")


async def _books(app: App) -> Part:
    try:
        async with app.db.read() as connection:
            broken = await invariants.check(connection)
    except Exception as error:
        return Part("books", "bad", type(error).__name__)
    if broken:
        return Part("books", "bad", ", ".join(f"{violation.number} {violation.name}" for violation in broken))
    return Part("books", "good", "")
