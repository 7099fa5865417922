"""Diagnosis: whether each part that Forma stands on works now, for /health in the admin group and for web."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import sqlalchemy as sa

from app.books import violations
from app.context import App
from inference import model_probe
from inference.models import Model
from inference.vllm import open_session
from kit import jobs, outbox

SLOW_MS = 250.0
OUTBOX_AGE_SLOW_S, OUTBOX_AGE_BAD_S = 15.0, 120.0
ASK_S = 4.0

State = Literal["good", "slow", "bad"]


@dataclass(frozen=True, slots=True)
class Part:
    """`detail` is a number with its unit, or the name of an error; never a text of a person, an address or a secret.

    Without a `vital` part nothing at all can be taken or delivered; without another one messages wait or fail politely.
    """

    name: str
    state: State
    detail: str
    vital: bool = True


async def parts(app: App) -> list[Part]:
    """Return the state of Postgres, Redis, every queue, the outbox, the workers and the models, asked all at once."""
    asked: list[Awaitable[Part]] = [_ask("postgres", lambda: _postgres(app)), _ask("redis", lambda: _redis(app))]
    asked += [_ask(f"queue {name}", partial(_queue, app, name)) for name in app.queues]
    asked += [_ask("outbox", lambda: _outbox(app)), _ask("worker", lambda: _worker(app), vital=False)]
    return [*await asyncio.gather(*asked), *await asyncio.gather(*(model(one) for one in app.models.of("chat")))]


async def _ask(name: str, ask: Callable[[], Awaitable[tuple[State, str]]], *, vital: bool = True) -> Part:
    began = time.monotonic()
    try:
        async with asyncio.timeout(ASK_S):
            state, detail = await ask()
    except Exception as error:
        return Part(name, "bad", type(error).__name__, vital)
    took_ms = (time.monotonic() - began) * 1000
    if state == "good" and took_ms > SLOW_MS:
        state = "slow"
    return Part(name, state, detail or f"{took_ms:.0f} ms", vital)


async def _postgres(app: App) -> tuple[State, str]:
    async with app.db.read() as connection:
        await connection.execute(sa.text("SELECT 1"))
    return "good", ""


async def _redis(app: App) -> tuple[State, str]:
    await app.redis.ping()
    return "good", ""


async def _queue(app: App, name: str) -> tuple[State, str]:
    state = await app.queues[name].snapshot()
    return "good", f"{state.running}/{state.slots} + {state.waiting}"


async def _outbox(app: App) -> tuple[State, str]:
    async with app.db.read() as connection:
        count, age_s = await outbox.waiting(connection, now=app.clock.now())
    state: State = "bad" if age_s > OUTBOX_AGE_BAD_S else "slow" if age_s > OUTBOX_AGE_SLOW_S else "good"
    return state, f"{count}, {age_s:.0f} s"


async def _worker(app: App) -> tuple[State, str]:
    """A worker that lives says so in Redis; how many do is not known there."""
    return ("good", "") if await app.redis.exists(jobs.ALIVE_KEY) else ("bad", "none")


async def model(asked: Model) -> Part:
    """Return whether any server of a model can answer; what is wrong with one `forma doctor` says in words."""
    name = f"model {asked.id}"
    async with open_session() as session:
        found = await model_probe.probe(asked, session)
    good = [replica for replica in found.replicas if not replica.problem]
    if not good:
        return Part(name, "bad", f"0/{len(found.replicas)}", vital=False)
    state: State = "good" if len(good) == len(found.replicas) else "slow"
    return Part(name, state, f"{len(good)}/{len(found.replicas)}", vital=False)


async def books(app: App) -> Part:
    """Check every invariant: seconds on large books, so only an operator asks for it."""
    try:
        async with app.db.read() as connection:
            broken = await violations(connection)
    except Exception as error:
        return Part("books", "bad", type(error).__name__)
    if broken:
        return Part("books", "bad", ", ".join(f"{violation.number} {violation.name}" for violation in broken))
    return Part("books", "good", "")
