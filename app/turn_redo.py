"""Redo: a question answered afresh, and an answer made shorter or deeper, or continued, by the buttons under it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app import groups, plan_limits
from app.context import App
from app.persons import Person
from app.plan_limits import Place
from app.turn_accept import Opening, Transaction, open_for_waiting, open_turn, queue, widen, with_next_tokens
from billing import entitlements
from inference import dialogs, prompt, rework, summaries, turns
from inference.rework import Instruction, Rework
from inference.turns import Turn
from kit.errors import InsufficientTokens, Rejected

# What an answer takes that has not been written yet.
ANSWER_TOKENS_USUAL = 450


class Expired(Rejected):
    """A button belongs to a turn that is gone."""

    code = "toast-expired"


class OtherPerson(Rejected):
    """A button belongs to somebody else's turn."""

    code = "toast-other-person"


class StillOpen(Rejected):
    """A button belongs to a turn whose answer is being written, or waits."""

    code = "toast-wait"


class Replaced(Rejected):
    """A button belongs to an answer that is no longer part of the dialog: its question was asked again."""

    code = "toast-answer-replaced"


class Done(Rejected):
    """A button was pressed before and did its work."""

    code = "toast-already"


async def redo(app: App, begin: Transaction, *, person: Person, turn_id: int, think: bool = False) -> Turn | None:
    """Answer a closed turn's question again: its messages move to a new turn, its answer leaves the dialog.

    It is thought about if it was before, or with `think`. A turn that reworked an answer does so again. None when the
    dialog has an open turn: then the messages wait for its end. Raises Expired, OtherPerson, StillOpen, Done,
    RateLimited, QueueFull, InsufficientTokens.
    """
    now = app.clock.now()
    old = await _closed_turn(app, person, turn_id)
    thinking = think or old.thinking
    if old.instruction and old.about_turn_id and not think:
        asked = Rework(rework.known(old.instruction), about=old.about_turn_id, pressed=old.id)
        return await _rework(app, begin, person, old, asked, now, anew=True)
    key = f"redo:{turn_id}:{now.timestamp():.0f}"
    async with _admitted(app, person, old, key, now) as place, begin() as tx:
        if (await dialogs.lock(tx, old.dialog_id)).deleted:
            raise Expired
        if not await dialogs.release_messages(tx, old.place):
            raise Done
        opened = await _open(app, tx, person, old, plan_limits.turn_key(place, key), now, thinking=thinking)
    if opened:
        await queue(app, opened)
    else:
        await plan_limits.give_back(place, request=False)
    return opened


async def ask_again(
    app: App, begin: Transaction, *, person: Person, turn_id: int, instruction: Instruction
) -> Turn | None:
    """Open a turn that makes a closed turn's answer shorter or deeper, or goes on with it.

    Each of these is done once for an answer. Raises as `redo` does, StillOpen while the dialog has an open turn, and
    Replaced.
    """
    old = await _closed_turn(app, person, turn_id)
    asked = Rework(instruction, about=old.place, pressed=old.id)
    return await _rework(app, begin, person, old, asked, app.clock.now())


async def _rework(
    app: App, begin: Transaction, person: Person, old: Turn, asked: Rework, now: datetime, *, anew: bool = False
) -> Turn | None:
    """Open the turn; `anew`: what `old` made of the answer is dropped first."""
    key = f"{asked.instruction}:{old.id}:{now.timestamp():.0f}"
    async with _admitted(app, person, old, key, now) as place, begin() as tx:
        if (await dialogs.lock(tx, old.dialog_id)).deleted:
            raise Expired
        if await turns.reworked(tx, asked.pressed, asked.instruction):
            raise Done
        if await turns.open_of_dialog(tx, old.dialog_id):
            raise StillOpen
        if anew:
            await dialogs.drop_answers(tx, old.id)
        if not await dialogs.has_answer(tx, asked.about):
            raise Replaced
        if asked.about <= (await summaries.of(tx, old.dialog_id)).covers_turn_id:
            raise Expired
        entitlement = await entitlements.current(tx, person_id=person.id, now=now)
        opening = Opening(
            old.dialog_id,
            person,
            old.chat_id,
            entitlement,
            plan_limits.turn_key(place, key),
            now,
            old.reply_to_message_id,
            rework=asked,
            think=anew and old.thinking,
        )
        try:
            opened = await open_turn(app, tx, opening, now=now)
        except InsufficientTokens as error:
            if error.reserved:  # another answer of this person holds the rest
                raise StillOpen from None
            raise with_next_tokens(error, entitlement, now) from None
    await queue(app, opened)
    return opened


@dataclass(frozen=True, slots=True)
class Edited:
    """A question changed after its answer began; `tokens` is about what a new answer costs."""

    turn_id: int
    tokens: int


async def note_edit(app: App, tx: AsyncConnection, *, chat_id: int, message_id: int, text: str) -> Edited | None:
    """Store an edited question; None when its answer is still to begin, and will be one to the new words."""
    turn_id = await tx.scalar(
        sa.text(
            """
            UPDATE messages SET text = :text, tokens = NULL
            WHERE chat_id = :chat AND message_id = :message AND role = 'user'
              AND text IS DISTINCT FROM :text RETURNING turn_id
            """
        ),
        {"chat": chat_id, "message": message_id, "text": text[: dialogs.MESSAGE_CHARS_MAX]},
    )
    turn = await turns.find(tx, turn_id) if turn_id else None
    if turn and turn.status == turns.OPEN and not turn.started:
        await widen(app, tx, turn, text)
        return None
    if turn is None:
        return None
    billed = await tx.scalar(sa.text("SELECT billed_tokens FROM turns WHERE id = :id"), {"id": turn.id})
    input_tokens = prompt.bound(len(text.encode()), 1)
    guess = turn.cost(input_tokens=input_tokens, cached_tokens=0, output_tokens=ANSWER_TOKENS_USUAL)
    return Edited(turn.id, billed or guess)


async def _closed_turn(app: App, person: Person, turn_id: int) -> Turn:
    async with app.db.read() as connection:
        turn = await turns.find(connection, turn_id)
    if turn is None:
        raise Expired
    if turn.person_id != person.id:
        raise OtherPerson
    if turn.status == turns.OPEN:
        raise StillOpen
    return turn


@contextlib.asynccontextmanager
async def _admitted(app: App, person: Person, old: Turn, key: str, now: datetime) -> AsyncIterator[Place | None]:
    """Keep a place while the new turn is written, and give it back where none comes of it.

    In a group a button is one more question of the group's.
    """
    if old.in_group:
        await groups.count_question(app, old.chat_id)
    async with app.db.read() as connection:
        entitlement = await entitlements.current(connection, person_id=person.id, now=now)
    model = app.chat_model_of(entitlement.plan_id)
    place = await plan_limits.admit(app, model, entitlement, person_id=person.id, key=key)
    try:
        yield place
    except Rejected:
        await plan_limits.give_back(place)
        raise


async def _open(
    app: App, tx: AsyncConnection, person: Person, old: Turn, key: str, now: datetime, *, thinking: bool
) -> Turn | None:
    if await turns.open_of_dialog(tx, old.dialog_id):
        return None
    entitlement = await entitlements.current(tx, person_id=person.id, now=now)
    try:
        async with tx.begin_nested():
            return await open_for_waiting(
                app,
                tx,
                dialog_id=old.dialog_id,
                person=person,
                chat_id=old.chat_id,
                entitlement=entitlement,
                admit_key=key,
                ready_at=now,
                now=now,
                think=thinking or None,
            )
    except InsufficientTokens as error:
        if error.reserved:  # another answer of this person holds the rest; its end opens this turn
            return None
        raise with_next_tokens(error, entitlement, now) from None
