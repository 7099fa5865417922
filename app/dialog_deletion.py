"""Delete: dialogs lose every word at once, and with them whatever was made of the words.

What was paid for stays accounted for: turns, holds and ledger know numbers only. An answer that is being written is
stopped, settled by what it took, and discarded.
"""

from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import turn_stop
from app.context import App
from inference import dialog_list, streams
from kit import inbox, outbox

log = structlog.get_logger(__name__)


async def erase(
    app: App, tx: AsyncConnection, *, chat_id: int, dialog_ids: Sequence[int], update: int = 0
) -> list[int]:
    """Erase dialogs of a chat; return the turns that are open in them, for `stop` after the commit.

    `update` is the row of the inbox by which a person asked for it, 0 for none: it may quote what is erased.

    A crash in between harms nothing: what such a turn still brings finds no dialog to stand in.
    """
    open_turns = await dialog_list.delete(tx, chat_id=chat_id, dialog_ids=dialog_ids, now=app.clock.now())
    await inbox.blank(tx, source=inbox.TELEGRAM, chat_id=chat_id, handling=update)
    await outbox.blank_sent(tx, chat_id)
    log.info("dialogs_deleted", chat=chat_id, dialogs=len(dialog_ids), open=len(open_turns))
    return open_turns


async def stop(app: App, *, chat_id: int, turn_ids: Sequence[int]) -> None:
    """Stop what was open in erased dialogs, and remove what its previews keep."""
    for turn_id in turn_ids:
        await turn_stop.stop(app, chat_id=chat_id, turn_id=turn_id)
    try:
        await streams.forget(app.redis, turn_ids)
    except (RedisError, OSError) as error:  # they lapse by themselves
        log.warning("previews_kept", error=type(error).__name__)
