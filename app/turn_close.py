"""Close: the one transaction that ends a turn — answer, settlement, delivery, and the next turn of its dialog.

Every path ends here: the worker with an answer or a failure, /stop, the sweeper. A turn that is closed already, or
whose lease belongs to another worker, is left alone and None is returned: the caller discards what it has.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import persons, plan_limits
from app.context import App
from app.turn_accept import COURTESY_TOKENS_MAX, open_for_waiting, queue, with_next_tokens
from billing import allowance, entitlements, holds, lots
from billing.holds import Settlement
from inference import dialogs, house_work, turns
from inference.turns import Outcome, Turn
from kit import ids, outbox, signals
from kit.errors import InsufficientTokens
from kit.observability import billed_tokens_total, tokens_total, turn_s, turns_total

log = structlog.get_logger(__name__)

# One warning when a fifth is left; beyond LOW_LOOK_TOKENS nobody is near it and the lots need not be read.
LOW_FRACTION = 5
LOW_LOOK_TOKENS = 2_000_000
# How vLLM says that an answer came to its bound.
CUT = "length"


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closing did; `opened` is the dialog's next turn, to be queued after the commit."""

    turn: Turn
    outcome: Outcome
    opened: Turn | None


async def answered(
    app: App, tx: AsyncConnection, turn: Turn, *, text: str, outcome: Outcome, fence: int, thoughts: str = ""
) -> Closed | None:
    """End a turn with an answer (whole or stopped by its person): settle, store, put the delivery into the outbox."""
    now = app.clock.now()
    dialog = await dialogs.lock(tx, turn.dialog_id)
    billed = turn.cost(
        input_tokens=outcome.input_tokens, cached_tokens=outcome.cached_tokens, output_tokens=outcome.output_tokens
    )
    settlement = await holds.settle(tx, turn_id=turn.id, tokens=billed, now=now, courtesy_max=COURTESY_TOKENS_MAX)
    if settlement is None:
        return None
    outcome = replace(outcome, billed_tokens=settlement.charged, courtesy_tokens=settlement.courtesy)
    if not await turns.close(tx, turn.id, outcome, fence=fence, now=now):
        raise Discarded
    _count(turn, outcome, now)
    if dialog.deleted:  # while it was written: it is paid for, and nobody wants it
        return Closed(turn, outcome, None)
    await dialogs.add_answer(
        tx,
        dialog_id=turn.dialog_id,
        turn_id=turn.id,
        chat_id=turn.chat_id,
        text=text,
        thoughts=thoughts or None,
        now=now,
    )
    await outbox.add(
        tx,
        kind=outbox.ANSWER,
        chat_id=turn.chat_id,
        turn_id=turn.id,
        dedup_key=f"answer:{turn.id}",
        payload={
            "status": outcome.status,
            "finish_reason": outcome.finish_reason,
            "billed": settlement.charged,
            "courtesy": settlement.courtesy,
            "available": settlement.available_after,
            **await _wallet_notes(tx, turn.person_id, settlement, now),
            **(await plan_limits.more_answer(app, tx, turn) if outcome.finish_reason == CUT else {}),
        },
        now=now,
    )
    if not dialog.titled and not turn.in_group:  # nobody lists a group's dialogs
        await house_work.want(tx, dialog_id=turn.dialog_id, kind="title", now=now)
    return Closed(turn, outcome, await _next_turn(app, tx, turn, now))


async def _wallet_notes(tx: AsyncConnection, person_id: int, settlement: Settlement, now: datetime) -> dict[str, int]:
    """Return what is said below the answer: after a courtesy, or as a warning at a fifth left, and when more come."""
    after = settlement.available_after
    if settlement.courtesy:
        return await _next_tokens(tx, person_id, now)
    if after > LOW_LOOK_TOKENS:
        return {}
    granted = sum(lot.granted for lot in await lots.live(tx, person_id=person_id))
    # Said by the answer that crosses the line, so once on the way down.
    crossed = after * LOW_FRACTION <= granted < (after + settlement.charged) * LOW_FRACTION
    if not (crossed and after):
        return {}
    return {"low_percent": 100 * after // granted, **await _next_tokens(tx, person_id, now)}


async def _next_tokens(tx: AsyncConnection, person_id: int, now: datetime) -> dict[str, int]:
    entitlement = await entitlements.current(tx, person_id=person_id, now=now)
    if not entitlement.daily_tokens:
        return {}
    return {"next_s": int((allowance.renews_at(now) - now).total_seconds())}


async def failed(
    app: App,
    tx: AsyncConnection,
    turn: Turn,
    *,
    reason: str,
    notice: str = "error-failed",
    args: dict[str, object] | None = None,
    fence: int | None = None,
) -> Closed | None:
    """End a turn without an answer: the hold is released and the person told, with an error code and a retry.

    `args` are what `notice` says instead of the code.
    """
    now = app.clock.now()
    dialog = await dialogs.lock(tx, turn.dialog_id)
    code = ids.error_code()
    outcome = Outcome(status=turns.FAILED, error_code=code, error=reason)
    if not await turns.close(tx, turn.id, outcome, fence=fence, now=now):
        return None
    await holds.release(tx, turn_id=turn.id, now=now)
    if not dialog.deleted:
        await _notice(tx, turn, notice, {"code": code} if args is None else args, now)
    opened = await _next_turn(app, tx, turn, now)
    _count(turn, outcome, now)
    log.warning("turn_failed", turn=turn.id, person=turn.person_id, code=code, reason=reason)
    return Closed(turn, outcome, opened)


async def stopped_empty(app: App, tx: AsyncConnection, turn: Turn, *, fence: int | None = None) -> Closed | None:
    """End a turn that its person stopped before there was any text: nothing is charged."""
    now = app.clock.now()
    dialog = await dialogs.lock(tx, turn.dialog_id)
    outcome = Outcome(status=turns.STOPPED, finish_reason="stopped")
    if not await turns.close(tx, turn.id, outcome, fence=fence, now=now):
        return None
    await holds.release(tx, turn_id=turn.id, now=now)
    if not dialog.deleted:
        await _notice(tx, turn, "stopped-in-queue", {}, now)
    opened = await _next_turn(app, tx, turn, now)
    _count(turn, outcome, now)
    return Closed(turn, outcome, opened)


class Discarded(Exception):
    """The turn went to another holder between settlement and close; rolls the transaction back."""


async def _notice(tx: AsyncConnection, turn: Turn, key: str, args: dict[str, object], now: datetime) -> None:
    await outbox.add(
        tx,
        kind=outbox.NOTICE,
        chat_id=turn.chat_id,
        turn_id=turn.id,
        dedup_key=f"{key}:{turn.id}",
        payload={"notice": key, "args": args},
        now=now,
    )


async def after(app: App, closed: Closed | None) -> None:
    """Do what follows the commit of a closing: queue the dialog's next turn, and look at the person's other dialogs.

    Those may have waited for this turn's hold. They come in transactions of their own: holding two dialogs' locks at
    once could deadlock with a closing of the other. What a crash cuts off here, the sweeper does.
    """
    await signals.send(app.redis, signals.OUTBOX)
    if closed is None:
        return
    took = closed.outcome.billed_tokens + closed.outcome.courtesy_tokens
    await plan_limits.true_up(app, closed.turn, took)
    if closed.opened:
        await queue(app, closed.opened)
    async with app.db.read() as connection:
        others = await dialogs.with_waiting(connection, person_id=closed.turn.person_id, but=closed.turn.dialog_id)
    for dialog_id, chat_id in others:
        await open_abandoned(app, dialog_id=dialog_id, chat_id=chat_id, person_id=closed.turn.person_id)


async def open_abandoned(app: App, *, dialog_id: int, chat_id: int, person_id: int) -> None:
    """Open and queue a turn over messages that wait in a dialog without an open turn."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        opened = await open_next(app, tx, dialog_id=dialog_id, chat_id=chat_id, person_id=person_id, now=now)
    if opened:
        await queue(app, opened)


async def _next_turn(app: App, tx: AsyncConnection, turn: Turn, now: datetime) -> Turn | None:
    return await open_next(app, tx, dialog_id=turn.dialog_id, chat_id=turn.chat_id, person_id=turn.person_id, now=now)


async def open_next(
    app: App, tx: AsyncConnection, *, dialog_id: int, chat_id: int, person_id: int, now: datetime
) -> Turn | None:
    """Open a turn over a dialog's waiting messages if it has none; tells the person when tokens have run out.

    In a group it is the turn of whoever has waited longest and can pay.
    """
    await dialogs.lock(tx, dialog_id)
    if await turns.open_of_dialog(tx, dialog_id):
        return None
    for payer_id in await dialogs.waiting_authors(tx, dialog_id) if chat_id < 0 else [person_id]:
        opened = await _open_for(app, tx, dialog_id=dialog_id, chat_id=chat_id, person_id=payer_id, now=now)
        if opened:
            return opened
    return None


async def _open_for(
    app: App, tx: AsyncConnection, *, dialog_id: int, chat_id: int, person_id: int, now: datetime
) -> Turn | None:
    waiting = await dialogs.waiting(tx, dialog_id, author_id=person_id)
    person = await persons.find(tx, person_id=person_id)
    if not waiting.ids or person is None:
        return None
    entitlement = await entitlements.current(tx, person_id=person_id, now=now)
    try:
        async with tx.begin_nested():
            return await open_for_waiting(
                app,
                tx,
                dialog_id=dialog_id,
                person=person,
                chat_id=chat_id,
                entitlement=entitlement,
                admit_key=f"{plan_limits.UNCOUNTED}{waiting.ids[0]}",
                ready_at=now,
                now=now,
            )
    except InsufficientTokens as error:
        if not error.reserved:
            error = with_next_tokens(error, entitlement, now)
            payload: dict[str, object] = {"notice": error.code, "args": error.params}
            if chat_id < 0:
                # Nobody in a group waits for one person's tokens: they are told, alone, and may ask again.
                payload["person_id"] = person_id
                await dialogs.drop_waiting(tx, waiting.ids)
            await outbox.add(
                tx,
                kind=outbox.NOTICE,
                chat_id=chat_id,
                dedup_key=f"waiting-unpaid:{waiting.ids[0]}",
                payload=payload,
                now=now,
            )
        return None


def _count(turn: Turn, outcome: Outcome, now: datetime) -> None:
    turns_total.labels(status=outcome.status).inc()
    turn_s.observe(max(0.0, (now - turn.created_at).total_seconds()))
    billed_tokens_total.inc(outcome.billed_tokens)
    tokens_total.labels(kind="input").inc(outcome.input_tokens)
    tokens_total.labels(kind="cached").inc(outcome.cached_tokens)
    tokens_total.labels(kind="output").inc(outcome.output_tokens)
