"""Serve: a worker answers the turn of one claim — prompt, stream, settlement — and gives the claim back.

The claim's lease is renewed by the flusher. Whatever goes wrong, the turn ends in one of the closings, or goes back
into the queue: a worker that stops requeues without spending a try, a lease that expires is reaped by the sweeper.
"""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from app import persons, preferences, turn_close
from app.context import App
from app.persons import Person
from app.turn_close import Closed
from inference import counting, dialogs, house_work, prompt, summaries, turns
from inference.errors import BrokenAnswer, ModelError
from inference.errors import PromptTooLong as ServerPromptTooLong
from inference.flusher import Flusher, Stream
from inference.models import Model, Replica
from inference.prompt import ChatMessage, Prompt, PromptTooLong
from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim
from inference.queue.ticket import Usage as QueueUsage
from inference.streams import PreviewMeta
from inference.turns import Outcome, Turn
from inference.vllm import ChatRequest, Usage, VllmClient
from kit.errors import Unavailable
from kit.observability import first_token_s, streams_open, turn_wait_s
from kit.tasks import cleanly

log = structlog.get_logger(__name__)

# A model server that fails before its first token is asked again after these pauses; then the person is told.
RETRY_PAUSES_S = (0.3, 1.5)
# So many servers of a model are asked before its fallback is.
REPLICAS_ASKED_MAX = 3
# Claims that may be spent on a turn whose stream breaks after its first token, or whose workers die.
ATTEMPTS_MAX = 3
# A whole answer waits so long for a Postgres that is away, before its lease is given up and it is generated anew.
CLOSE_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
FINISH_STOPPED = "stopped"
NOTHING_USED = QueueUsage(0, 0, 0)
# Nobody counts characters: what fits into a question is said in steps of so many.
CHARS_STEP = 500


@dataclass(frozen=True, slots=True)
class Started:
    """A turn that this worker holds, with all that the answer needs. `model` answers it, the turn's own or another."""

    turn: Turn
    person: Person
    model: Model
    messages: list[dialogs.Message]
    summary: str


@dataclass(slots=True)
class Generated:
    """What the stream brought, and from which model."""

    usage: Usage
    finish_reason: str
    first_token_at: datetime | None
    model: Model
    crowded: bool = False


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
    meta = _meta(app, started)
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
        messages = await dialogs.history(
            tx, dialog_id=turn.dialog_id, turn_id=turn.id, after=summary.covers_turn_id, model=turn.model
        )
    assert person is not None  # a foreign key holds it
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


def _meta(app: App, started: Started) -> PreviewMeta:
    turn, person = started.turn, started.person
    mode = preferences.of(person.settings, preview_default=app.settings.preview).preview
    return PreviewMeta(
        chat_id=turn.chat_id,
        is_group=turn.chat_id != turn.person_id,
        draft_id=turn.id,
        mode=mode,
        lang=person.language,
        reply_to_message_id=None,
    )


async def _answer(app: App, started: Started, stream: Stream, flusher: Flusher, vllm: VllmClient) -> Usage:
    """Generate and close the turn; return the usage that the queue is told."""
    turn, model = started.turn, started.model
    try:
        generated = await _generate(app, started, stream, flusher, vllm)
    except (PromptTooLong, ServerPromptTooLong) as error:
        chars = _chars_that_fit(started, error)
        await _fail(app, turn, stream, reason="prompt too long", notice="message-too-long", args={"chars": chars})
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
    closing = asyncio.ensure_future(_close(app, _priced(turn, generated.model), stream, generated))
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


async def _request(started: Started, replica: Replica, vllm: VllmClient) -> tuple[ChatRequest, Prompt]:
    turn, model = started.turn, started.model
    input_max = min(turn.input_max, model.input_tokens_max)
    wanted = preferences.of(started.person.settings)
    system = prompt.persona(started.person.language, wanted.length)
    head = prompt.head(system, started.summary, started.person.language)

    async def count(messages: list[ChatMessage]) -> int:
        return await counting.whole(vllm, replica, model, messages)

    built = await prompt.build(head, started.messages, tokens_max=input_max, count_tokens=count)
    request = ChatRequest(
        replica=replica,
        model=model.name,
        messages=built.messages,
        max_tokens=min(turn.output_max, model.answer_tokens_max),
        sampling=model.sampling,
        chat_template=model.chat_template,
        cache_salt=str(turn.person_id),
    )
    return request, built


async def _generate(app: App, started: Started, stream: Stream, flusher: Flusher, vllm: VllmClient) -> Generated:
    """Read an answer into `stream`: the model's, or where all its servers fail before the first token, a fallback's."""
    models = (started.model, *app.models.fallbacks(started.model))
    failure: ModelError | None = None
    for model in models:
        # Where another model stands by, each server of this one is asked once, and nobody waits for its return.
        pauses_s = (
            RETRY_PAUSES_S if model is models[-1] else (0.0,) * (min(REPLICAS_ASKED_MAX, len(model.replicas)) - 1)
        )
        try:
            return await _ask(app, replace(started, model=model), stream, flusher, vllm, pauses_s)
        except (PromptTooLong, ServerPromptTooLong):
            if failure is None:
                raise
        except ModelError as error:
            if error.started or not error.retryable:
                raise
            failure = error
            log.warning("model_failed", model=model.id, reason=error.detail)
            stream.restart()
    assert failure is not None
    raise failure


async def _ask(
    app: App, started: Started, stream: Stream, flusher: Flusher, vllm: VllmClient, pauses_s: tuple[float, ...]
) -> Generated:
    """Read the stream of one model; where a server fails before the first token, another one is asked."""
    failed: list[str] = []
    for pause_s in (*pauses_s, None):
        try:
            async with app.replicas.take(started.model, prefer=started.turn.dialog_id, avoid=failed) as replica:
                failed.append(replica.base_url)
                request, built = await _request(started, replica, vllm)
                generated = await _read(app, started, request, stream, flusher, vllm)
                generated.crowded = built.crowded(generated.usage.completion_tokens)
                return generated
        except asyncio.CancelledError:
            # It waited for a free slot, or for the length of its prompt.
            if not _interrupted(stream):
                raise
            return Generated(Usage(0, 0, 0), FINISH_STOPPED, None, started.model)
        except ModelError as error:
            if error.started or not error.retryable or pause_s is None:
                raise
            log.warning("model_retry", model=started.model.id, reason=error.detail)
            stream.restart()
            # Where there is one server only, it is given the time that it asks for.
            alone = len(started.model.replicas) == 1
            if not await _pause(stream, max(pause_s, error.wait_s) if alone else pause_s):
                return Generated(Usage(0, 0, 0), FINISH_STOPPED, None, started.model)
    raise AssertionError("the loop ends by return or raise")


async def _pause(stream: Stream, pause_s: float) -> bool:
    """Wait between tries; False when the stream was interrupted meanwhile."""
    try:
        await asyncio.sleep(pause_s)
    except asyncio.CancelledError:
        if not _interrupted(stream):
            raise
        return False
    return True


def _interrupted(stream: Stream) -> bool:
    """Tell an interruption by the flusher from the worker's own shutdown, and take the former back."""
    if not (stream.cancelled or stream.lost):
        return False
    task = asyncio.current_task()
    assert task is not None
    return task.uncancel() == 0


async def _read(
    app: App, started: Started, request: ChatRequest, stream: Stream, flusher: Flusher, vllm: VllmClient
) -> Generated:
    usage, finish_reason, first_at = Usage(0, 0, 0), "", None
    try:
        async with contextlib.aclosing(vllm.stream(request)) as deltas:
            async for delta in deltas:
                usage = delta.usage or usage
                finish_reason = delta.finish_reason or finish_reason
                stream.feed(delta.text, usage.completion_tokens)
                if first_at is None and delta.text:
                    await flusher.first(stream)
                    first_at = app.clock.now()
                    first_token_s.observe(max(0.0, (first_at - started.turn.created_at).total_seconds()))
        # Another try may say something, but for one that ran into its limit while thinking.
        if not stream.text.strip() and finish_reason != "length":
            raise BrokenAnswer("an answer without text")
    except asyncio.CancelledError:
        if not _interrupted(stream):
            raise
        finish_reason = FINISH_STOPPED
    return Generated(usage, finish_reason, first_at, started.model)


async def _close(app: App, turn: Turn, stream: Stream, generated: Generated) -> None:
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
        closed = await _close_patiently(app, turn, stream, outcome)
    except turn_close.Discarded:
        log.warning("turn_discarded")
        return
    await turn_close.after(app, closed)
    counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    log.info("turn_closed", status=outcome.status, closed=closed is not None, **counts)


async def _close_patiently(app: App, turn: Turn, stream: Stream, outcome: Outcome) -> Closed | None:
    """Close the turn; a Postgres that cuts the connection is asked again, since the closing is guarded by the fence."""
    for pause_s in (*CLOSE_PAUSES_S, None):
        try:
            async with app.db.transaction() as tx:
                if stream.text.strip():
                    return await turn_close.answered(
                        app, tx, turn, text=stream.text, outcome=outcome, fence=turn.fence or 0
                    )
                if outcome.status == turns.STOPPED:
                    return await turn_close.stopped_empty(app, tx, turn, fence=turn.fence)
                return await turn_close.failed(app, tx, turn, reason="empty answer", fence=turn.fence)
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
