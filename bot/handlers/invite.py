"""/invite: a person's own link, what became of it, and what it brings."""

from urllib.parse import urlencode

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command
from aiogram.types import Message

from app import invitations
from bot import keyboards
from bot.context import Context


def router() -> Router:
    """Return the router of invitations."""
    made = Router(name="invite")
    made.message.register(show, F.chat.type == ChatType.PRIVATE, Command("invite"))
    return made


async def show(message: Message, ctx: Context) -> None:
    """Show the link with a button that shares it, or say that invitations are off."""
    say = ctx.words
    async with ctx.transaction() as tx:
        mine = await invitations.of(ctx.app, tx, ctx.person, now=ctx.app.clock.now())
        if mine is None:
            ctx.reply(say.say("invite-off"))
            return
        url = f"https://t.me/{ctx.room.username}?start={mine.payload}"
        share = "https://t.me/share/url?" + urlencode({"url": url, "text": say.say("invite-share")})
        lines = [
            say.say("invite", url=url),
            say.say("invite-rule", tokens=mine.rule.inviter_tokens, window_s=mine.rule.window.total_seconds()),
        ]
        if mine.rule.friend_tokens:
            lines.append(say.say("invite-rule-friend", tokens=mine.rule.friend_tokens))
        standing = mine.standing
        if standing.came:
            lines.append(
                say.say("invite-standing", came=standing.came, rewarded=standing.rewarded, tokens=standing.tokens)
            )
        else:
            lines.append(say.say("invite-nobody"))
        ctx.reply("\n\n".join(lines), keyboards.rows([keyboards.link(say.say("button-invite-share"), share)]))
