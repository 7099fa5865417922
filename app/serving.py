"""The serving pool: a worker process's running turns. It claims while it has room and something is due."""

import asyncio
import contextlib

import structlog

from app import turn_close
from app.context import App
from app.turn_serve import serve
from inference import turns
from inference.flusher import Flusher
from inference.queue.ticket import Claim, Expired
from inference.vllm import VllmClient
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

# Wake-ups may be lost with Redis; looking costs one script call a model and second.
LOOK_EVERY_S = 1.0
CLOSE_WITHIN_S = 3.0


class ServingPool:
    """Owns the tasks that serve turns. `wake` is cheap and may be called by anybody at any time."""

    def __init__(self, app: App, vllm: VllmClient) -> None:
        self._app = app
        self._vllm = vllm
        self._flusher = Flusher(app.redis)
        self._tasks: set[asyncio.Task[None]] = set()
        self._claiming: dict[str, asyncio.Lock] = {group: asyncio.Lock() for group in app.queues}
        self._due: set[str] = set()
        self._closing = False

    async def run(self) -> None:
        """Keep leases alive and look for work now and then, until cancelled; then give all claims back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._flusher.run(), name="flusher")
                group.create_task(self._look(), name="serving-look")
        finally:
            await self._close()

    async def wake(self, group: str) -> None:
        """Claim and serve what is due in a model group, while this worker has room."""
        self._due.add(group)
        if self._claiming[group].locked():
            return  # whoever claims now sees `_due` and looks once more
        async with self._claiming[group]:
            while group in self._due and not self._closing:
                self._due.discard(group)
                await self._claim_all(group)

    async def _claim_all(self, group: str) -> None:
        fair = self._app.queues[group]
        while len(self._tasks) < self._app.settings.worker_slots and not self._closing:
            claimed = await fair.claim()
            for expired in claimed.expired:
                await self._expire(expired)
            if claimed.claim is None:
                return
            task = asyncio.create_task(self._serve(claimed.claim, group), name=f"turn-{claimed.claim.turn_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, claim: Claim, group: str) -> None:
        try:
            await serve(self._app, group, claim, flusher=self._flusher, vllm=self._vllm)
        except Unavailable as error:
            # The turn's row is as it was: its lease expires and the sweeper brings it back.
            log.warning("serve_unavailable", turn=claim.turn_id, what=error.what)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("serve_crashed", turn=claim.turn_id)
            await self._fail_crashed(claim)
        finally:
            if not self._closing:
                waker = asyncio.create_task(self._wake_quietly(group))
                self._tasks.add(waker)
                waker.add_done_callback(self._tasks.discard)

    async def _wake_quietly(self, group: str) -> None:
        try:
            await self.wake(group)
        except Unavailable as error:
            log.warning("wake_unavailable", group=group, what=error.what)

    async def _fail_crashed(self, claim: Claim) -> None:
        """A bug while serving: the person is told, the operator alerted by the log and the failed turn."""
        try:
            async with self._app.db.transaction() as tx:
                turn = await turns.find(tx, claim.turn_id)
                closed = turn and await turn_close.failed(self._app, tx, turn, reason="internal error")
            await turn_close.after(self._app, closed or None)
        except Exception:
            log.exception("fail_crashed_failed", turn=claim.turn_id)

    async def _expire(self, expired: Expired) -> None:
        """Tell a person whose turn waited past its deadline."""
        async with self._app.db.transaction() as tx:
            turn = await turns.find(tx, expired.turn_id)
            closed = turn and await turn_close.failed(self._app, tx, turn, reason="waited too long")
        await turn_close.after(self._app, closed or None)

    async def _look(self) -> None:
        while True:
            for group in self._app.queues:
                await self._wake_quietly(group)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _close(self) -> None:
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(tasks, timeout=CLOSE_WITHIN_S)
