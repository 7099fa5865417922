"""Summarising: the oldest turns of a dialog that outgrows its budget are put into a summary, at the house's cost.

The model is shown the beginning of the dialog as it knows it from the answers, earlier summary included, and asked for
one of all that: nearly all of the input lies in the server's prefix cache. The dialog goes on meanwhile; a summary
covers turns up to a number, and takes its place only if the one that it was made from is still there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import house_calls, persons, preferences
from app.context import App
from app.house_calls import Said
from app.persons import Person
from billing import entitlements
from inference import counting, dialogs, history, house_work, prompt, summaries, turns
from inference.dialogs import Message
from inference.errors import BrokenAnswer
from inference.house_work import Work
from inference.models import Model, Replica
from inference.prompt import ChatMessage
from inference.summaries import Summary
from inference.vllm import VllmClient

log = structlog.get_logger(__name__)

KEEP: Final = 0.4
"""So much of the budget the newest turns may take that stay whole; one turn always stays."""

SUMMARY_TOKENS_MIN, SUMMARY_TOKENS_MAX = 64, 700
SUMMARY_SHARE: Final = 0.125
"""Of the budget, within these bounds, for the summary itself."""

WORDS_A_TOKEN: Final = 0.35
CUT: Final = " […] "

_ASK: Final = {
    "ru": (
        "Сожми весь разговор выше в заметку для себя: цели и факты о человеке, числа, договорённости, что пробовали, "
        "открытые вопросы. Не больше {words} слов, по-русски, без вступления. Только то, что было сказано."
    ),
    "en": (
        "Condense the whole conversation above into a note to yourself: goals and facts about the person, numbers, "
        "agreements, what was tried, open questions. At most {words} words, in English, no introduction. Only what "
        "was said."
    ),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A dialog as it stands: whose budget counts, what is summarised already, and the turns that are whole."""

    person: Person
    model: Model
    budget: int
    """Tokens of a whole prompt."""
    known: Summary
    messages: list[Message]

    def head(self, summary: str) -> list[ChatMessage]:
        language = self.person.language
        system = prompt.persona(language, preferences.of(self.person.settings).length)
        return prompt.head(system, summary, language)

    @property
    def summary_tokens(self) -> int:
        return max(SUMMARY_TOKENS_MIN, min(SUMMARY_TOKENS_MAX, int(self.budget * SUMMARY_SHARE)))


async def summarise(app: App, vllm: VllmClient, work: Work) -> None:
    """Put the oldest turns of a dialog into its summary, if it outgrows its budget. Raises ModelError."""
    async with app.db.read() as connection:
        scene = await _look(app, connection, work.dialog_id)
    if scene is None:
        await _nothing_to_do(app, work)
        return
    async with house_calls.replica(app, scene.model, work.dialog_id) as server:
        scene = await _counted(app, vllm, server, scene)
        folded = _fold(scene)
        if not folded:
            await _nothing_to_do(app, work)
            return
        said = await _ask(vllm, server, scene, folded)
        text = _whole_lines(said)
        left = [*scene.head(text), *prompt.chat(scene.messages[len(folded) :])]
        tokens = await counting.whole(vllm, server, scene.model, left)
    if not text:  # which is no fault of the server's
        raise BrokenAnswer("no summary")
    await _keep(app, work, scene, folded, said, text=text, tokens=tokens)


async def _look(app: App, connection: AsyncConnection, dialog_id: int) -> Scene | None:
    last = await turns.last_closed(connection, dialog_id)
    person = await persons.find(connection, person_id=last.person_id) if last else None
    if last is None or person is None:
        return None
    model = app.chat_model(last.model) if last.model in app.models.entries else app.chat_model()
    entitlement = await entitlements.current(connection, person_id=person.id, now=app.clock.now())
    known = await summaries.of(connection, dialog_id)
    messages = await history.of(
        connection, dialog_id=dialog_id, turn_id=last.id, until=last.id, after=known.covers_turn_id, model=model.id
    )
    return Scene(person, model, min(entitlement.context_tokens, model.input_tokens_max), known, messages)


async def _counted(app: App, vllm: VllmClient, server: Replica, scene: Scene) -> Scene:
    """Return the scene with every message counted, as far as the server can; what is counted is kept."""
    messages = await counting.counted(vllm, server, scene.model, scene.messages)
    # An answer with its continuation is one message here and two in the table: it has no number.
    fresh = {
        new.id: new.tokens
        for new, old in zip(messages, scene.messages, strict=True)
        if new.id and old.tokens is None and new.tokens is not None
    }
    if fresh:
        async with app.db.transaction() as tx:
            await counting.remember(tx, fresh, model=scene.model.id)
    return replace(scene, messages=messages)


def _fold(scene: Scene) -> list[Message]:
    """Return the oldest turns that are to be summarised; none while there is room, or only one turn."""
    messages, budget = scene.messages, scene.budget
    sizes = [prompt.tokens_of(message) for message in messages]
    head = prompt.estimate_of(scene.head(scene.known.text))
    if head + sum(sizes) <= budget * prompt.CROWDED_AT:
        return []
    ends = prompt.turn_ends(messages)[:-1]
    enough = [end for end in ends if sum(sizes[end:]) <= budget * KEEP]
    wanted = min(enough, default=ends[-1] if ends else 0)
    # What the model reads in one call; the rest comes with the next one.
    room = scene.model.context_length - 2 * scene.summary_tokens - head
    fitting = [end for end in ends if end <= wanted and sum(sizes[:end]) <= room]
    if fitting:
        return messages[: max(fitting)]
    return _shortened(messages[: ends[0]], room) if wanted and room > 0 else []


def _shortened(turn: Sequence[Message], room: int) -> list[Message]:
    """Return a turn that is too long for the model with the middles of its messages left out."""
    part = room / sum(prompt.tokens_of(message) for message in turn)
    found = []
    for message in turn:
        half = int(len(message.text) * part * 0.4)
        cut = message.text if len(message.text) <= 2 * half else message.text[:half] + CUT + message.text[-half:]
        found.append(replace(message, text=cut, tokens=None))
    return found


async def _ask(vllm: VllmClient, server: Replica, scene: Scene, folded: list[Message]) -> Said:
    words = int(scene.summary_tokens * WORDS_A_TOKEN)
    wish = {"role": dialogs.USER, "content": _ASK[scene.person.language].format(words=words)}
    messages = [*scene.head(scene.known.text), *prompt.chat(folded), wish]
    return await house_calls.ask(
        vllm, server, scene.model, messages, person_id=scene.person.id, max_tokens=scene.summary_tokens
    )


def _whole_lines(said: Said) -> str:
    """Return a summary without the sentence in which it ran into its bound."""
    if not said.cut:
        return said.text
    end = max(said.text.rfind("\n"), *(said.text.rfind(stop) + 1 for stop in (". ", "! ", "? ", "; ")))
    return said.text[:end].rstrip() if end > len(said.text) // 2 else said.text


async def _keep(
    app: App, work: Work, scene: Scene, folded: list[Message], said: Said, *, text: str, tokens: int
) -> None:
    now = app.clock.now()
    async with app.db.transaction() as tx:
        dialog = await dialogs.lock(tx, work.dialog_id)
        kept = not dialog.deleted and await summaries.replace(
            tx,
            dialog_id=work.dialog_id,
            known=scene.known,
            text=text,
            covers_turn_id=folded[-1].turn_id,
            turns=scene.known.turns + len(prompt.turn_ends(folded)),
            prompt_tokens=tokens,
            now=now,
        )
        await house_calls.pay(tx, work, scene.model, said.usage, now=now)
        await house_work.done(tx, work)
        if kept and tokens > scene.budget * prompt.CROWDED_AT:
            await house_work.want(tx, dialog_id=work.dialog_id, kind="summary", now=now)
    log.info("dialog_summarised", dialog=work.dialog_id, kept=kept, messages=len(folded), tokens=tokens)


async def _nothing_to_do(app: App, work: Work) -> None:
    async with app.db.transaction() as tx:
        await house_work.done(tx, work)
