"""Accept: a person's message becomes part of a turn, its tokens are held, and its ticket goes into the fair queue.

One Lua call admits and keeps the place; one transaction writes message, turn and hold together with whatever marks
the update as handled; then the ticket is queued. A crash in between loses nothing: the sweeper submits what is open.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import plan_limits, service_lanes
from app.context import App
from app.persons import Person
from app.plan_limits import Place
from billing import allowance, entitlements, holds
from billing.entitlements import Entitlement
from inference import dialogs, history, prompt, rework, thinking, turns
from inference.dialogs import Author
from inference.models import Model
from inference.queue.ticket import Ticket, microseconds
from inference.rework import Rework
from inference.turns import Turn
from kit import signals
from kit.errors import InsufficientTokens, QueueFull, Unavailable
from kit.observability import rejections_total

log = structlog.get_logger(__name__)

GATHER_S = 1.2
# The least that must be available to begin an answer; one that runs out is finished from the courtesy lot.
ANSWER_TOKENS_MIN = 100
COURTESY_TOKENS_MAX = 2_000
OUTPUT_TOKENS_MIN = 256
# What a model may think before it answers, on top of the answer's own bound.
THINKING_TOKENS_MAX = 4_096
# The system message and a margin for the template, in tokens by the bound of bytes.
SYSTEM_TOKENS = 1_200
QUEUE_DEADLINE = timedelta(minutes=30)

Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Fate(StrEnum):
    """What became of an accepted message."""

    OPENED = "opened"  # it began a turn
    JOINED = "joined"  # it is part of a turn that nobody has started yet
    WAITS = "waits"  # an answer runs; the next turn will take it
    KNOWN = "known"  # it was accepted before


@dataclass(frozen=True, slots=True)
class Incoming:
    """A text of a person. `gather`: more parts may follow at once (a long text that was split, an album, forwards).

    `author` is for groups: the name that the model reads; `thread_id` is the topic of a forum.
    """

    person: Person
    chat_id: int
    message_id: int
    text: str
    gather: bool = False
    thread_id: int = 0
    author: Author | None = None
    think: bool = False
    """Whether the model is to reason about this question."""

    @property
    def owner_id(self) -> int | None:
        """Whose dialog it is: nobody's in a group."""
        return None if self.author else self.person.id


@dataclass(frozen=True, slots=True)
class Accepted:
    """`turn` is the turn that the message belongs to, None while it waits or was known."""

    fate: Fate
    turn: Turn | None


async def accept(app: App, incoming: Incoming, begin: Transaction) -> Accepted:
    """Accept a message within the transaction that `begin` opens; queue its turn after the commit.

    Raises RateLimited or QueueFull before anything is written, InsufficientTokens with everything rolled back. While
    Redis is away messages are accepted without the limits of rate: the sweeper queues them when it is back.
    """
    now = app.clock.now()
    entitlement, opens = await _look(app, incoming, now)
    key = f"{incoming.chat_id}:{incoming.message_id}"
    person_id = incoming.person.id
    place: Place | None = None
    if opens:
        place = await plan_limits.admit(
            app, app.chat_model_of(entitlement.plan_id), entitlement, person_id=person_id, key=key
        )
    try:
        async with begin() as tx:
            admitted = plan_limits.turn_key(place, key)
            accepted = await _write(app, tx, incoming, entitlement, admitted, now)
    except InsufficientTokens as error:
        await plan_limits.give_back(place, request=not error.reserved)
        if not error.reserved:
            rejections_total.labels(code=error.code).inc()
            raise with_next_tokens(error, entitlement, now) from None
        # Another answer of this person holds the rest; its end opens this turn.
        async with begin() as tx:
            return await _keep(tx, incoming, now)
    if accepted.fate is Fate.OPENED and accepted.turn:
        await queue(app, accepted.turn)
    else:  # a message that waits is a request; one that is known, or part of another's turn, is none
        await plan_limits.give_back(place, request=accepted.fate is not Fate.WAITS)
    log.info(
        "turn_accepted",
        turn=accepted.turn.id if accepted.turn else None,
        person=incoming.person.id,
        fate=accepted.fate.value,
    )
    return accepted


def with_next_tokens(error: InsufficientTokens, entitlement: Entitlement, now: datetime) -> InsufficientTokens:
    """Return the same refusal, saying when the person's plan brings free tokens again."""
    next_s = int((allowance.renews_at(now) - now).total_seconds()) if entitlement.daily_tokens else 0
    return InsufficientTokens(posted=error.posted, reserved=error.reserved, needed=error.needed, next_s=next_s)


async def _look(app: App, incoming: Incoming, now: datetime) -> tuple[Entitlement, bool]:
    """Return the person's entitlement, and whether this message will need a turn of its own."""
    async with app.db.read() as connection:
        entitlement = await entitlements.current(connection, person_id=incoming.person.id, now=now)
        turn = await turns.open_of_chat(connection, incoming.chat_id, incoming.thread_id)
        if turn is None:
            return entitlement, True
        joins = _takes(turn, incoming)
        if joins:
            there, most = await dialogs.asked(connection, turn.id), dialogs.TURN_MESSAGES_MAX
        else:
            waiting = await dialogs.waiting(connection, turn.dialog_id, author_id=incoming.person.id)
            there, most = len(waiting.ids), dialogs.WAITING_MESSAGES_MAX
    if there >= most:
        rejections_total.labels(code=QueueFull.code).inc()
        raise QueueFull(scope="dialog", retry_after_s=30)
    # The first that waits will open the next turn; the others join it there.
    return entitlement, not joins and not there


def _takes(turn: Turn, incoming: Incoming) -> bool:
    """Tell whether a message may join an open turn: nobody has begun it, it is this person's, and it asks something."""
    return not turn.started and turn.person_id == incoming.person.id and turn.instruction is None


async def _write(
    app: App, tx: AsyncConnection, incoming: Incoming, entitlement: Entitlement, key: str, now: datetime
) -> Accepted:
    person, chat = incoming.person, incoming.chat_id
    dialog_id = await dialogs.lock_active(
        tx, chat_id=chat, person_id=incoming.owner_id, now=now, thread_id=incoming.thread_id
    )
    turn = await turns.open_of_dialog(tx, dialog_id)
    joins = turn is not None and _takes(turn, incoming)
    if incoming.think:
        await thinking.think_once(tx, dialog_id)
    message_id = await dialogs.add_user_message(
        tx,
        dialog_id=dialog_id,
        turn_id=turn.id if turn and joins else None,
        chat_id=chat,
        message_id=incoming.message_id,
        text=incoming.text,
        now=now,
        author=incoming.author,
    )
    if message_id is None:
        return Accepted(Fate.KNOWN, None)
    ready_at = now + timedelta(seconds=GATHER_S) if incoming.gather else now
    if turn and not joins:
        return Accepted(Fate.WAITS, None)
    if turn:
        await widen(app, tx, turn, incoming.text, ready_at=ready_at)
        return Accepted(Fate.JOINED, turn)
    opened = await open_for_waiting(
        app,
        tx,
        dialog_id=dialog_id,
        person=person,
        chat_id=chat,
        entitlement=entitlement,
        admit_key=key,
        ready_at=ready_at,
        now=now,
    )
    return Accepted(Fate.OPENED, opened)


async def _keep(tx: AsyncConnection, incoming: Incoming, now: datetime) -> Accepted:
    """Store a message that opens no turn yet."""
    dialog_id = await dialogs.lock_active(
        tx, chat_id=incoming.chat_id, person_id=incoming.owner_id, now=now, thread_id=incoming.thread_id
    )
    message_id = await dialogs.add_user_message(
        tx,
        dialog_id=dialog_id,
        turn_id=None,
        chat_id=incoming.chat_id,
        message_id=incoming.message_id,
        text=incoming.text,
        now=now,
        author=incoming.author,
    )
    return Accepted(Fate.KNOWN if message_id is None else Fate.WAITS, None)


async def widen(app: App, tx: AsyncConnection, turn: Turn, text: str, *, ready_at: datetime | None = None) -> None:
    """Make room for `text` in a turn that nobody has started, as far as its model and the person's plan read."""
    entitlement = await entitlements.current(tx, person_id=turn.person_id, now=app.clock.now())
    room = min(app.chat_model(turn.model).input_tokens_max, entitlement.context_tokens) - turn.input_max
    wanted = prompt.bound(len(text.encode()), 1)
    await turns.widen(tx, turn.id, input_tokens=max(0, min(wanted, room)), ready_at=ready_at)


async def open_for_waiting(
    app: App,
    tx: AsyncConnection,
    *,
    dialog_id: int,
    person: Person,
    chat_id: int,
    entitlement: Entitlement,
    admit_key: str,
    ready_at: datetime,
    now: datetime,
    think: bool | None = None,
) -> Turn | None:
    """Open a turn over the messages of a locked dialog that wait, with its hold; None if none wait.

    Raises InsufficientTokens; the caller decides between telling the person and letting the messages wait.
    """
    waiting = await dialogs.waiting(tx, dialog_id, author_id=person.id)
    if not waiting.ids:
        return None
    opening = Opening(
        dialog_id, person, chat_id, entitlement, admit_key, ready_at, waiting.last_message_id, think=think
    )
    turn = await open_turn(app, tx, opening, now=now)
    await dialogs.take(tx, waiting.ids, turn.id)
    return turn


@dataclass(frozen=True, slots=True)
class Opening:
    """What a new turn of a locked dialog is opened with; `rework` for one without a question of its own."""

    dialog_id: int
    person: Person
    chat_id: int
    entitlement: Entitlement
    admit_key: str
    ready_at: datetime
    reply_to_message_id: int | None = None
    rework: Rework | None = None
    think: bool | None = None
    """Whether the model reasons; None leaves it to the dialog."""


async def open_turn(app: App, tx: AsyncConnection, opening: Opening, *, now: datetime) -> Turn:
    """Open a turn with its hold. Raises InsufficientTokens."""
    person, entitlement, asked = opening.person, opening.entitlement, opening.rework
    model = app.chat_model_of(entitlement.plan_id)
    await allowance.ensure(tx, person_id=person.id, now=now)
    thread_id, wished = await thinking.begin_turn(tx, opening.dialog_id)
    think = model.reasons and (wished if opening.think is None else opening.think)
    output_max = min(model.answer_tokens_max, entitlement.answer_tokens)
    if think:  # half of the context is the prompt's, whatever is thought
        output_max = max(output_max, min(output_max + THINKING_TOKENS_MAX, model.context_length // 2))
    input_max = await _input_max(tx, model, opening, output_max)
    turn = await turns.open_turn(
        tx,
        turns.Draft(
            dialog_id=opening.dialog_id,
            person_id=person.id,
            chat_id=opening.chat_id,
            reply_to_message_id=opening.reply_to_message_id,
            model=model.id,
            ready_at=opening.ready_at,
            input_max=input_max,
            output_max=output_max,
            price_input=model.prices.input,
            price_cached=model.prices.cached,
            price_output=model.prices.output,
            weight=entitlement.weight,
            in_flight_max=entitlement.in_flight,
            admit_key=opening.admit_key,
            thread_id=thread_id,
            thinking=think,
            instruction=asked.instruction if asked else None,
            about_turn_id=asked.about if asked else None,
            pressed_turn_id=asked.pressed if asked else None,
        ),
        now=now,
    )
    # A model may cost next to nothing; a hold is of one token at least.
    most = max(1, turn.cost(input_tokens=input_max, cached_tokens=0, output_tokens=output_max))
    least = min(ANSWER_TOKENS_MIN, most)
    hold = await holds.place(tx, person_id=person.id, turn_id=turn.id, tokens_min=least, tokens_max=most, now=now)
    if hold.tokens < most:
        affordable = _affordable_output(turn, hold.tokens)
        turn = await turns.limit_output(tx, turn, output_max=min(output_max, affordable))
    return turn


async def _input_max(tx: AsyncConnection, model: Model, opening: Opening, output_max: int) -> int:
    """Return the most prompt tokens this turn may take: what the dialog can need, within plan and model."""
    size, count = await history.size(tx, opening.dialog_id)
    if opening.rework:
        size, count = size + rework.INSTRUCTION_BYTES_MAX, count + 1
    room = model.context_length - max(output_max, model.answer_tokens_max)
    return min(SYSTEM_TOKENS + prompt.bound(size, count), opening.entitlement.context_tokens, room)


def _affordable_output(turn: Turn, tokens: int) -> int:
    """Return the output that a hold of `tokens` and the courtesy lot pay for, at least a short answer."""
    if not turn.price_output:
        return turn.output_max
    paid = (tokens + COURTESY_TOKENS_MAX) * 1000 - turn.input_max * turn.price_input
    return max(OUTPUT_TOKENS_MIN, paid // turn.price_output)


async def queue(app: App, turn: Turn) -> None:
    """Put an open turn into the fair queue and wake a worker; at its `ready_at` if that is ahead.

    Idempotent. A maintenance window keeps the turn back, and its person is told. A Redis that is away is logged only:
    the sweeper does this again for every turn the queue lacks.
    """
    try:
        wait_s = (turn.ready_at - app.clock.now()).total_seconds()
        if wait_s > 0:
            await app.jobs.enqueue("queue_turn", turn.id, at=datetime.now(UTC) + timedelta(seconds=wait_s))
            return
        if window := service_lanes.kept_by(app, turn):
            await service_lanes.tell(app, [turn], window)
            return
        fair = app.queues.get(turn.model)
        if fair is None:  # its entry has left models.toml: the sweeper ends the turn in words
            return
        await fair.submit(ticket(app, turn), key=turn.admit_key)
        await signals.send(app.redis, signals.TURNS)
    except Unavailable as error:
        log.warning("turn_not_queued", turn=turn.id, what=error.what)


def ticket(app: App, turn: Turn) -> Ticket:
    """Return the ticket that stands for an open turn."""
    weight, in_flight_max = service_lanes.lane(app, turn)
    return Ticket(
        turn_id=turn.id,
        person_id=turn.person_id,
        weight=weight,
        base_cap=1,
        input_tokens=turn.input_max,
        cached_tokens_est=0,
        output_max=turn.output_max,
        in_flight_max=in_flight_max,
        deadline_us=microseconds(datetime.now(UTC) + QUEUE_DEADLINE),
    )
