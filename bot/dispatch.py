"""Dispatch: one inbox row to its handler, with every outcome settled — handled, refused in words, or set aside."""

import asyncio
from typing import Any

import structlog
from aiogram import Bot, Dispatcher
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.enums import ChatType
from aiogram.methods import AnswerPreCheckoutQuery
from aiogram.types import Chat, Message, Update, User
from pydantic import ValidationError

from app import free_access, persons
from app.alerts import alert
from app.persons import Person
from bot import buttons, notices, whispers
from bot.context import ANONYMOUS_ADMIN_ID, AlreadyHandled, Context, Room
from kit import ids, inbox
from kit.errors import FormaError, InsufficientTokens, QueueFull, RateLimited, Rejected, Unavailable
from kit.inbox import Item
from kit.observability import updates_total
from kit.words import pick_language, words

log = structlog.get_logger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.5, 30.0
# Telegram gives up on a payment that nobody has answered for after 10 s.
CHECKOUT_S = 6.0
CHECKOUT = "pre_checkout_query"


class Dispatch:
    """Carries inbox rows through aiogram's routers."""

    def __init__(self, room: Room, bot: Bot, dispatcher: Dispatcher) -> None:
        self._room = room
        self._bot = bot
        self._dispatcher = dispatcher

    async def handle(self, item: Item) -> None:
        """Handle one row until it is settled. Never raises, but for cancellation."""
        structlog.contextvars.bind_contextvars(update=item.dedup_key)
        if CHECKOUT in item.body:
            await self._checkout(item)
            return
        pause_s = RETRY_FIRST_S
        while not await self._attempt(item):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_MAX_S)

    async def _checkout(self, item: Item) -> None:
        """Let a payment through or refuse it while its person waits; nothing is charged, so nothing is tried again."""
        try:
            async with asyncio.timeout(CHECKOUT_S):
                if await self._attempt(item):
                    return
        except TimeoutError:
            log.warning("checkout_timed_out")
        await self.refuse_checkout(item.body)
        try:
            await self._settle(item)
        except Unavailable as error:  # it is answered again after a restart, and Telegram does not mind
            log.warning("checkout_not_settled", what=error.what)

    async def refuse_checkout(self, update: dict[str, Any]) -> None:
        """Refuse a raw pre_checkout update in words, without asking anything of the database. Never raises."""
        query = update[CHECKOUT]
        say = words(pick_language(query["from"].get("language_code")))
        call = AnswerPreCheckoutQuery(
            pre_checkout_query_id=query["id"], ok=False, error_message=say.say("checkout-failed")
        )
        try:
            await self._room.sender.answer(call)
        except FormaError as error:
            log.warning("checkout_unanswered", error=type(error).__name__)

    async def _attempt(self, item: Item) -> bool:
        """Try once; False when it is to be tried again."""
        kind = "unknown"
        context: Context | None = None
        try:
            update = Update.model_validate(item.body, context={"bot": self._bot})
            kind = update.event_type
            context = await self._context(item, update)
            if context is None:
                await self._settle(item)
                return True
            await self._run(update, context)
            outcome = "handled"
        except AlreadyHandled:
            outcome = "known"
        except ValidationError:
            log.warning("update_not_understood", kinds=[k for k in item.body if k != "update_id"])
            await self._settle(item)
            outcome = "not_understood"
        except Exception as error:
            settled = await self._failed(item, context, error)
            updates_total.labels(type=kind, outcome="failed").inc()
            return settled
        updates_total.labels(type=kind, outcome=outcome).inc()
        return True

    async def _run(self, update: Update, context: Context) -> None:
        try:
            result = await self._dispatcher.feed_update(self._bot, update, ctx=context, room=self._room)
            if result is UNHANDLED:
                log.debug("update_unhandled", kind=update.event_type)
        except Rejected as rejected:
            context.unsay()
            await self._turn_down(update, context, rejected)
        if not context.handled:
            async with context.transaction():
                pass
        self._room.deliveries.set()

    async def _turn_down(self, update: Update, context: Context, rejected: Rejected) -> None:
        """Say why not, where the person looks: in an alert over the button, or below the message."""
        text = context.words.say(rejected.code, **notices.revived(context.words, rejected.params))
        if context.in_group and context.chat_id != self._room.admin_chat.id:
            # How much somebody has is nobody else's business; an alert is seen by whoever pressed.
            if update.callback_query is not None:
                await buttons.answer(context, update.callback_query, text, alert=True)
                return
            private = whispers.to_private_chat(context.words, self._room.username)
            context.whisper(text, private if isinstance(rejected, InsufficientTokens) else None)
            return
        ways_on = None
        if isinstance(rejected, RateLimited | QueueFull):
            ways_on = notices.to_lift(context.words, self._room.app.plans, rejected.lift.plan_id)
        if isinstance(rejected, InsufficientTokens):
            app = self._room.app
            async with app.db.read() as connection:
                trial = await free_access.offered(app, connection, person_id=context.person.id)
            ways_on = notices.ways_on(context.words, app.plans, trial=trial is not None)
        if update.callback_query is None or ways_on is not None:
            context.reply(text, ways_on, reply_to=update.message.message_id if update.message else None)
        if update.callback_query is not None:
            alert_text = None if ways_on else text
            await buttons.answer(context, update.callback_query, alert_text, alert=alert_text is not None)

    async def _context(self, item: Item, update: Update) -> Context | None:
        """Return the context with the person known and stored; None for updates that nobody is behind."""
        chat, user = _who(update)
        app = self._room.app
        if user is None or user.is_bot:
            return self._of_group(item, update)
        message = update.message
        if chat is not None and chat.type in {ChatType.GROUP, ChatType.SUPERGROUP}:
            async with app.db.read() as connection:
                known = await persons.find(connection, person_id=user.id)
            passer_by = known or self._passer_by(user.id, user.full_name, user.language_code)
            return self._in_group(item, chat, passer_by, _thread(update))
        async with app.db.transaction() as tx:
            person = await persons.ensure(
                tx,
                person_id=user.id,
                first_name=user.full_name,
                username=user.username,
                language=pick_language(user.language_code),
                source=_source(message.text if message else None),
                now=app.clock.now(),
            )
        return Context(
            room=self._room,
            item=item,
            chat_id=chat.id if chat else user.id,
            person=person,
            words=words(person.language),
        )

    def _of_group(self, item: Item, update: Update) -> Context | None:
        """Return the context of what a group itself says: an anonymous administrator, or Telegram of a new id."""
        message = update.message
        if message is None:
            return None
        anonymous = message.sender_chat is not None and message.sender_chat.id == message.chat.id
        if not anonymous and not message.migrate_to_chat_id:
            return None
        language = self._room.app.settings.admin_language
        name = message.author_signature or words(language).say("admin-anonymous")
        return self._in_group(item, message.chat, self._passer_by(ANONYMOUS_ADMIN_ID, name, language))

    def _in_group(self, item: Item, chat: Chat, person: Person, thread_id: int = 0) -> Context:
        return Context(
            room=self._room,
            item=item,
            chat_id=chat.id,
            person=person,
            words=words(person.language),
            thread_id=thread_id,
        )

    def _passer_by(self, person_id: int, name: str, language_code: str | None) -> Person:
        """Return somebody who is not stored: to be in a group with the bot is not to talk to it."""
        return Person(
            id=person_id,
            first_name=name,
            username=None,
            language=pick_language(language_code),
            settings={},
            blocked=False,
            created_at=self._room.app.clock.now(),
        )

    async def _settle(self, item: Item) -> None:
        app = self._room.app
        async with app.db.transaction() as tx:
            await inbox.mark_handled(tx, item.id, now=app.clock.now())

    async def _failed(self, item: Item, context: Context | None, error: Exception) -> bool:
        """Count a failed attempt; after the last one the person and the operator are told. True when settled."""
        app = self._room.app
        if isinstance(error, Unavailable) and error.what == "postgres":
            # Nothing was written and nothing can be recorded: a payment or a question must not be lost by counting.
            log.warning("update_delayed", error="postgres", detail=error.detail)
            return False
        if isinstance(error, (Unavailable, OSError)):
            log.warning("update_delayed", error=type(error).__name__, detail=str(error)[:200])
        else:
            log.error("update_failed", exc_info=error)
        try:
            code = ids.error_code()
            now = app.clock.now()
            async with app.db.transaction() as tx:
                aside = await inbox.mark_failed(tx, item.id, error=type(error).__name__, now=now)
                if aside:
                    await alert(app, tx, "admin-alert-bug", {"where": type(error).__name__, "code": code}, now=now)
            if aside and context is not None:
                async with app.db.transaction() as tx:
                    await context.apologise(tx, code)
                self._room.deliveries.set()
                log.error("update_set_aside", code=code)
            return aside
        except Exception as second:
            log.warning("failure_not_recorded", error=type(second).__name__)
            return False


def _who(update: Update) -> tuple[Chat | None, User | None]:
    event: Any = update.event
    chat = getattr(event, "chat", None)
    message = getattr(event, "message", None)
    if chat is None and message is not None:
        chat = message.chat
    user = getattr(event, "from_user", None) or getattr(event, "user", None)
    if user is None and chat is not None and chat.type == "private":
        # stopped_message_generation names the private chat only, which is its person's
        user = User(id=chat.id, is_bot=False, first_name=chat.first_name or "", username=chat.username)
    return chat, user


def _thread(update: Update) -> int:
    """Return the topic that an update belongs to. A thread of replies outside forums has a number too, and is none."""
    message = update.message or (update.callback_query.message if update.callback_query else None)
    if not isinstance(message, Message) or not message.is_topic_message:
        return 0
    return message.message_thread_id or 0


def _source(text: str | None) -> str | None:
    """Return the deep link payload of a /start, kept when it made the person."""
    if text and text.startswith("/start "):
        return text.removeprefix("/start ").strip()[:64] or None
    return None
