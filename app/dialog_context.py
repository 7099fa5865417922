"""What a dialog's next prompt will hold: for /context."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from billing import entitlements
from inference import dialogs, history, prompt, summaries, turns


@dataclass(frozen=True, slots=True)
class DialogContext:
    """`tokens` of `budget` are used by the active dialog, `turns` of which are whole; `summary` stands for `covered`.

    `dialog_id` is None while there is no active dialog.
    """

    dialog_id: int | None
    model: str
    budget: int
    tokens: int = 0
    turns: int = 0
    covered: int = 0
    summary: str = ""


async def of_chat(app: App, connection: AsyncConnection, *, chat_id: int, person_id: int) -> DialogContext:
    """Return the context of a chat's active dialog, reckoned with a person's plan.

    Tokens are the model server's own count: of the last answer's prompt and answer, or of the prompt that a newer
    summary left. Only where neither is there, they are estimated.
    """
    entitlement = await entitlements.current(connection, person_id=person_id, now=app.clock.now())
    model = app.chat_model_of(entitlement.plan_id)
    budget = min(entitlement.context_tokens, model.input_tokens_max)
    name = model.name.rpartition("/")[2]
    dialog_id = await dialogs.active(connection, chat_id=chat_id)
    if dialog_id is None:
        return DialogContext(None, name, budget)
    summary = await summaries.of(connection, dialog_id)
    last = await turns.last_closed(connection, dialog_id)
    if last is None:
        return DialogContext(dialog_id, name, budget, covered=summary.turns, summary=summary.text)
    whole = await history.of(
        connection, dialog_id=dialog_id, turn_id=last.id, until=last.id, after=summary.covers_turn_id, model=model.id
    )
    used = (
        await connection.execute(
            sa.text("SELECT input_tokens + output_tokens AS tokens, closed_at FROM turns WHERE id = :id"),
            {"id": last.id},
        )
    ).one()
    tokens = used.tokens
    if summary.made_at and summary.made_at >= used.closed_at:
        tokens = summary.prompt_tokens
    if not tokens:
        tokens = sum(prompt.tokens_of(message) for message in whole) + prompt.estimate(summary.text)
    turns_whole = len(prompt.turn_ends(whole))
    return DialogContext(dialog_id, name, budget, tokens, turns_whole, summary.turns, summary.text)
