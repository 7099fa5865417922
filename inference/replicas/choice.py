"""Taking a replica for one request: the slots of all servers are shared by leases in Redis.

Healthy ones come first, then the one that served this dialog last (its prefix cache knows the dialog), then the least
loaded. Redis decides for all workers at once; while it is away each worker chooses by itself.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from inference.errors import Busy, ConnectFailed, ModelError, NoReplica, ReplicaRefused, RequestRefused, TimedOut
from inference.models import Model, Replica
from inference.replicas.orders import Order
from kit import ids
from kit.tasks import cleanly

log = structlog.get_logger(__name__)

LEASE_S: Final = 10.0
"""A worker that dies or hangs holds its places at the servers so long."""

RENEW_EVERY_S: Final = 2.0
HOME_S: Final = 3_600.0
"""How long it is remembered which server served a dialog last; a prefix cache seldom keeps it longer."""

WAIT_S: Final = 30.0
"""How long a request waits for a slot. Longer than a lease, so that a dead worker's slots come free meanwhile."""

LOOK_EVERY_S: Final = 0.05
REDIS_S: Final = 2.0
"""A Redis that does not answer within this is away: no answer waits for it longer."""

FAILURES_MAX: Final = 3
"""So many broken answers in a row take a server out; one refused connection or one time-out does at once."""

BACKOFF_MIN_S: Final = 0.5
BACKOFF_MAX_S: Final = 60.0
"""A server that is out is probed after a pause that doubles within these bounds."""

BUSY_S: Final = 1.0
"""How long a server that answers 429 or 503 gets nothing, where it does not say."""

FORGET_S: Final = 3_600.0
"""Failures older than this count no more."""

PROBE_LOCK_S: Final = 20.0
KEY: Final = "{replicas}"
_LUA: Final = Path(__file__).parent / "lua"
_MS, _US = 1_000, 1_000_000
_AWAY: Final = (RedisError, OSError)


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One server as all workers know it. `back_s` is how long it is still out; `probe_due`: somebody is to probe it."""

    in_flight: int
    out: bool
    failures: int
    back_s: float
    probe_due: bool


@dataclass(slots=True)
class _Lease:
    id: str
    replica: Replica
    lapsed: bool = False
    """Redis did not know of it for a while: what it says of its server is not believed any more."""


class Replicas:
    """The servers of all models, for one process. Enter it before taking; leaving it ends the renewal of leases."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        shared = (_LUA / "servers.lua").read_text(encoding="utf-8")
        self._scripts = {
            path.stem: redis.register_script(f"{shared}\n{path.read_text(encoding='utf-8')}")
            for path in _LUA.glob("*.lua")
            if path.stem != "servers"
        }
        self._leases: dict[str, _Lease] = {}
        self._renewing: asyncio.Task[None] | None = None
        self.orders: Mapping[tuple[str, str], Order] = {}
        """By model id and base URL, as Postgres has them; `app.model_groups` keeps them fresh."""

    async def __aenter__(self) -> "Replicas":
        self._renewing = asyncio.create_task(self._keep_renewing(), name="replica-leases")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._renewing:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            self._renewing = None

    @contextlib.asynccontextmanager
    async def take(
        self, model: Model, *, prefer: int = 0, avoid: Collection[str] = (), wait_s: float = WAIT_S
    ) -> AsyncIterator[Replica]:
        """Hold a slot of one replica of `model` for the block; a ModelError that leaves it is held against the server.

        `prefer` is the dialog whose prefix a server may have (0: none). Servers in `avoid` (base URLs) come last.
        Raises NoReplica: at once when all are out of service or drained, after `wait_s` when all are full. A Redis
        that is away is no error.
        """
        lease = await self._lease(model, prefer, avoid, wait_s)
        self._leases[lease.id] = lease
        verdict: tuple[str, float] = ("none", 0.0)
        try:
            yield lease.replica
            verdict = ("good", 0.0)
        except ModelError as error:
            verdict = _verdict(error)
            raise
        finally:
            del self._leases[lease.id]
            said = ("none", 0.0) if lease.lapsed else verdict
            await cleanly(self._release(lease.replica.base_url, lease.id, *said))

    def in_service(self, model: Model, states: Mapping[str, ReplicaState]) -> tuple[Replica, ...]:
        """Return the replicas that get requests, by `states` and the operator's orders."""
        open_ = self._open(model)
        return tuple(one for one in open_ if one.base_url not in states or not states[one.base_url].out)

    def weight(self, model: Model, replica: Replica) -> int:
        """Return a replica's weight: the operator's, or the file's."""
        ordered = self.orders.get((model.id, replica.base_url), Order()).weight
        return replica.weight if ordered is None else ordered

    async def states(self, urls: Collection[str]) -> dict[str, ReplicaState]:
        """Return what all workers know of each server, by base URL. Raises redis-py's errors."""
        if not urls:
            return {}
        wanted = list(urls)
        numbers = await self._call("look", *wanted)
        return {
            url: ReplicaState(
                in_flight=int(busy), out=int(out) > 0, failures=int(fails), back_s=float(back), probe_due=int(due) > 0
            )
            for url, busy, out, fails, back, due in zip(wanted, *(numbers[field::5] for field in range(5)), strict=True)
        }

    async def begin_probe(self, url: str, *, slots: int) -> bool:
        """Return whether this process, alone of all, is to probe a server now, in a slot of it. Raises redis-py's."""
        return bool(await self._probe(url, "begin", slots))

    async def end_probe(self, url: str, *, good: bool) -> None:
        """Put a server back in, or keep it out for twice as long. Raises redis-py's errors."""
        await self._probe(url, "good" if good else "failed", 0)

    async def _probe(self, url: str, step: str, slots: int) -> int:
        pauses = (round(BACKOFF_MIN_S * _US), round(BACKOFF_MAX_S * _US))
        lock_us = round(PROBE_LOCK_S * _US)
        return int(await self._call("probe", url, step, slots, lock_us, *pauses, round(FORGET_S * _MS)))

    def _open(self, model: Model) -> list[Replica]:
        """The replicas that no order has drained."""
        return [one for one in model.replicas if not self.orders.get((model.id, one.base_url), Order()).drained]

    async def _lease(self, model: Model, prefer: int, avoid: Collection[str], wait_s: float) -> _Lease:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            candidates = _by_likelihood(self._open(model), prefer)
            if not candidates:
                raise NoReplica(f"{model.id}: all drained")
            lease_id = ids.token()
            try:
                url, why = await self._ask(self._take(model, candidates, prefer, avoid, lease_id), lease_id)
            except _AWAY as error:
                log.warning("replicas_unshared", error=type(error).__name__)
                return _Lease(lease_id, self._least_busy_here(candidates, avoid), lapsed=True)
            if url:
                return _Lease(lease_id, next(one for one in candidates if one.base_url == url))
            if why == "out" or loop.time() >= until:
                raise NoReplica(f"{model.id}: all {why}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ask(self, taking: Coroutine[Any, Any, tuple[str, str]], lease_id: str) -> tuple[str, str]:
        """Await a take. Whoever is cancelled meanwhile gives back what Redis has handed out already."""
        asked = asyncio.ensure_future(taking)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            await cleanly(self._give_back(asked, lease_id))
            raise

    async def _give_back(self, asked: "asyncio.Future[tuple[str, str]]", lease_id: str) -> None:
        with contextlib.suppress(*_AWAY):
            url, _ = await asked
            if url:
                await self._release(url, lease_id, "none")

    async def _take(
        self, model: Model, candidates: list[Replica], prefer: int, avoid: Collection[str], lease_id: str
    ) -> tuple[str, str]:
        servers: list[Any] = []
        for one in candidates:
            servers += [one.base_url, model.slots, self.weight(model, one), int(one.base_url in avoid)]
        home = f"{model.id}:{prefer}" if prefer else ""
        async with asyncio.timeout(REDIS_S):
            reply = await self._call("take", lease_id, round(LEASE_S * _US), home, round(HOME_S * _MS), *servers)
        chosen, *why = [part.decode() if isinstance(part, bytes) else str(part) for part in reply]
        return chosen, why[0] if why else ""

    def _least_busy_here(self, candidates: list[Replica], avoid: Collection[str]) -> Replica:
        here = Counter(lease.replica.base_url for lease in self._leases.values())
        return min(candidates, key=lambda one: (one.base_url in avoid, here[one.base_url] / one.weight))

    async def _release(self, url: str, lease_id: str, verdict: str, busy_s: float = 0.0) -> None:
        """Free a slot and say how its server did. Whatever Redis does not hear lapses by itself."""
        pauses = (round(BACKOFF_MIN_S * _US), round(BACKOFF_MAX_S * _US), round(busy_s * _US))
        try:
            async with asyncio.timeout(REDIS_S):
                out = await self._call("release", url, lease_id, verdict, FAILURES_MAX, *pauses, round(FORGET_S * _MS))
        except _AWAY as error:
            log.warning("replica_unreleased", error=type(error).__name__)
            return
        if int(out):
            log.warning("replica_out", url=url)

    async def _keep_renewing(self) -> NoReturn:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                await self._renew(list(self._leases.values()))
            except _AWAY as error:
                log.warning("replica_leases_unrenewed", error=type(error).__name__)

    async def _renew(self, leases: list[_Lease]) -> None:
        if not leases:
            return
        named = [part for lease in leases for part in (lease.replica.base_url, lease.id)]
        for lease, taken_again in zip(leases, await self._call("renew", round(LEASE_S * _US), *named), strict=True):
            lease.lapsed = lease.lapsed or int(taken_again) > 0
            if lease.id not in self._leases:  # released while the renewal was on its way
                await self._release(lease.replica.base_url, lease.id, "none")

    async def _call(self, name: str, *arguments: Any) -> Any:
        return await self._scripts[name](keys=[KEY], args=[0, *arguments])


def _by_likelihood(replicas: list[Replica], prefer: int) -> list[Replica]:
    """Rendezvous hashing: the same dialog meets the servers in the same order, whichever of them there are."""
    return sorted(replicas, key=lambda one: blake2b(f"{prefer} {one.base_url}".encode(), digest_size=8).digest())


def _verdict(error: ModelError) -> tuple[str, float]:
    """What an error says of its server, and for how long it is left alone if it is only busy."""
    if isinstance(error, NoReplica):
        return "none", 0.0
    if isinstance(error, RequestRefused):
        return "good", 0.0
    if isinstance(error, Busy):
        return "busy", error.wait_s or BUSY_S
    if isinstance(error, ConnectFailed | TimedOut | ReplicaRefused):
        return "away", 0.0
    return "failed", 0.0
