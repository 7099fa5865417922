"""Serve: a worker answers the turn of one claim — prompt, stream, settlement — and gives the claim back.

The claim's lease is renewed by the flusher. Whatever goes wrong, the turn ends in one of the closings, or goes back
into the queue: a worker that stops requeues without spending a try, a lease that expires is reaped by the sweeper.
"""

import asyncio
import contextlib
from dataclasses import replace

import structlog

from app import persons, plan_limits, turn_close, turn_preview
from app.context import App
from app.generation import FINISH_STOPPED, Generated, Started, generate
from app.turn_close import Closed
from inference import dialogs, history, house_work, prompt, rework, summaries, turns
from inference.errors import ModelError
from inference.errors import PromptTooLong as ServerPromptTooLong
from inference.flusher import Flusher, Stream
from inference.models import Model
from inference.prompt import PromptTooLong
from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim
from inference.queue.ticket import Usage as QueueUsage
from inference.turns import Outcome, Turn
from inference.vllm import Usage, VllmClient
from kit.errors import Unavailable
from kit.observability import streams_open, turn_wait_s
from kit.tasks import cleanly

log = structlog.get_logger(__name__)

# Claims that may be spent on a turn whose stream breaks after its first token, or whose workers die.
ATTEMPTS_MAX = 3
# A whole answer waits so long for a Postgres that is away, before its lease is given up and it is generated anew.
CLOSE_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
NOTHING_USED = QueueUsage(0, 0, 0)
# Nobody counts characters: what fits into a question is said in steps of so many.
CHARS_STEP = 500


async def serve(app: App, group: str, claim: Claim, *, flusher: Flusher, vllm: VllmClient) -> None:
    """Answer the turn of a model group's `claim` and give the claim back.

    Raises Unavailable only, for Redis or Postgres: the lease then expires and the sweeper brings the turn back.

    Cancellation (the worker stops) puts the claim back to the head of its person's tickets and is passed on.
    """
    fair = app.queues[group]
    try:
        started = await _start(app, claim)
    except asyncio.CancelledError:
        await cleanly(_give_back(app, fair, claim))
        raise
    if started and not prompt.own_messages(started.messages):
        await _drop(app, started.turn)
        started = None
    if started is None:
        await fair.finish(claim, NOTHING_USED)
        return
    turn = started.turn
    structlog.contextvars.bind_contextvars(turn=turn.id)
    meta = turn_preview.meta(app, turn, started.person)
    usage = Usage(0, 0, 0)
    try:
        with flusher.stream(claim, fair, meta) as stream, streams_open.track_inprogress():
            usage = await _answer(app, started, stream, flusher, vllm)
    except _Again as again:
        log.warning("turn_again", attempts=turn.attempts, reason=again.reason)
        await fair.requeue(claim)
        return
    except asyncio.CancelledError:
        await cleanly(_give_back(app, fair, claim))
        raise
    finally:
        structlog.contextvars.unbind_contextvars("turn")
    spent = QueueUsage(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
    await fair.finish(claim, spent)


async def _give_back(app: App, fair: FairQueue, claim: Claim) -> None:
    """Put a claim back because this worker stops: neither the queue nor the turn's row counts it as a try."""
    with contextlib.suppress(Unavailable):
        async with app.db.transaction() as tx:
            await turns.unspend(tx, claim.turn_id, fence=claim.fence)
    with contextlib.suppress(Unavailable):
        await fair.requeue(claim)


class _Again(Exception):
    """The stream broke after text was seen: the turn goes back into the queue and its preview begins anew."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def _start(app: App, claim: Claim) -> Started | None:
    now = app.clock.now()
    async with app.db.transaction() as tx:
        turn = await turns.start(tx, claim.turn_id, fence=claim.fence, now=now)
        if turn is None:
            return None
        person = await persons.find(tx, person_id=turn.person_id)
        summary = await summaries.of(tx, turn.dialog_id)
        messages = await history.of(
            tx,
            dialog_id=turn.dialog_id,
            turn_id=turn.id,
            until=turn.place,
            # What is reworked is read whole, summarised or not.
            after=min(summary.covers_turn_id, turn.place - 1),
            model=turn.model,
        )
    assert person is not None  # a foreign key holds it
    if turn.instruction and messages:
        messages.append(rework.ask(rework.known(turn.instruction), person.language, messages))
    turn_wait_s.observe(max(0.0, (now - turn.created_at).total_seconds()))
    model = app.models.heir(turn.model)
    if model is None:
        async with app.db.transaction() as tx:
            reason, notice = f"model {turn.model} is gone", "error-unavailable"
            closed = await turn_close.failed(app, tx, turn, reason=reason, notice=notice, fence=claim.fence)
        await turn_close.after(app, closed)
        return None
    return Started(turn, person, model, messages, summary.text)


async def _drop(app: App, turn: Turn) -> None:
    """Close a turn whose dialog was deleted while it waited."""
    async with app.db.transaction() as tx:
        closed = await turn_close.stopped_empty(app, tx, turn, fence=turn.fence)
    await turn_close.after(app, closed)


async def _answer(app: App, started: Started, stream: Stream, flusher: Flusher, vllm: VllmClient) -> Usage:
    """Generate and close the turn; return the usage that the queue is told."""
    turn, model = started.turn, started.model
    try:
        generated = await generate(app, started, stream, flusher, vllm)
    except (PromptTooLong, ServerPromptTooLong) as error:
        args = {"chars": _chars_that_fit(started, error), **await plan_limits.more_context(app, turn)}
        await _fail(app, turn, stream, reason="prompt too long", notice="message-too-long", args=args)
        return Usage(0, 0, 0)
    except ModelError as error:
        if error.started and turn.attempts < ATTEMPTS_MAX:
            raise _Again(error.detail) from error
        notice = "error-unavailable" if error.retryable else "error-failed"
        await _fail(app, turn, stream, reason=f"{model.id}: {error.detail}", notice=notice)
        return Usage(0, 0, 0)
    if stream.lost:
        log.warning("lease_lost")
        return generated.usage
    stream.interruptible = False
    closing = asyncio.ensure_future(_close(app, started, stream, generated))
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        # A stop that came too late, or the worker's end: the answer is whole, so one transaction is worth its time.
        await closing
    if generated.crowded:
        await _want_summary(app, turn)
    return generated.usage


def _priced(turn: Turn, model: Model) -> Turn:
    """Return the turn at the prices of the model that answered it, which are never above those that were held."""
    prices = model.prices
    return replace(
        turn,
        price_input=min(turn.price_input, prices.input),
        price_cached=min(turn.price_cached, prices.cached),
        price_output=min(turn.price_output, prices.output),
    )


async def _want_summary(app: App, turn: Turn) -> None:
    with contextlib.suppress(Unavailable):  # the next turn of the dialog wants it again
        async with app.db.transaction() as tx:
            await house_work.want(tx, dialog_id=turn.dialog_id, kind="summary", now=app.clock.now())


def _chars_that_fit(started: Started, error: PromptTooLong | ServerPromptTooLong) -> int:
    """Return how many characters one question may have, by what this one's tokens took, a little less and rounded."""
    if isinstance(error, PromptTooLong):
        asked = sum(len(message.text) for message in started.messages[-prompt.own_messages(started.messages) :])
        chars = asked * error.tokens_max // error.tokens
    else:
        chars = started.model.input_tokens_max  # a character takes a token at most, in the languages we speak
    return max(CHARS_STEP, chars * 9 // 10 // CHARS_STEP * CHARS_STEP)


async def _close(app: App, started: Started, stream: Stream, generated: Generated) -> None:
    turn, priced = started.turn, _priced(started.turn, generated.model)
    stopped = generated.finish_reason == FINISH_STOPPED
    usage = generated.usage
    outcome = Outcome(
        status=turns.STOPPED if stopped else turns.DONE,
        finish_reason=generated.finish_reason,
        input_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        first_token_at=generated.first_token_at,
    )
    try:
        closed = await _close_patiently(app, priced, _text(started, stream), "".join(stream.thoughts), outcome)
    except turn_close.Discarded:
        log.warning("turn_discarded")
        return
    # Its admission was counted at the turn's own prices.
    await turn_close.after(app, replace(closed, turn=turn) if closed else None)
    counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    log.info("turn_closed", status=outcome.status, closed=closed is not None, **counts)


def _text(started: Started, stream: Stream) -> str:
    """Return the answer as it is kept: a continuation without what it repeats."""
    if started.turn.instruction != rework.CONTINUE:
        return stream.text
    before = next((m.text for m in reversed(started.messages) if m.role == dialogs.ASSISTANT), "")
    return rework.without_overlap(before, stream.text)


async def _close_patiently(app: App, turn: Turn, text: str, thoughts: str, outcome: Outcome) -> Closed | None:
    """Close the turn; a Postgres that cuts the connection is asked again, since the closing is guarded by the fence."""
    for pause_s in (*CLOSE_PAUSES_S, None):
        try:
            async with app.db.transaction() as tx:
                if text.strip():
                    return await turn_close.answered(
                        app, tx, turn, text=text, thoughts=thoughts, outcome=outcome, fence=turn.fence or 0
                    )
                if outcome.status == turns.STOPPED:
                    return await turn_close.stopped_empty(app, tx, turn, fence=turn.fence)
                notice = "error-only-thoughts" if thoughts else "error-failed"
                return await turn_close.failed(app, tx, turn, reason="empty answer", notice=notice, fence=turn.fence)
        except Unavailable as error:
            if pause_s is None:
                raise
            log.warning("close_delayed", what=error.what, pause_s=pause_s)
            await asyncio.sleep(pause_s)
    raise AssertionError("the loop ends by return or raise")


async def _fail(
    app: App, turn: Turn, stream: Stream, *, reason: str, notice: str, args: dict[str, object] | None = None
) -> None:
    stream.interruptible = False
    async with app.db.transaction() as tx:
        closed = await turn_close.failed(app, tx, turn, reason=reason, notice=notice, args=args, fence=turn.fence)
    await turn_close.after(app, closed)
