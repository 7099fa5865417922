"""/settings and /language: one screen that is edited in place, one tap a choice."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from app import persons, preferences
from app.preferences import CHOICES, Preferences
from bot import keyboards, menu
from bot.buttons import answer
from bot.context import Context
from kit import outbox
from kit.words import LANGUAGES, Words, words


def router() -> Router:
    """Return the router of the settings."""
    made = Router(name="settings")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(show, private, Command("settings"))
    made.message.register(language, private, Command("language"))
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(open_screen, F.data.startswith("settings:"))
    made.callback_query.register(choose, F.data.startswith("set:"))
    made.callback_query.register(choose_language, F.data.startswith("language:"))
    return made


async def show(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("settings"), _home(ctx.words, _of(ctx)))


async def language(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("language"), _languages(ctx.words))


async def open_screen(query: CallbackQuery, ctx: Context) -> None:
    """Show one setting's choices, or go back to all of them."""
    name = _argument(query, 1)
    if name in CHOICES:
        text, keyboard = _screen(ctx.words, name, _of(ctx))
    elif name == "language":
        text, keyboard = ctx.words.say("language"), _languages(ctx.words)
    else:
        text, keyboard = ctx.words.say("settings"), _home(ctx.words, _of(ctx))
    _edit(ctx, query, text, keyboard)
    await answer(ctx, query)


async def choose(query: CallbackQuery, ctx: Context) -> None:
    """Store a choice and go back to the first screen."""
    name, value = _argument(query, 1), _argument(query, 2)
    if value not in CHOICES.get(name, ()):
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    chosen = preferences.of({**ctx.person.settings, name: value}, preview_default=ctx.app.settings.preview)
    async with ctx.transaction() as tx:
        await persons.set_setting(tx, ctx.person.id, name, value)
        _edit(ctx, query, ctx.words.say("settings"), _home(ctx.words, chosen))
    await answer(ctx, query, ctx.words.say("toast-saved"))


async def choose_language(query: CallbackQuery, ctx: Context) -> None:
    """Speak another language from now on, in the command menu too."""
    wanted = _argument(query, 1)
    if wanted not in LANGUAGES:
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    spoken = words(wanted)
    async with ctx.transaction() as tx:
        await persons.set_language(tx, ctx.person.id, wanted)
        _edit(ctx, query, spoken.say("language-set"), None)
        ctx.send(menu.for_person(ctx.person.id, spoken, think=ctx.app.reasons), kind=outbox.CALL)
    await answer(ctx, query)


def _of(ctx: Context) -> Preferences:
    return preferences.of(ctx.person.settings, preview_default=ctx.app.settings.preview)


def _argument(query: CallbackQuery, index: int) -> str:
    parts = (query.data or "").split(":")
    return parts[index] if len(parts) > index else ""


def _edit(ctx: Context, query: CallbackQuery, text: str, keyboard: InlineKeyboardMarkup | None) -> None:
    assert query.message is not None
    ctx.send(
        EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text, reply_markup=keyboard),
        kind=outbox.CALL,
    )


def _home(say: Words, chosen: Preferences) -> InlineKeyboardMarkup:
    return keyboards.rows(
        [keyboards.press(say.say("button-settings-text", value=chosen.text), "settings", "text")],
        [keyboards.press(say.say("button-settings-preview", value=chosen.preview), "settings", "preview")],
        [keyboards.press(say.say("button-settings-length", value=chosen.length), "settings", "length")],
        [keyboards.press(say.say("button-settings-language"), "settings", "language")],
    )


def _screen(say: Words, name: str, chosen: Preferences) -> tuple[str, InlineKeyboardMarkup]:
    """Return one setting's words and its choices, the present one marked."""
    texts = {
        "text": say.say("settings-text"),
        "preview": say.say("settings-preview"),
        "length": say.say("settings-length"),
    }
    labels = {
        "plain": say.say("button-text-plain"),
        "rich": say.say("button-text-rich"),
        "draft": say.say("button-preview-draft"),
        "edit": say.say("button-preview-edit"),
        "off": say.say("button-preview-off"),
        "short": say.say("button-length-short"),
        "detailed": say.say("button-length-detailed"),
    }
    current = getattr(chosen, name)
    lines = [
        [
            keyboards.press(
                say.say("button-chosen", label=labels[value]) if value == current else labels[value], "set", name, value
            )
        ]
        for value in CHOICES[name]
    ]
    return texts[name], keyboards.rows(*lines, [keyboards.press(say.say("button-back"), "settings", "home")])


def _languages(say: Words) -> InlineKeyboardMarkup:
    return keyboards.rows(
        [
            keyboards.press(say.say("button-language-ru"), "language", "ru"),
            keyboards.press(say.say("button-language-en"), "language", "en"),
        ]
    )
