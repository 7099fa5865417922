"""The arq functions: wake-ups and schedules. Each may run more than once, and each could be lost without harm."""

from typing import Any

import structlog
from arq.cron import CronJob, cron

from app import housekeeping, turn_sweep, watch
from app.context import App
from app.serving import ServingPool
from app.turn_accept import queue
from inference import turns

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 5


async def serve(ctx: dict[str, Any], group: str) -> None:
    """Something may be due in a model group. Names no turn: the fair queue decides which."""
    pool: ServingPool = ctx["pool"]
    pool.wake(group)


async def queue_turn(ctx: dict[str, Any], turn_id: int) -> None:
    """A turn that gathered parts of a message may be ready; if parts came meanwhile, it is looked at again."""
    app: App = ctx["app"]
    async with app.db.read() as connection:
        turn = await turns.find(connection, turn_id)
    if turn and turn.status == turns.OPEN and not turn.started:
        await queue(app, turn)


async def sweep(ctx: dict[str, Any]) -> None:
    """Every few seconds: bring back what crashes left undone."""
    await turn_sweep.sweep(ctx["app"])


async def every_minute(ctx: dict[str, Any]) -> None:
    """Periods and lots that have ended; what the operator must hear of."""
    await housekeeping.minute(ctx["app"])
    await watch.look(ctx["app"])


async def every_hour(ctx: dict[str, Any]) -> None:
    """Invariants, and deletion of rows that hold people's words longer than needed."""
    await housekeeping.hour(ctx["app"])


FUNCTIONS = (serve, queue_turn)


def schedules() -> list[CronJob]:
    """Return the schedules; arq runs each once over all workers."""
    return [
        cron(sweep, second=set(range(0, 60, SWEEP_EVERY_S)), max_tries=1, keep_result=0, timeout=30),
        cron(every_minute, second={7}, max_tries=1, keep_result=0),
        cron(every_hour, minute={13}, second={21}, max_tries=1, keep_result=0),
    ]
