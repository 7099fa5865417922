"""The flood in real time: the fair queue by Redis' clock and the simulated model server, both faster than life."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from redis.asyncio import Redis

from bench.queue_world import SECOND, START, Request, Seen, Served, ticket
from bench.stack import free_port, healthy
from inference.models import Replica
from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, Position, QueueConfig, Usage
from inference.vllm import ChatRequest, VllmClient

SPEED = 20
RENEW_S = 0.15
STREAM_INTERVAL = 32
"""Tokens a chunk: whether a stream is read token by token makes no difference to the queue, and much to two cores."""
NOT_ASKED = Position(0, 0.0, 0.0)
"""An expected wait has ten seconds of slack, which are not SPEED times shorter."""
STOP_S = 5.0


def hastened(config: QueueConfig) -> QueueConfig:
    """Return the configuration with every span that is compared with service times SPEED times shorter."""
    names = ("overtake_s", "reserve_wait_s", "smoothing_s", "starve_s", "service_s")
    return replace(config, **{name: getattr(config, name) / SPEED for name in names})


class LiveWorld:
    """Serves requests in real time; what is seen is told in the scene's own time, SPEED times longer."""

    def __init__(self, queue: FairQueue, client: VllmClient, replica: Replica) -> None:
        self._queue, self._client, self._replica = queue, client, replica
        self._held: dict[int, tuple[Claim, int]] = {}
        self._waiting: dict[int, Request] = {}
        self._seen = Seen(queue.config.slots)
        self._began = time.monotonic()
        self._looks = False

    async def run(self, requests: Sequence[Request]) -> Seen:
        """Serve the requests to the end."""
        await self._queue.configure()
        self._began = time.monotonic()
        renewing = asyncio.create_task(self._renew())
        try:
            async with asyncio.TaskGroup() as tasks:
                for turn, request in enumerate(sorted(requests, key=lambda one: one.at), start=1):
                    await asyncio.sleep(max(0.0, (request.at - self._now()) / SECOND / SPEED))
                    self._pass()
                    self._waiting[turn] = request
                    await self._queue.submit(ticket(turn, request))
                    tasks.create_task(self._claim(tasks))
        finally:
            renewing.cancel()
        return self._seen

    def _now(self) -> int:
        return START + round((time.monotonic() - self._began) * SPEED * SECOND)

    def _pass(self) -> None:
        now, seen = self._now(), self._seen
        if self._waiting:
            free = seen.slots - len(self._held)
            seen.queued_us += now - seen.until
            seen.idle_us += min(free, len(self._waiting)) * (now - seen.until)
        seen.until = now

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            claimed = await self._queue.claim()
            claim = claimed.claim
            if claim is None:
                if claimed.again_s:
                    tasks.create_task(self._claim_later(claimed.again_s, tasks))
                return
            self._pass()
            request = self._waiting.pop(claim.turn_id)
            self._held[claim.turn_id] = (claim, 0)
            begun = request.at + round(claim.waited_s * SPEED * SECOND)
            self._seen.served.append(Served(request, begun, NOT_ASKED))
            tasks.create_task(self._serve(claim, request, tasks))

    async def _claim_later(self, seconds: float, tasks: asyncio.TaskGroup) -> None:
        """Claim when a slot may be lent; one look in the future is enough."""
        if self._looks:
            return
        self._looks = True
        await asyncio.sleep(seconds)
        self._looks = False
        await self._claim(tasks)

    async def _serve(self, claim: Claim, request: Request, tasks: asyncio.TaskGroup) -> None:
        asked = ChatRequest(
            replica=self._replica,
            model="forma-sim",
            messages=[{"role": "user", "content": "слово " * request.input_tokens}],
            max_tokens=request.output_tokens,
            extra={"ignore_eos": True},
        )
        usage = None
        async with contextlib.aclosing(self._client.stream(asked)) as deltas:
            async for delta in deltas:
                if delta.usage:
                    usage = delta.usage
                    self._held[claim.turn_id] = (claim, usage.completion_tokens)
        assert usage
        assert usage.completion_tokens == request.output_tokens
        finished = await self._queue.finish(claim, Usage(request.input_tokens, 0, usage.completion_tokens))
        assert finished.accepted
        self._pass()
        del self._held[claim.turn_id]
        await self._claim(tasks)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._queue.renew_many(list(self._held.values()))


async def run(redis: Redis, config: QueueConfig, requests: Sequence[Request]) -> Seen:
    """Serve the requests on a model server of this run's own. The Redis is emptied first."""
    await redis.flushdb()
    async with _model_server(config.slots) as replica, VllmClient() as client:
        return await LiveWorld(FairQueue(redis, "live", hastened(config)), client, replica).run(requests)


@contextlib.asynccontextmanager
async def _model_server(slots: int) -> AsyncIterator[Replica]:
    port = free_port()
    options = {"port": port, "slots": slots, "speed": SPEED, "stream-interval": STREAM_INTERVAL, "cache-tokens": 0}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "model", *arguments, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        base_url = f"http://127.0.0.1:{port}"
        await healthy(f"{base_url}/health")
        yield Replica(base_url)
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
