"""Sweep: what crashes, lost wake-ups and a lost Redis left undone is found in Postgres and done.

Every step is idempotent and bounded, and may run in several workers at once.
"""

from datetime import timedelta

import structlog
from redis.exceptions import RedisError

from app import service_lanes, turn_close
from app.context import App
from app.turn_accept import queue
from inference import dialogs, turns
from inference.queue.ticket import Reaped
from inference.turns import Turn
from kit import signals
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

TURNS_MAX = 500
DIALOGS_MAX = 100
# A turn is normally queued within milliseconds of its commit; one that is not after this long was forgotten.
OVERDUE = timedelta(seconds=5)
ABANDONED = timedelta(seconds=10)
EPOCH_KEY = "forma:epoch"


async def sweep(app: App) -> None:
    """Take expired leases back, queue open turns that no queue knows, open turns for messages that were left."""
    try:
        for group in list(app.queues):
            await _reap(app, group)
        if app.service.unsettled(app.clock.now()):
            await service_lanes.settle(app)
        if await _redis_is_settled(app):
            await _requeue_forgotten(app)
    except (Unavailable, RedisError, OSError) as error:
        log.warning("sweep_cut_short", error=type(error).__name__)
    await _open_abandoned(app)
    await service_lanes.tell_kept(app)


async def follow_service(app: App) -> None:
    """An order began or ended: move what waits, and queue at once what a window no longer keeps. Raises Unavailable."""
    await service_lanes.reload(app)
    await service_lanes.settle(app)
    if await _redis_is_settled(app):
        await _requeue_forgotten(app)


async def _reap(app: App, group: str) -> None:
    reaped: Reaped = await app.queues[group].reap()
    for dead in reaped.dead:
        async with app.db.transaction() as tx:
            turn = await turns.find(tx, dead.turn_id)
            closed = turn and await turn_close.failed(app, tx, turn, reason="workers died or hung")
        await turn_close.after(app, closed or None)
    if reaped.requeued:
        log.warning("leases_expired", group=group, requeued=len(reaped.requeued), dead=len(reaped.dead))
    if reaped.wakeups:
        await signals.send(app.redis, signals.TURNS)


async def _redis_is_settled(app: App) -> bool:
    """Tell whether Redis has been up, with its data, for at least one lease.

    After a loss, running workers take their leases up again with the next renewal; pushing their turns into the queue
    before that would have them answered twice.
    """
    seconds, micros = await app.redis.time()
    now_us = seconds * 1_000_000 + micros
    if await app.redis.set(EPOCH_KEY, now_us, nx=True):
        log.warning("redis_is_new")
    since_us = int(await app.redis.get(EPOCH_KEY) or now_us)
    lease_us = max(fair.config.lease_s for fair in app.queues.values()) * 1_000_000
    return bool(now_us - since_us > lease_us)


async def _requeue_forgotten(app: App) -> None:
    """Queue overdue turns that no queue knows, but for those that a maintenance window keeps."""
    windows = [order for order in app.service.on(app.clock.now()) if order.kind == "maintenance"]
    if any(order.subject.about == "everybody" for order in windows):
        return
    page: list[Turn] = []
    while True:
        async with app.db.read() as connection:
            page = await turns.overdue(
                connection,
                before=app.clock.now() - OVERDUE,
                limit=TURNS_MAX,
                after=page[-1] if page else None,
                but_persons=[order.person_id for order in windows if order.person_id is not None],
                but_models=[order.model for order in windows if order.model is not None],
            )
        for turn in page:
            await _requeue(app, turn)
        if len(page) < TURNS_MAX:
            return


async def _requeue(app: App, turn: Turn) -> None:
    fair = app.queues.get(turn.model)
    if fair is None:
        async with app.db.transaction() as tx:
            closed = await turn_close.failed(app, tx, turn, reason=f"model {turn.model} is gone")
        await turn_close.after(app, closed)
    elif not await fair.known(turn.id):
        log.warning("turn_requeued", turn=turn.id)
        await queue(app, turn)


async def _open_abandoned(app: App) -> None:
    async with app.db.read() as connection:
        left = await dialogs.abandoned(connection, before=app.clock.now() - ABANDONED, limit=DIALOGS_MAX)
    for dialog_id, chat_id, person_id in left:
        try:
            await turn_close.open_abandoned(app, dialog_id=dialog_id, chat_id=chat_id, person_id=person_id)
        except Unavailable as error:
            log.warning("abandoned_not_opened", dialog=dialog_id, what=error.what)
