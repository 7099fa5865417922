"""House calls: what the model is asked beside the answers, at the house's cost. A person's wallet is never touched.

What a call took is posted from the house to the house, once, in the transaction that keeps its result.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from billing import ledger
from billing.ledger import House
from inference.errors import TimedOut
from inference.house_work import Work
from inference.models import Model, Replica
from inference.prompt import ChatMessage
from inference.vllm import ChatRequest, Usage, VllmClient
from kit.observability import house_tokens_total

CALL_S_MAX: Final = 90.0
SLOT_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said to the house, whole; `cut` when it ran into `max_tokens`."""

    text: str
    cut: bool
    usage: Usage


@contextlib.asynccontextmanager
async def replica(app: App, model: Model, dialog_id: int) -> AsyncIterator[Replica]:
    """Hold the server that has a dialog in its prefix cache, or another one. Raises NoReplica when all are full."""
    async with app.replicas.take(model, prefer=dialog_id, wait_s=SLOT_S_MAX) as taken:
        yield taken


async def ask(
    vllm: VllmClient,
    server: Replica,
    model: Model,
    messages: Sequence[ChatMessage],
    *,
    person_id: int,
    max_tokens: int,
) -> Said:
    """Ask the model once, for at most CALL_S_MAX. Raises ModelError; what was said may be empty."""
    request = ChatRequest(
        replica=server,
        model=model.name,
        messages=messages,
        max_tokens=max_tokens,
        sampling=model.sampling,
        chat_template=model.chat_template,
        cache_salt=str(person_id),
        continuous_usage=False,
    )
    parts: list[str] = []
    usage, finish_reason = Usage(0, 0, 0), ""
    try:
        async with asyncio.timeout(CALL_S_MAX), contextlib.aclosing(vllm.stream(request)) as deltas:
            async for delta in deltas:
                parts.append(delta.text)
                usage = delta.usage or usage
                finish_reason = delta.finish_reason or finish_reason
    except TimeoutError as error:
        raise TimedOut("total") from error
    text = "".join(parts).strip()
    for kind, tokens in (
        ("input", usage.prompt_tokens),
        ("cached", usage.cached_tokens),
        ("output", usage.completion_tokens),
    ):
        house_tokens_total.labels(kind=kind).inc(tokens)
    return Said(text, finish_reason == "length", usage)


async def pay(tx: AsyncConnection, work: Work, model: Model, usage: Usage, *, now: datetime) -> None:
    """Post what a call took, at the model's prices, as given and used by the house."""
    prices = model.prices
    millitokens = (
        (usage.prompt_tokens - usage.cached_tokens) * prices.input
        + usage.cached_tokens * prices.cached
        + usage.completion_tokens * prices.output
    )
    tokens = -(-millitokens // 1000)
    if not tokens:
        return
    await ledger.post(
        tx,
        kind="usage",
        ref_type="house",
        ref_id=f"{work.kind}:{work.dialog_id}:{work.claimed_at.timestamp():.6f}",
        entries=[(House.TOKENS_GIVEN, -tokens), (House.TOKENS_USED, tokens)],
        now=now,
    )
