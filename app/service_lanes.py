"""What follows from service orders: in which lane a turn waits, and what a maintenance window keeps back.

In maintenance a new question is accepted with its hold and kept: it is not in the queue, and its person is told once
for each window. What waits in the queue is taken out of it, what runs is finished. When the window ends, the sweep
finds turns that the queue does not know, and queues them. The slow lane is a quarter of the plan's weight and one
answer at a time.
"""

import asyncio
from typing import Final, NoReturn

import structlog

from app import service_orders
from app.alerts import alert
from app.context import App
from app.service_orders import Order
from inference import turns
from inference.turns import Turn
from kit import outbox, signals
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

# Weights in the queue are quarters of a plan's, so that the slow lane's is whole.
WEIGHT_PARTS: Final = 4
SLOW_IN_FLIGHT: Final = 1
# A signal may be lost with Redis.
LOOK_EVERY_S: Final = 5.0
PAGE_MAX: Final = 500
TOLD_MAX: Final = 500
NOTICE: Final = "service-maintenance"
_OVER: Final = {"maintenance": "admin-alert-maintenance-over", "slow": "admin-alert-slow-over"}


def lane(app: App, turn: Turn) -> tuple[int, int]:
    """Return the weight and the most answers in flight with which a turn waits now."""
    if app.service.slow(person_id=turn.person_id, model=turn.model, now=app.clock.now()):
        return turn.weight, SLOW_IN_FLIGHT
    return turn.weight * WEIGHT_PARTS, turn.in_flight_max


def kept_by(app: App, turn: Turn) -> Order | None:
    """Return the maintenance window that keeps a turn out of the queue now."""
    return app.service.maintenance(person_id=turn.person_id, model=turn.model, now=app.clock.now())


async def tell(app: App, kept: list[Turn], order: Order) -> None:
    """Tell the chats of turns that are kept back until when about; once for each window."""
    now = app.clock.now()
    left_s = max(60, int((order.until - now).total_seconds()))
    async with app.db.transaction() as tx:
        for turn in kept:
            await outbox.add(
                tx,
                kind=outbox.NOTICE,
                chat_id=turn.chat_id,
                payload={"notice": NOTICE, "args": {"left_s": left_s}},
                dedup_key=f"maintenance:{order.id}:{turn.chat_id}",
                now=now,
            )
    await signals.send(app.redis, signals.OUTBOX)


async def follow(app: App) -> NoReturn:
    """Keep the process's orders as the database has them, until cancelled."""
    listener = signals.Listener(app.redis, [signals.SERVICE])
    changed = listener.events[signals.SERVICE]

    async def read() -> NoReturn:
        while True:
            changed.clear()
            try:
                await reload(app)
            except Unavailable as error:
                log.warning("orders_unreadable", what=error.what)
            await signals.wait(changed, LOOK_EVERY_S)

    async with asyncio.TaskGroup() as parts:
        parts.create_task(listener.run(), name="orders-listener")
        parts.create_task(read(), name="orders")
    raise AssertionError("neither ends by itself")


async def reload(app: App) -> None:
    """Read the orders anew in this process."""
    async with app.db.read() as connection:
        await app.service.reload(connection, app.clock.now())


async def changed(app: App) -> None:
    """Tell every process that an order has begun or ended; called after the commit, by whoever made it."""
    await reload(app)
    await signals.send(app.redis, signals.SERVICE)
    try:
        await app.jobs.enqueue("follow_service")
    except Unavailable as error:  # the sweep does it within seconds
        log.warning("orders_not_followed", what=error.what)


async def settle(app: App) -> None:
    """Put tickets that wait where the orders of this moment want them. Idempotent. Raises Unavailable."""
    after: Turn | None = None
    while True:
        async with app.db.read() as connection:
            page = await turns.unstarted(connection, person_id=None, model=None, limit=PAGE_MAX, after=after)
        for turn in page:
            fair = app.queues.get(turn.model)
            if fair is None:
                continue
            if kept_by(app, turn):
                await fair.withdraw(turn.id)
            else:
                weight, in_flight = lane(app, turn)
                await fair.move(turn.id, weight=weight, in_flight_max=in_flight)
        if len(page) < PAGE_MAX:
            return
        after = page[-1]


async def tell_kept(app: App) -> None:
    """Tell whoever has a kept question and has not heard of the window: the process that kept it may have died."""
    now = app.clock.now()
    for order in app.service.on(now):
        if order.kind != "maintenance":
            continue
        async with app.db.read() as connection:
            kept = await turns.unstarted(connection, person_id=order.person_id, model=order.model, limit=TOLD_MAX)
            keys = [f"maintenance:{order.id}:{turn.chat_id}" for turn in kept]
            known = await outbox.known(connection, keys)
        untold = [
            turn for turn, key in zip(kept, keys, strict=True) if key not in known and kept_by(app, turn) == order
        ]
        if untold:
            await tell(app, untold, order)


async def expire(app: App) -> None:
    """Note the end of orders whose time is over, and tell the operator."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        for order in await service_orders.expire(tx, now=now):
            await alert(app, tx, _OVER[order.kind], {"whom": order.subject.named}, now=now)
