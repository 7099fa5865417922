"""Watching the replicas: servers that are out are probed back in, and each fair queue fits those that are in."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

import structlog
from redis.exceptions import RedisError

from app.context import App
from app.model_groups import queue_config
from inference import model_probe
from inference.models import Model, Replica
from inference.queue.ticket import QueueConfig
from inference.replicas.choice import ReplicaState
from inference.vllm import open_session
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.25


class ReplicaWatch:
    """One a worker process. Redis sees to it that a server is probed by one of them at a time."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._fitted: dict[str, QueueConfig] = {}
        self._probes: set[asyncio.Task[None]] = set()
        self._away = False

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                try:
                    await self._look()
                    self._away = False
                except (RedisError, OSError, Unavailable) as error:
                    if not self._away:
                        log.warning("replicas_unwatched", error=type(error).__name__)
                    self._away = True
        finally:
            for probe in self._probes:
                probe.cancel()
            await asyncio.gather(*self._probes, return_exceptions=True)

    async def _look(self) -> None:
        replicas = self._app.replicas
        servers = {replica.base_url: (model, replica) for model in self._app.models for replica in model.replicas}
        states = await replicas.states(servers)
        for url, (model, replica) in servers.items():
            if states[url].probe_due and await replicas.begin_probe(url, slots=model.slots):
                probe = asyncio.create_task(self._probe(model, replica), name=f"probe {url}")
                self._probes.add(probe)
                probe.add_done_callback(self._probes.discard)
        for model in self._app.models.of("chat"):
            await self._fit_queue(model, states)

    async def _probe(self, model: Model, replica: Replica) -> None:
        async with open_session() as session:
            problem = await model_probe.answers(model, replica, session)
        try:
            await self._app.replicas.end_probe(replica.base_url, good=not problem)
        except (RedisError, OSError) as error:
            log.warning("probe_unreported", error=type(error).__name__)  # it is due again when its slot has lapsed
            return
        log.info("replica_probed", model=model.id, url=replica.base_url, problem=problem or None)

    async def _fit_queue(self, model: Model, states: Mapping[str, ReplicaState]) -> None:
        """Let the queue give out the slots of the servers that are in, and no more.

        With none in, it gives out all: people hear at once that the model is away, or its fallback answers them.
        """
        serving = len(self._app.replicas.in_service(model, states)) or len(model.replicas)
        wanted = queue_config(model, replicas=serving)
        fair = self._app.queues.get(model.id)
        if fair is None or wanted == self._fitted.get(model.id, queue_config(model)):
            return
        await fair.configure(replace(fair.config, slots=wanted.slots, kv_budget=wanted.kv_budget))
        self._fitted[model.id] = wanted
        log.info("queue_fitted", model=model.id, slots=wanted.slots)
