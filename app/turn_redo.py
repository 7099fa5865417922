"""Redo: the same question answered afresh — after a failure, a stop, an edit — and the continuation of an answer."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from app.persons import Person
from app.turn_accept import Transaction, open_for_waiting, queue
from billing import entitlements
from inference import dialogs, turns
from inference.queue.ticket import Limits
from inference.turns import Turn
from kit.errors import Rejected, Unavailable


class Expired(Rejected):
    """A button belongs to a turn that is open again, is somebody else's, or is gone."""

    code = "toast-expired"


async def redo(app: App, begin: Transaction, *, person: Person, turn_id: int) -> Turn | None:
    """Answer a closed turn's question again: its messages move to a new turn, its answer leaves the dialog.

    None when the dialog has an open turn: then the messages wait for its end. Raises Expired, RateLimited, QueueFull,
    InsufficientTokens.
    """
    now = app.clock.now()
    old = await _closed_turn(app, person, turn_id)
    key = f"redo:{turn_id}:{now.timestamp():.0f}"
    await _admit(app, person, old, key, now)
    async with begin() as tx:
        await dialogs.lock(tx, old.dialog_id)
        if not await dialogs.release_messages(tx, turn_id):
            raise Expired
        opened = await _open(app, tx, person, old, key, now)
    if opened:
        await queue(app, opened)
    return opened


async def go_on(app: App, begin: Transaction, *, person: Person, turn_id: int, text: str) -> Turn | None:
    """Ask, in the person's name (`text`, in their language), to go on from where a turn's answer stopped."""
    now = app.clock.now()
    old = await _closed_turn(app, person, turn_id)
    key = f"continue:{turn_id}"
    await _admit(app, person, old, key, now)
    async with begin() as tx:
        await dialogs.lock(tx, old.dialog_id)
        await dialogs.add_user_message(
            tx, dialog_id=old.dialog_id, turn_id=None, chat_id=old.chat_id, message_id=None, text=text, now=now
        )
        opened = await _open(app, tx, person, old, key, now)
    if opened:
        await queue(app, opened)
    return opened


async def note_edit(tx: AsyncConnection, *, chat_id: int, message_id: int, text: str) -> Turn | None:
    """Store an edited question; return its turn when that has been answered (to offer a new answer), else None."""
    turn_id = await tx.scalar(
        sa.text(
            """
            UPDATE messages SET text = :text WHERE chat_id = :chat AND message_id = :message AND role = 'user'
              AND text IS DISTINCT FROM :text RETURNING turn_id
            """
        ),
        {"chat": chat_id, "message": message_id, "text": text[: dialogs.MESSAGE_CHARS_MAX]},
    )
    turn = await turns.find(tx, turn_id) if turn_id else None
    return turn if turn and turn.status != turns.OPEN else None


async def _closed_turn(app: App, person: Person, turn_id: int) -> Turn:
    async with app.db.read() as connection:
        turn = await turns.find(connection, turn_id)
    if turn is None or turn.person_id != person.id or turn.status == turns.OPEN:
        raise Expired
    return turn


async def _admit(app: App, person: Person, turn: Turn, key: str, now: datetime) -> None:
    async with app.db.read() as connection:
        entitlement = await entitlements.current(connection, person_id=person.id, now=now)
    limits = Limits.per_minute(
        requests=entitlement.requests_per_minute,
        tokens=entitlement.tokens_per_minute,
        queued_max=entitlement.queued,
    )
    fair = app.queues.get(turn.model) or app.queues[app.chat_model().id]
    try:
        await fair.admit(key, person.id, limits)
    except Unavailable:
        return


async def _open(app: App, tx: AsyncConnection, person: Person, old: Turn, key: str, now: datetime) -> Turn | None:
    if await turns.open_of_dialog(tx, old.dialog_id):
        return None
    entitlement = await entitlements.current(tx, person_id=person.id, now=now)
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
    )
