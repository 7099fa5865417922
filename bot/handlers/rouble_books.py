"""The roubles of a period for the operator: /export sends them beside the Stars."""

from datetime import datetime

import structlog
from aiogram.methods import SendDocument
from aiogram.types import BufferedInputFile

from billing import rouble_export
from bot.budget import Lane
from bot.context import Context
from kit.words import words

log = structlog.get_logger(__name__)


async def export(ctx: Context, *, since: datetime, until: datetime, name: str) -> None:
    """Send the roubles of [since, until) as the file `name`, or say why not; nothing where none were ever taken."""
    say = words(ctx.app.settings.admin_language)
    try:
        async with ctx.app.db.read() as connection:
            table = await rouble_export.table(connection, since=since, until=until)
    except rouble_export.PeriodTooLong as refused:
        ctx.reply(say.say(refused.code, **refused.params))
        return
    if ctx.app.yookassa is None and not table.rows:
        return
    if table.astray:
        log.error("export_astray", kopecks=table.astray)
    caption = say.say(
        "admin-export-roubles-caption",
        rows=table.rows,
        paid=table.paid,
        refunded=table.refunded,
        books="differ" if table.astray else "agree",
        astray=table.astray,
    )
    # The mark at the beginning tells table programs that the titles are UTF-8.
    file = BufferedInputFile(table.text.encode("utf-8-sig"), filename=name)
    call = SendDocument(chat_id=ctx.chat_id, document=file, caption=caption)
    await ctx.room.sender.send(call, lane=Lane.NOTICE, chat_id=ctx.chat_id, is_group=True)
