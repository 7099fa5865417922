"""The arq functions: what is due later, and schedules. Each may run more than once, or be lost, without harm."""

import contextlib
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from arq.cron import CronJob, cron

from app import (
    card_renewals,
    housekeeping,
    reconcile_roubles,
    rouble_payments,
    rouble_receipts,
    rouble_refunds,
    turn_sweep,
    watch,
)
from app import reconcile_stars as stars
from app.context import App
from app.turn_accept import queue
from inference import turns
from kit import ids
from kit.errors import Unavailable
from kit.observability import jobs_total

log = structlog.get_logger(__name__)

Job = Callable[..., Coroutine[Any, Any, None]]

SWEEP_EVERY_S = 5


async def queue_turn(ctx: dict[str, Any], turn_id: int) -> None:
    """A turn that gathered parts of a message may be ready; if parts came meanwhile, it is looked at again."""
    app: App = ctx["app"]
    async with app.db.read() as connection:
        turn = await turns.find(connection, turn_id)
    if turn and turn.status == turns.OPEN and not turn.started:
        await queue(app, turn)


async def follow_yookassa(ctx: dict[str, Any]) -> None:
    """Notifications of YooKassa have come."""
    await rouble_payments.heed(ctx["app"])


async def roubles(ctx: dict[str, Any]) -> None:
    """Payments, refunds and receipts in roubles whose outcome is open, and cards that are to be charged.

    What is wrong with one of them holds up no other; the first such error is raised in the end.
    """
    errors: list[Exception] = []
    for part in (rouble_payments.sweep, card_renewals.sweep, rouble_refunds.sweep, rouble_receipts.sweep):
        try:
            await part(ctx["app"])
        except Exception as error:
            log.exception("sweep_failed", part=part.__module__)
            errors.append(error)
    if errors:
        raise errors[0]


async def send_refunds(ctx: dict[str, Any]) -> None:
    """A refund in roubles was just written down."""
    await rouble_refunds.sweep(ctx["app"])


async def follow_service(ctx: dict[str, Any]) -> None:
    """The operator has begun or ended a slow lane or a maintenance window."""
    await turn_sweep.follow_service(ctx["app"])


async def sweep(ctx: dict[str, Any]) -> None:
    """Every few seconds: bring back what crashes left undone."""
    await turn_sweep.sweep(ctx["app"])


async def every_minute(ctx: dict[str, Any]) -> None:
    """Periods and lots that have ended."""
    await housekeeping.minute(ctx["app"])


async def look(ctx: dict[str, Any]) -> None:
    """What the operator must hear of."""
    app: App = ctx["app"]
    await watch.look(app)
    for name in FREQUENT:
        await watch.job_done(app, name, quiet=watch.JOB_QUIET)


async def every_hour(ctx: dict[str, Any]) -> None:
    """Invariants, and deletion of rows that hold people's words longer than needed."""
    await housekeeping.hour(ctx["app"])


async def reconcile_stars(ctx: dict[str, Any], cause: stars.Cause = "schedule") -> None:
    """Every day, and when the bot has read Telegram's list on: what it has and we do not, and the other way round."""
    await stars.run(ctx["app"], cause=cause)


async def roubles_reconciled(ctx: dict[str, Any]) -> None:
    """Every day: YooKassa's lists beside the books."""
    await reconcile_roubles.scheduled(ctx["app"])


def _told(job: Job) -> Job:
    """Return the job with its failures told: each is there to be repeated, so none ends anything else."""

    @functools.wraps(job)
    async def run(ctx: dict[str, Any], *args: Any) -> None:
        app, name = ctx["app"], job.__name__
        try:
            await job(ctx, *args)
        except Exception as error:
            code = ids.error_code()
            log.exception("job_failed", job=name, code=code)
            jobs_total.labels(job=name, outcome="failed").inc()
            passing = isinstance(error, (Unavailable, OSError))
            with contextlib.suppress(Unavailable):  # what cannot be written stands in the log
                await watch.job_failed(app, name, code, passing=passing)
            return
        jobs_total.labels(job=name, outcome="done").inc()
        if name not in FREQUENT:
            await watch.job_done(app, name)

    return run


# These run for messages: that they work again shows by their silence, not by a look into the database each time.
FREQUENT = (queue_turn.__name__,)
FUNCTIONS = (
    _told(queue_turn),
    _told(reconcile_stars),
    _told(follow_yookassa),
    _told(send_refunds),
    _told(follow_service),
)


def schedules() -> list[CronJob]:
    """Return the schedules; arq runs each once over all workers."""
    return [
        cron(_told(sweep), second=set(range(0, 60, SWEEP_EVERY_S)), max_tries=1, keep_result=0, timeout=30),
        cron(_told(every_minute), second={7}, max_tries=1, keep_result=0),
        cron(_told(look), second={37}, max_tries=1, keep_result=0),
        cron(_told(roubles), second={47}, max_tries=1, keep_result=0),
        cron(_told(every_hour), minute={13}, second={21}, max_tries=1, keep_result=0),
        cron(_told(reconcile_stars), hour={3}, minute={41}, second={11}, max_tries=1, keep_result=0),
        cron(_told(roubles_reconciled), hour={3}, minute={51}, second={11}, max_tries=1, keep_result=0),
    ]
