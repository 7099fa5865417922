"""Counting tokens by the model server's own tokenizer; where a server has none to ask, by a careful estimate."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from inference import prompt
from inference.dialogs import Message
from inference.errors import BrokenAnswer, ModelError, ReplicaRefused, RequestRefused, ServerFailed, TimedOut
from inference.models import Model, Replica
from inference.prompt import ChatMessage
from inference.vllm import VllmClient

log = structlog.get_logger(__name__)

# Servers that say one of these to /tokenize may answer chats all the same; any other error stands for both.
CANNOT_COUNT: Final = (ReplicaRefused, RequestRefused, ServerFailed, BrokenAnswer, TimedOut)


async def whole(vllm: VllmClient, server: Replica, model: Model, messages: Sequence[ChatMessage]) -> int:
    """Return what a chat takes as a prompt, its template included. Raises ModelError when the server is away."""
    try:
        return await vllm.tokenize(server, model.name, messages, chat_template=model.chat_template)
    except CANNOT_COUNT as error:
        log.info("tokens_estimated", model=model.id, reason=error.detail)
        return prompt.estimate_of(messages)


async def counted(vllm: VllmClient, server: Replica, model: Model, messages: Sequence[Message]) -> list[Message]:
    """Return messages with the server's counts of their texts, as far as it can count; known ones are not asked for."""
    found = list(messages)
    for place, message in enumerate(messages):
        if message.tokens is not None:
            continue
        try:
            tokens = await vllm.tokenize_text(server, model.name, message.text)
        except ModelError as error:
            log.info("tokens_uncounted", model=model.id, reason=error.detail)
            break
        found[place] = replace(message, tokens=tokens)
    return found


async def remember(tx: AsyncConnection, counts: dict[int, int], *, model: str) -> None:
    """Keep the model server's counts of messages (id: tokens), so that nobody asks for them again."""
    await tx.execute(
        sa.text(
            """
            UPDATE messages m SET tokens = c.tokens, tokens_model = :model
            FROM unnest(CAST(:ids AS bigint[]), CAST(:tokens AS integer[])) AS c (id, tokens) WHERE m.id = c.id
            """
        ),
        {"ids": list(counts), "tokens": list(counts.values()), "model": model},
    )
