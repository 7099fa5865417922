"""Generation: a turn's prompt is built, and a model's stream read into what people see of it.

Where a server fails before the first token another one is asked, then the fallback; after it the caller decides.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from app import preferences
from app.context import App
from app.persons import Person
from inference import counting, dialogs, prompt
from inference.errors import BrokenAnswer, ModelError
from inference.errors import PromptTooLong as ServerPromptTooLong
from inference.flusher import Flusher, Stream
from inference.models import Model, Replica
from inference.prompt import ChatMessage, Prompt, PromptTooLong
from inference.turns import Turn
from inference.vllm import ChatRequest, Usage, VllmClient
from kit.observability import first_token_s

log = structlog.get_logger(__name__)

# A model server that fails before its first token is asked again after these pauses; then the person is told.
RETRY_PAUSES_S = (0.3, 1.5)
# So many servers of a model are asked before its fallback is.
REPLICAS_ASKED_MAX = 3
FINISH_STOPPED = "stopped"


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


async def generate(app: App, started: Started, stream: Stream, flusher: Flusher, vllm: VllmClient) -> Generated:
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
    app: App,
    started: Started,
    stream: Stream,
    flusher: Flusher,
    vllm: VllmClient,
    pauses_s: tuple[float, ...],
) -> Generated:
    """Read the stream of one model; where a server fails before the first token, another one is asked."""
    failed: list[str] = []
    for pause_s in (*pauses_s, None):
        try:
            async with app.replicas.take(started.model, prefer=started.turn.dialog_id, avoid=failed) as replica:
                failed.append(replica.base_url)
                request, built = await _request(started, replica, vllm)
                generated = await _read(app, started, request, stream, flusher, vllm)
                # A stop that comes while the server's slot is given back must not lose what the answer took.
                stream.interruptible = False
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
                stream.think(delta.reasoning)
                if first_at is None and delta.text and not delta.text.isspace():
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


async def _request(started: Started, replica: Replica, vllm: VllmClient) -> tuple[ChatRequest, Prompt]:
    turn, model = started.turn, started.model
    # A fallback writes no more than it is made for; the turn's own model may have room to reason besides.
    output_max = turn.output_max if model.id == turn.model else min(turn.output_max, model.answer_tokens_max)
    input_max = min(turn.input_max, model.context_length - output_max)
    wanted = preferences.of(started.person.settings)
    system = prompt.persona(started.person.language, wanted.length, group=turn.in_group)
    head = prompt.head(system, started.summary, started.person.language)

    async def count(messages: list[ChatMessage]) -> int:
        return await counting.whole(vllm, replica, model, messages)

    built = await prompt.build(head, started.messages, tokens_max=input_max, count_tokens=count)
    request = ChatRequest(
        replica=replica,
        model=model.name,
        messages=built.messages,
        max_tokens=output_max,
        sampling=model.sampling,
        chat_template=_template(model, thinking=turn.thinking),
        cache_salt=str(turn.person_id),
    )
    return request, built


def _template(model: Model, *, thinking: bool) -> Mapping[str, Any]:
    """Return what the model's chat template is told: to reason or not, where it can."""
    return {**model.chat_template, "enable_thinking": thinking} if model.reasons else model.chat_template
