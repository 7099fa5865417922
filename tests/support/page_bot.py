"""A small bot with a fixed answer to everything, for what the chat page must show whatever a bot does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiogram import Bot, Dispatcher, F
from aiogram.filters import Command, CommandStart
from aiogram.types import (
    BotCommand,
    CallbackQuery,
    CopyTextButton,
    DisabledButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputRichMessage,
    KeyboardButton,
    KeyboardButtonRequestUsers,
    LabeledPrice,
    Message,
    PreCheckoutQuery,
    ReplyKeyboardMarkup,
)
from playwright.async_api import Page

from tests.support.browser import Chromium
from tests.support.sandbox_bot import Bench, sandbox_bot
from tests.support.telegram import Person

GROWN = "Protein " + "and sleep " * 20
MONTH_S = 30 * 24 * 3600

RICH = """# Week

| Day | Minutes |
|:----|-------:|
| Mon | 55 |

$BMR = 10m + 6{,}25h$ and $x^{2}$

- [x] Warm up
- [ ] Sleep

> Stop when it hurts.

<details><summary>Instead of squats</summary>

Lunges

</details>

```python
print("hi")
```"""


def keys(*rows: list[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    """An inline keyboard of these rows."""
    return InlineKeyboardMarkup(inline_keyboard=list(rows))


def greeting(third: str) -> InlineKeyboardMarkup:
    """The keyboard under the bot's first words; the third button says this."""
    return keys(
        [InlineKeyboardButton(text="Toast", callback_data="toast", style="primary")],
        [InlineKeyboardButton(text="Alert", callback_data="alert")],
        [InlineKeyboardButton(text=third, callback_data="change")],
        [
            InlineKeyboardButton(text="Copy", copy_text=CopyTextButton(text="A1B2")),
            InlineKeyboardButton(text="Off", disabled=DisabledButton()),
        ],
    )


@dataclass
class Script:
    """The bot; `seen` is what reached it, `refusal` what it says to every payment, `thought` ends its thinking."""

    bot: Bot
    seen: list[Message] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    thought: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: str | None = None

    def dispatcher(self) -> Dispatcher:
        """A dispatcher with all of its answers."""
        dispatcher = Dispatcher()
        dispatcher.message.register(self.greet, CommandStart())
        dispatcher.message.register(self.rich, Command("plan"))
        dispatcher.message.register(self.sell, Command("buy"))
        dispatcher.message.register(self.ask, Command("gift"))
        dispatcher.message.register(self.stream, F.text == "stream")
        dispatcher.message.register(self.note, ~F.successful_payment)
        dispatcher.callback_query.register(self.pressed)
        dispatcher.pre_checkout_query.register(self.checkout)
        dispatcher.stopped_message_generation.register(self.on_stop)
        return dispatcher

    async def greet(self, message: Message) -> None:
        await self.note(message)
        await message.answer("Hello from <b>Forma</b>", parse_mode="HTML", reply_markup=greeting("Change"))

    async def rich(self, message: Message) -> None:
        await self.bot.send_rich_message(message.chat.id, rich_message=InputRichMessage(markdown=RICH))

    async def sell(self, message: Message) -> None:
        link = await self.bot.create_invoice_link(
            title="Forma, a month",
            description="2,000 answers",
            payload=f"sub-{message.chat.id}",
            currency="XTR",
            prices=[LabeledPrice(label="month", amount=600)],
            subscription_period=MONTH_S,
        )
        await message.answer("Plans", reply_markup=keys([InlineKeyboardButton(text="Subscribe", url=link)]))

    async def ask(self, message: Message) -> None:
        wanted = KeyboardButtonRequestUsers(request_id=7)
        rows = [[KeyboardButton(text="Choose", request_users=wanted), KeyboardButton(text="Myself")]]
        await message.answer("For whom?", reply_markup=ReplyKeyboardMarkup(keyboard=rows))

    async def stream(self, message: Message) -> None:
        """Thinks until `thought`, then writes; whoever watches presses stop."""
        chat_id = message.chat.id
        await self.bot.send_message_draft(chat_id=chat_id, draft_id=5, text="", can_stop=True)
        await asyncio.wait_for(self.thought.wait(), 20)
        await self.bot.send_message_draft(chat_id=chat_id, draft_id=5, text=GROWN, can_stop=True)
        await asyncio.wait_for(self.stopped.wait(), 20)
        await message.answer("Stopped here")

    async def on_stop(self, _event: Any) -> None:
        self.stopped.set()

    async def note(self, message: Message) -> None:
        async with self.arrived:
            self.seen.append(message)
            self.arrived.notify_all()

    async def pressed(self, query: CallbackQuery) -> None:
        await query.answer(f"You pressed {query.data}", show_alert=query.data == "alert")
        if query.data == "change" and isinstance(query.message, Message):
            await query.message.edit_reply_markup(reply_markup=greeting("Changed"))

    async def checkout(self, query: PreCheckoutQuery) -> None:
        await query.answer(ok=self.refusal is None, error_message=self.refusal)

    async def until_seen(self, what: str) -> Message:
        """The first message with this field, waited for."""

        def found() -> Message | None:
            return next((message for message in self.seen if getattr(message, what, None)), None)

        async with self.arrived, asyncio.timeout(15):
            message: Message = await self.arrived.wait_for(found)
            return message


@dataclass
class Stand:
    """Sandbox, bot and browser."""

    bench: Bench
    script: Script
    browser: Chromium

    def page(self, fragment: str = "", **options: Any) -> AbstractAsyncContextManager[Page]:
        """The page on this sandbox; options are Chromium.page's."""
        return self.browser.page(self.bench.server.base_url, fragment, **options)

    async def person(self, name: str, **fields: Any) -> Person:
        """A new English person with 1000 Stars."""
        return await self.bench.tg.person(first_name=name, **({"language_code": "en", "stars": 1000} | fields))


@asynccontextmanager
async def standing(browser: Chromium) -> AsyncIterator[Stand]:
    """A sandbox of its own with the bot polling it."""
    async with sandbox_bot() as bench:
        script = Script(bench.bot)
        await bench.bot.set_my_commands([BotCommand(command="plan", description="A plan for the week")])
        await bench.bot.set_my_description("Coaches you")
        await bench.bot.set_my_description("Тренирует вас", language_code="ru")
        dispatcher = script.dispatcher()
        polling = asyncio.create_task(dispatcher.start_polling(bench.bot, handle_signals=False, polling_timeout=1))
        try:
            yield Stand(bench, script, browser)
        finally:
            await dispatcher.stop_polling()
            await asyncio.gather(polling, return_exceptions=True)
