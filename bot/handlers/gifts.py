"""Gifts: chosen and paid in /plans, given by a link or to somebody chosen, taken by /start gift_<code>."""

import structlog
from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import CommandObject, CommandStart
from aiogram.methods import EditMessageText, SendMessage
from aiogram.types import CallbackQuery, Message, ReplyKeyboardRemove

from app import gifts as use
from billing import gifts
from billing.gifts import Gift
from bot import gift_view, keyboards
from bot.buttons import answer
from bot.context import Context
from bot.handlers import commands, money
from inference import dialogs
from kit import outbox
from kit.errors import Rejected

log = structlog.get_logger(__name__)

GIVEN_SHOWN = 10


def router() -> Router:
    """Return the router of gifts."""
    made = Router(name="gifts")
    private = F.chat.type == ChatType.PRIVATE
    deep_link = F.args.startswith(gift_view.PAYLOAD_PREFIX)
    made.message.register(start_with_gift, private, CommandStart(deep_link=True, magic=deep_link))
    made.message.register(chosen, private, F.users_shared)
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(choose, F.data == "give")
    made.callback_query.register(buy, F.data.startswith("gift-buy:"))
    made.callback_query.register(given, F.data == "gifts")
    made.callback_query.register(show, F.data.startswith("gift:"))
    made.callback_query.register(whom, F.data.startswith("gift-to:"))
    made.callback_query.register(take, F.data.startswith("gift-take:"))
    made.callback_query.register(back_ask, F.data.startswith("gift-back:"))
    made.callback_query.register(back_do, F.data.startswith("gift-back-yes:"))
    return made


async def choose(query: CallbackQuery, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        mine = await gifts.of_giver(connection, giver_id=ctx.person.id, limit=1)
    ctx.reply(*gift_view.choice(ctx.words, ctx.app.plans, mine))
    await answer(ctx, query)


async def buy(query: CallbackQuery, ctx: Context) -> None:
    """Sell a gift as anything else is sold; who gets it is chosen once it is paid."""
    product = ctx.app.plans.plan(_argument(query))
    if product is None or not gift_view.can_be_given(product):
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    await money.sell(ctx, query, product.id, gift=True)


async def given(query: CallbackQuery, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        mine = await gifts.of_giver(connection, giver_id=ctx.person.id, limit=GIVEN_SHOWN)
    ctx.reply(*gift_view.given(ctx.words, mine))
    await answer(ctx, query)


async def show(query: CallbackQuery, ctx: Context) -> None:
    """What became of a gift."""
    async with ctx.app.db.read() as connection:
        gift = await use.own(connection, person_id=ctx.person.id, gift_id=_number(query))
    _show(ctx, gift)
    await answer(ctx, query)


def _show(ctx: Context, gift: Gift) -> None:
    returnable = use.returnable(ctx.app, gift, now=ctx.app.clock.now())
    ctx.reply(*gift_view.card(ctx.words, gift, ctx.room.username, returnable=returnable))


async def start_with_gift(message: Message, command: CommandObject, ctx: Context) -> None:
    """Take the gift of a link. Its giver looks at it instead: who tries a link before sending it keeps it whole."""
    code = (command.args or "").removeprefix(gift_view.PAYLOAD_PREFIX)
    async with ctx.app.db.read() as connection:
        gift = await gifts.by_code(connection, code)
        known = await dialogs.exists(connection, person_id=ctx.person.id)
    if gift is not None and gift.giver_id == ctx.person.id and gift.receiver_id != ctx.person.id:
        _show(ctx, gift)
        return
    try:
        await _redeem(ctx, code, greet=None if known else message, command=command)
    except Rejected as rejected:
        ctx.unsay()
        ctx.reply(ctx.words.say(rejected.code, **rejected.params))
        if not known:
            await commands.start(message, command, ctx)


async def take(query: CallbackQuery, ctx: Context) -> None:
    """Take a gift by its button: the one that was offered, or one's own that nobody took."""
    await _redeem(ctx, _argument(query))
    await answer(ctx, query)


async def _redeem(
    ctx: Context, code: str, *, greet: Message | None = None, command: CommandObject | None = None
) -> None:
    now = ctx.app.clock.now()
    async with ctx.transaction() as tx:
        taken = await use.redeem(tx, ctx.person, code, now=now)
        ctx.reply(gift_view.received(ctx.words, taken, now))
        if greet is not None and command is not None:
            await commands.start(greet, command, ctx)


async def whom(query: CallbackQuery, ctx: Context) -> None:
    """Ask whom a gift is for, with Telegram's own list of people."""
    async with ctx.app.db.read() as connection:
        gift = await use.own(connection, person_id=ctx.person.id, gift_id=_number(query))
    if gift.status != "open":
        _show(ctx, gift)
    else:
        text, keyboard = gift_view.chooser(ctx.words, gift)
        ctx.send(SendMessage(chat_id=ctx.chat_id, text=text, reply_markup=keyboard))
    await answer(ctx, query)


async def chosen(message: Message, ctx: Context) -> None:
    """Tell the chosen person, if Forma knows them; else their friend gets the link to send."""
    shared = message.users_shared
    assert shared is not None
    say, now = ctx.words, ctx.app.clock.now()
    to = shared.users[0].user_id if shared.users else ctx.person.id
    async with ctx.transaction() as tx:
        gift, told = await use.offer(tx, ctx.person, shared.request_id, to=to, now=now)
        title, address = gift.titles[say.language], gift_view.link(ctx.room.username, gift.code)
        text = say.say("gift-offered", plan=title) if told else say.say("gift-send-yourself", link=address)
        ctx.send(SendMessage(chat_id=ctx.chat_id, text=text, reply_markup=ReplyKeyboardRemove(remove_keyboard=True)))


async def back_ask(query: CallbackQuery, ctx: Context) -> None:
    """One confirmation: the link stops working."""
    async with ctx.app.db.read() as connection:
        gift = await use.own(connection, person_id=ctx.person.id, gift_id=_number(query))
    say = ctx.words
    ctx.reply(
        say.say("gift-back-confirm", plan=gift.titles[say.language], stars=gift.amount),
        keyboards.rows([keyboards.press(say.say("button-gift-back-confirm"), "gift-back-yes", gift.id)]),
    )
    await answer(ctx, query)


async def back_do(query: CallbackQuery, ctx: Context) -> None:
    """Withdraw a gift that nobody took; its money goes back."""
    async with ctx.transaction() as tx:
        await use.give_back(ctx.app, tx, ctx.person, _number(query), now=ctx.app.clock.now())
        if query.message is not None:
            text = ctx.words.say("gift-back-asked")
            ctx.send(
                EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text),
                kind=outbox.CALL,
            )
    await answer(ctx, query)


def _argument(query: CallbackQuery) -> str:
    return (query.data or "").partition(":")[2]


def _number(query: CallbackQuery) -> int:
    raw = _argument(query)
    if not raw.isascii() or not raw.isdecimal() or len(raw) > 18:
        raise use.NotYours
    return int(raw)
