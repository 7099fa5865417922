"""The house's lane: titles and summaries are made in a worker's spare moments, a few at once, never before a person.

Work is claimed only while a model has slots to spare beyond the queue's reserve, or while nobody waits for it. A
failure is put off (inference.house_work); a worker that stops gives its claims back.
"""

import asyncio
from datetime import timedelta
from typing import Final, NoReturn

import structlog

from app import summarising, titling
from app.context import App
from inference import house_work
from inference.errors import NoReplica
from inference.house_work import Work
from inference.vllm import VllmClient
from kit.errors import Unavailable
from kit.observability import house_calls_total
from kit.tasks import cleanly

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
AWAY_S: Final = 5.0
CLOSE_WITHIN_S: Final = 3.0
FULL_FOR: Final = timedelta(seconds=10)
"""How long work waits whose model has no server free after all."""


_DO: Final = {"title": titling.entitle, "summary": summarising.summarise}


class HouseLane:
    """Owns the tasks of one worker that work for the house, at most settings.house_calls at once."""

    def __init__(self, app: App, vllm: VllmClient) -> None:
        self._app, self._vllm = app, vllm
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled; then give back what is claimed."""
        try:
            await self._keep_looking()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=CLOSE_WITHIN_S)

    async def _keep_looking(self) -> NoReturn:
        away = False
        while True:
            try:
                await self._look()
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("house_lane_waits", what=error.what)
                away = True
            await asyncio.sleep(AWAY_S if away else LOOK_EVERY_S)

    async def _look(self) -> None:
        app, room = self._app, self._app.settings.house_calls - len(self._tasks)
        if room <= 0:
            return
        async with app.db.read() as connection:
            if not await house_work.any_due(connection, now=app.clock.now()):
                return
        if not await self._nobody_is_kept():
            return
        async with app.db.transaction() as tx:
            claimed = await house_work.claim(tx, now=app.clock.now(), limit=room)
        for work in claimed:
            task = asyncio.create_task(self._do(work), name=f"house-{work.kind}-{work.dialog_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _nobody_is_kept(self) -> bool:
        """Tell whether a call of the house takes no slot that a person could want in the next moment."""
        for fair in list(self._app.queues.values()):
            state = await fair.snapshot()
            spare = state.free - len(self._tasks)
            if spare <= 0 or (state.waiting and spare <= state.reserve):
                return False
        return True

    async def _do(self, work: Work) -> None:
        try:
            await _DO[work.kind](self._app, self._vllm, work)
            outcome = "done"
        except asyncio.CancelledError:
            await cleanly(self._give_back(work, timedelta()))
            raise
        except NoReplica:
            await self._give_back(work, FULL_FOR)
            return
        except Exception as error:
            outcome = "failed"
            await self._failed(work, error)
        house_calls_total.labels(kind=work.kind, outcome=outcome).inc()

    async def _failed(self, work: Work, error: Exception) -> None:
        fields = {"kind": work.kind, "dialog": work.dialog_id, "tries": work.tries}
        if isinstance(error, Unavailable):
            log.warning("house_call_failed", **fields, what=error.what, reason=error.detail)
        else:
            log.error("house_call_crashed", **fields, exc_info=error)
        try:
            async with self._app.db.transaction() as tx:
                await house_work.failed(tx, work, now=self._app.clock.now())
        except Unavailable as second:  # the claim lapses by itself
            log.warning("house_call_not_put_off", what=second.what)

    async def _give_back(self, work: Work, pause: timedelta) -> None:
        try:
            async with self._app.db.transaction() as tx:
                await house_work.give_back(tx, work, due_at=self._app.clock.now() + pause)
        except Unavailable as error:
            log.warning("house_call_not_given_back", what=error.what)
