"""Titling: a dialog gets its title from its first exchange, by the model, after the answer has been sent."""

from typing import Final

from app import house_calls, persons, preferences
from app.context import App
from inference import dialog_list, dialogs, house_work, prompt, titles
from inference.errors import BrokenAnswer
from inference.house_work import Work
from inference.vllm import VllmClient

TITLE_TOKENS_MAX: Final = 40
# Of each message so much is read; its beginning says what it is about.
MESSAGE_CHARS_MAX: Final = 2_000

_ASK: Final = {
    "ru": "Назови этот разговор одной строкой: от двух до шести слов, по-русски, без кавычек и точки. Только название.",
    "en": "Name this conversation in one line: two to six words, in English, no quotes, no full stop. The name only.",
}


async def entitle(app: App, vllm: VllmClient, work: Work) -> None:
    """Give a dialog its title, unless its person was quicker. Raises ModelError, when no title came either."""
    async with app.db.read() as connection:
        opening = await dialog_list.opening(connection, work.dialog_id)
        person = await persons.find(connection, person_id=opening.person_id) if opening else None
    if opening is None or person is None:
        async with app.db.transaction() as tx:
            await house_work.done(tx, work)
        return
    model = app.chat_model(opening.model) if opening.model in app.models.entries else app.chat_model()
    # The same beginning as the answer's prompt had: the server has it in its cache.
    system = prompt.persona(person.language, preferences.of(person.settings).length)
    messages = [
        {"role": "system", "content": system},
        *({"role": one.role, "content": one.text[:MESSAGE_CHARS_MAX]} for one in opening.messages),
        {"role": dialogs.USER, "content": _ASK[person.language]},
    ]
    async with house_calls.replica(app, model, work.dialog_id) as server:
        said = await house_calls.ask(vllm, server, model, messages, person_id=person.id, max_tokens=TITLE_TOKENS_MAX)
    title = titles.of_model(said.text)
    if not title:
        raise BrokenAnswer("no title")
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await dialog_list.entitle(tx, dialog_id=work.dialog_id, title=title)
        await house_calls.pay(tx, work, model, said.usage, now=now)
        await house_work.done(tx, work)
