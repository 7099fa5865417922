"""Model groups: the entries of models.toml, the fair queue of each and the operator's orders, alike in all processes.

A reload is asked for in one process, which reads the file and asks the servers; then it tells the others, and each
reads its own file. A file with a mistake changes nothing where it is read.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog
from redis.exceptions import RedisError

from app.context import App
from billing.catalog import Catalog
from inference import model_probe, models_file
from inference.models import Model, Models
from inference.queue.fair import FairQueue
from inference.queue.ticket import QueueConfig
from inference.replicas import orders
from inference.vllm import open_session
from kit import ids, signals
from kit.errors import Misconfigured, Unavailable
from kit.settings import Settings

log = structlog.get_logger(__name__)

GENERATION_KEY = "forma:models:generation"
# A signal may be lost with Redis.
LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did, by entry id; `warnings` are servers that do not answer, in words for the operator."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def read(settings: Settings, plans: Catalog | None = None) -> Models:
    """Return the models of FORMA_MODEL_URL, or those of models.toml. Raises Misconfigured.

    With `plans` the plans that an entry names must be known there.
    """
    if settings.model_url:
        key = settings.model_key.get_secret_value().strip()
        parser = settings.model_reasoning_parser
        return models_file.single_model(settings.model_url, settings.model_name, key, reasoning_parser=parser)
    found = models_file.load(settings.models_file)
    known = {plan.id for plan in plans.plans} if plans else set()
    for model in found:
        if plans and (unknown := sorted(model.plans - known)):
            raise found.wrong(model.id, "plans", f"names {unknown[0]!r}, and plans.toml has no such plan")
    chat = found.of("chat")
    asking = {plan.id for plan in plans.plans if plan.kind != "pack"} if plans else set()
    if lost := [plan for plan in asking if not any(model.allows(plan) for model in chat)]:
        raise found.wrong(chat[0].id, "plans", f"leave plan {min(lost)!r} without a chat entry that it may use")
    return found


def queue_config(model: Model, *, replicas: int = 0) -> QueueConfig:
    """Return what the fair queue must know of a chat model, of which so many replicas serve (0: all)."""
    count = replicas or len(model.replicas)
    return QueueConfig(
        slots=model.slots * count,
        kv_budget=model.kv_tokens * count,
        cached_factor=model.prices.cached / max(model.prices.input, 1),
    )


async def check_servers(models: Models) -> tuple[str, ...]:
    """Ask every server what it serves. Raises Misconfigured where one contradicts the file; returns other findings.

    A server that cannot be reached may come later; one with a shorter context would cut people's dialogs for ever.
    """
    async with open_session() as session:
        results = await asyncio.gather(*(model_probe.probe(model, session) for model in models))
    warnings: list[str] = []
    for result in results:
        for probe in result.replicas:
            if probe.mistaken_key:
                raise models.wrong(result.model.id, probe.mistaken_key, f"{probe.replica.base_url} {probe.problem}")
            if probe.problem:
                warnings.append(f"{result.model.id}: {probe.replica.base_url} {probe.problem}")
    return tuple(warnings)


async def reload(app: App) -> Reloaded:
    """Read the file again, here and then in all processes. Raises Misconfigured and Unavailable: then nothing has
    changed here.
    """
    new = read(app.settings, app.plans)
    warnings = await check_servers(new)
    queues = await _prepare(app, new)
    try:
        await app.redis.set(GENERATION_KEY, ids.token())
    except (RedisError, OSError) as error:
        raise Unavailable("redis", type(error).__name__) from error
    done = _take_over(app, new, queues)
    await signals.send(app.redis, signals.MODELS)
    return replace(done, warnings=warnings)


async def refresh_orders(app: App) -> None:
    """Read the operator's orders from Postgres."""
    async with app.db.read() as connection:
        app.replicas.orders = await orders.read(connection)


async def follow(app: App) -> NoReturn:
    """Keep this process's models and orders as the others have them. Runs until cancelled."""
    listener = signals.Listener(app.redis, [signals.MODELS])
    seen = await _generation(app, None)
    async with asyncio.TaskGroup() as parts:
        parts.create_task(listener.run(), name="models-listener")
        while True:
            due = listener.events[signals.MODELS]
            await signals.wait(due, LOOK_EVERY_S)
            due.clear()
            try:
                await refresh_orders(app)
                generation = await _generation(app, seen)
                if generation != seen:
                    try:
                        new = read(app.settings, app.plans)
                    except Misconfigured as error:
                        log.warning("models_not_reloaded", error=str(error))
                    else:
                        _take_over(app, new, await _prepare(app, new))
                    seen = generation
            except Unavailable as error:
                log.warning("models_unwatched", what=error.what)


async def _generation(app: App, seen: bytes | None) -> bytes | None:
    """The token of the last reload; what was seen before where Redis is away or has forgotten it."""
    try:
        found: bytes | None = await app.redis.get(GENERATION_KEY)
    except (RedisError, OSError):
        return seen
    return found or seen


async def _prepare(app: App, new: Models) -> dict[str, FairQueue]:
    """Configure the queues of new and changed entries; return those that are new. Raises Unavailable.

    All that Redis can fail at comes before the swap, so a reload that is tried again finds all of it still to do.
    """
    fresh: dict[str, FairQueue] = {}
    for model in new.of("chat"):
        config, before = queue_config(model), app.models.entries.get(model.id)
        fair = app.queues.get(model.id)
        if fair is None:
            fair = fresh[model.id] = FairQueue(app.redis, model.id, config)
        elif before is not None and queue_config(before) == config:
            continue
        await fair.configure(config)
    return fresh


def _take_over(app: App, new: Models, queues: Mapping[str, FairQueue]) -> Reloaded:
    """Swap the entries and add their queues, at once: no question meets a model without its queue.

    The queues of entries that are gone stay, until their turns are answered.
    """
    before = dict(app.models.entries)
    app.queues.update(queues)
    app.models.become(new)
    done = Reloaded(
        added=tuple(one for one in new.entries if one not in before),
        changed=tuple(one for one, model in new.entries.items() if one in before and before[one] != model),
        removed=tuple(one for one in before if one not in new.entries),
    )
    log.info("models_reloaded", added=done.added, changed=done.changed, removed=done.removed)
    return done
