"""Jobs: arq behind one narrow door. It carries what is due later and schedules, never work that only it remembers.

Jobs may run more than once and may be lost with Redis: each has a Postgres row behind it that a sweeper reissues.
arq finds jobs by polling. `PromptWorker` also polls at once when `Jobs.enqueue` says that there is something, so that
an idle worker starts within milliseconds while the polling interval stays long and cheap.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
import structlog
from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.worker import Function, Worker
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import signals
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

QUEUE = "forma:jobs"
POLL_DELAY_S = 0.5
JOB_TIMEOUT_S = 120
JOBS_MAX = 20
TRIES_MAX = 5
HEALTH_CHECK_INTERVAL_S = 30
END_TIMEOUT_S = 2.0
# Stands in Redis while some worker lives: arq writes it.
ALIVE_KEY = f"{QUEUE}:health-check"


def _dumps(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, default=str)


def _arq_pool(client: Redis) -> ArqRedis:
    return ArqRedis(
        connection_pool=client.connection_pool,
        job_serializer=_dumps,
        job_deserializer=orjson.loads,
        default_queue_name=QUEUE,
    )


class Jobs:
    """The sending side. Cheap to make; shares the client's connections."""

    def __init__(self, client: Redis) -> None:
        self._pool = _arq_pool(client)

    async def enqueue(self, name: str, *args: Any, at: datetime | None = None) -> None:
        """Ask some worker to run job `name` (soon, or at `at` in real time). Raises Unavailable('redis')."""
        try:
            await self._pool.enqueue_job(name, *args, _defer_until=at)
        except (RedisError, OSError) as error:
            raise Unavailable("redis", type(error).__name__) from error
        if at is None:
            await signals.send(self._pool, signals.JOBS)


class PromptWorker(Worker):
    """arq's worker, woken by `Jobs.enqueue` instead of waiting out its polling interval."""

    def __init__(
        self,
        client: Redis,
        functions: Sequence[Callable[..., Awaitable[Any]]],
        *,
        schedules: Sequence[CronJob] = (),
        ctx: dict[Any, Any],
    ) -> None:
        self._listener = signals.Listener(client, [signals.JOBS])
        super().__init__(
            functions=[_function(f) for f in functions],
            cron_jobs=list(schedules),
            redis_pool=_arq_pool(client),
            queue_name=QUEUE,
            poll_delay=POLL_DELAY_S,
            max_jobs=JOBS_MAX,
            job_timeout=JOB_TIMEOUT_S,
            max_tries=TRIES_MAX,
            keep_result=0,
            health_check_interval=HEALTH_CHECK_INTERVAL_S,
            health_check_key=ALIVE_KEY,
            handle_signals=False,  # the process has one owner of signals, and it is not this
            log_results=False,
            ctx=ctx,
            job_serializer=_dumps,
            job_deserializer=orjson.loads,
        )

    async def main(self) -> None:
        """Poll at once when woken, and every POLL_DELAY_S for deferred jobs, schedules and lost wake-ups."""
        wake = self._listener.events[signals.JOBS]
        listener = asyncio.create_task(self._listener.run(), name="jobs-listener")
        self.ctx["redis"] = self.pool
        poll: asyncio.Task[None] | None = None
        down = False
        try:
            while True:
                wake.clear()
                # A task of its own, since a poll that is cut off in a transaction leaves its connection behind.
                poll = asyncio.create_task(self._poll_iteration(), name="jobs-poll")
                try:
                    await asyncio.shield(poll)
                    down = False
                except (RedisError, OSError) as error:
                    if not down:
                        log.warning("jobs_redis_away", error=type(error).__name__)
                    down = True
                    await asyncio.sleep(POLL_DELAY_S)
                await signals.wait(wake, POLL_DELAY_S)
        finally:
            listener.cancel()
            if poll is not None:
                await _finish([poll])
            for job in self.job_tasks.values():
                job.cancel()
            # arq writes down, behind a shield, that those are to run again.
            await _finish([listener, *self.tasks.values()])


async def _finish(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for tasks that are about to end, whatever they end with; cut off what does not within END_TIMEOUT_S."""
    _, late = await asyncio.wait(tasks, timeout=END_TIMEOUT_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _function(coroutine: Callable[..., Awaitable[Any]]) -> Function:
    return Function(
        name=coroutine.__name__,
        coroutine=coroutine,  # type: ignore[arg-type]  # arq's protocol wants a ctx parameter by name
        timeout_s=None,
        keep_result_s=0,
        keep_result_forever=False,
        max_tries=None,
    )
