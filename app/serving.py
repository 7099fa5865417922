"""The serving pool: a worker process's running turns. It claims while it has room and something is due."""

import asyncio
import contextlib
from typing import NoReturn

import structlog

from app import turn_close
from app.context import App
from app.turn_serve import NOTHING_USED, serve
from inference import turns
from inference.flusher import Flusher
from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, Claimed, Expired
from inference.vllm import VllmClient
from kit import signals
from kit.errors import Unavailable
from kit.tasks import cleanly

log = structlog.get_logger(__name__)

# A signal may be lost with Redis. Looking costs one script call for each model.
LOOK_EVERY_S = 0.25
CLOSE_WITHIN_S = 3.0


class ServingPool:
    """Owns the tasks that serve turns. It looks for work when signals.TURNS says so, when a turn of its own ends, and
    every LOOK_EVERY_S.
    """

    def __init__(self, app: App, vllm: VllmClient) -> None:
        self._app = app
        self._vllm = vllm
        self._flusher = Flusher(app.redis)
        self._turns: set[asyncio.Task[None]] = set()
        self._listener = signals.Listener(app.redis, [signals.TURNS])
        self._due = self._listener.events[signals.TURNS]
        self._away = False

    async def run(self) -> None:
        """Claim and serve until cancelled; then give all claims back."""
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._flusher.run(), name="flusher")
                parts.create_task(self._listener.run(), name="turns-listener")
                parts.create_task(self._keep_claiming(), name="claims")
        finally:
            await self._close()

    async def _keep_claiming(self) -> NoReturn:
        while True:
            self._due.clear()
            again_s = LOOK_EVERY_S
            try:
                for group in list(self._app.queues):
                    again_s = min(again_s, await self._claim_all(group))
                self._away = False
            except Unavailable as error:
                if not self._away:
                    log.warning("claiming_unavailable", what=error.what)
                self._away = True
            await signals.wait(self._due, again_s)

    async def _claim_all(self, group: str) -> float:
        """Claim what there is room for; returns after how many seconds to look again, whatever happens until then."""
        while len(self._turns) < self._app.settings.worker_slots:
            claimed = await self._claim(self._app.queues[group])
            if claimed.claim:
                self._begin(claimed.claim, group)
            for expired in claimed.expired:
                await self._expire(expired)
            if claimed.claim is None:
                return claimed.again_s or LOOK_EVERY_S
        return LOOK_EVERY_S

    async def _claim(self, fair: FairQueue) -> Claimed:
        """Claim. A worker that is stopped meanwhile gives back what Redis has handed it already."""
        claiming = asyncio.ensure_future(fair.claim())
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await cleanly(self._return(fair, claiming))
            raise

    @staticmethod
    async def _return(fair: FairQueue, claiming: "asyncio.Future[Claimed]") -> None:
        with contextlib.suppress(Unavailable):
            if claim := (await claiming).claim:
                await fair.requeue(claim)

    def _begin(self, claim: Claim, group: str) -> None:
        turn = asyncio.create_task(self._serve(claim, group), name=f"turn-{claim.turn_id}")
        self._turns.add(turn)
        turn.add_done_callback(self._ended)

    def _ended(self, turn: "asyncio.Task[None]") -> None:
        """There is room again, at the model and in this worker."""
        self._turns.discard(turn)
        self._due.set()

    async def _serve(self, claim: Claim, group: str) -> None:
        try:
            await serve(self._app, group, claim, flusher=self._flusher, vllm=self._vllm)
        except Unavailable as error:
            # The turn's row is as it was: its lease expires and the sweeper brings it back.
            log.warning("serve_unavailable", turn=claim.turn_id, what=error.what)
        except Exception:
            log.exception("serve_crashed", turn=claim.turn_id)
            await self._fail_crashed(claim, group)

    async def _fail_crashed(self, claim: Claim, group: str) -> None:
        """A bug while serving: the person is told, the operator alerted by the log and the failed turn."""
        try:
            if await self._fail(claim.turn_id, "internal error", fence=claim.fence):
                await self._app.queues[group].finish(claim, NOTHING_USED)
        except Exception:
            log.exception("fail_crashed_failed", turn=claim.turn_id)

    async def _expire(self, expired: Expired) -> None:
        """Tell a person whose turn waited past its deadline; if Postgres is away the sweeper finds the turn."""
        try:
            await self._fail(expired.turn_id, "waited too long")
        except Unavailable as error:
            log.warning("expiry_untold", turn=expired.turn_id, what=error.what)

    async def _fail(self, turn_id: int, reason: str, *, fence: int | None = None) -> bool:
        async with self._app.db.transaction() as tx:
            turn = await turns.find(tx, turn_id)
            closed = await turn_close.failed(self._app, tx, turn, reason=reason, fence=fence) if turn else None
        await turn_close.after(self._app, closed)
        return closed is not None

    async def _close(self) -> None:
        ending = list(self._turns)
        for turn in ending:
            turn.cancel()
        if ending:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(ending, timeout=CLOSE_WITHIN_S)
