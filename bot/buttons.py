"""Answers to button presses: they go past the queue, since Telegram forgets a press within seconds."""

import structlog
from aiogram.methods import AnswerCallbackQuery
from aiogram.types import CallbackQuery

from bot.context import Context
from bot.refusals import Refused
from kit.errors import FormaError

log = structlog.get_logger(__name__)


async def answer(ctx: Context, query: CallbackQuery, text: str | None = None, *, alert: bool = False) -> None:
    """Stop the button's spinner, with a toast or an alert. A press that is too old to answer is no error."""
    call = AnswerCallbackQuery(callback_query_id=query.id, text=text, show_alert=alert or None)
    try:
        await ctx.room.sender.answer(call)
    except Refused:
        log.debug("press_too_old")
    except FormaError as error:
        log.warning("press_unanswered", error=type(error).__name__)
