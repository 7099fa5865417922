"""Stop: a person ends an answer. What is there is kept and sent; what was not begun costs nothing."""

import contextlib

import structlog

from app import turn_close
from app.context import App
from inference import turns
from inference.queue.ticket import Cancelled
from kit import signals
from kit.errors import Unavailable

log = structlog.get_logger(__name__)


async def stop(app: App, *, chat_id: int, turn_id: int | None = None, person_id: int | None = None) -> bool:
    """Stop the chat's newest open turn (`turn_id`: only that one; `person_id`: only theirs, which groups need); False
    when there is nothing to stop.

    A waiting ticket is removed and its turn closed here. A running one is flagged and its worker told to look: it
    keeps the text, settles what was generated and answers.
    """
    async with app.db.read() as connection:
        turn = (
            await turns.find(connection, turn_id)
            if turn_id
            else await turns.latest_open(connection, chat_id, person_id=person_id)
        )
    if turn is None or turn.status != turns.OPEN or turn.chat_id != chat_id:
        return False
    found, fair = Cancelled.UNKNOWN, app.queues.get(turn.model)
    if fair is not None:  # its entry may have left models.toml
        with contextlib.suppress(Unavailable):
            found = await fair.cancel(turn.id)
    log.info("turn_stop", turn=turn.id, found=found.value)
    if found is Cancelled.FLAGGED:
        await signals.send(app.redis, signals.STOPS)
        return True
    async with app.db.transaction() as tx:
        # If a worker took the turn a moment ago its fence is newer than what we read; then its lease decides.
        current = await turns.find(tx, turn.id)
        if current is None or (current.started and found is Cancelled.UNKNOWN):
            return current is not None
        closed = await turn_close.stopped_empty(app, tx, turn)
    await turn_close.after(app, closed)
    return closed is not None
