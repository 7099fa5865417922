"""Thinking deeper: off by default, asked for by /think or a button, shown folded, priced, and never told to the model.

The simulated model reasons where the chat template is told to, says that it is simulated, and takes `[[reasoning: …]]`.
"""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from kit.words import words
from tests.e2e.conftest import ADMIN_GROUP, QUICK
from tests.support.forma import Forma, running
from tests.support.telegram import Person, Seen

RU = words("ru").say
THOUGHT = "Это симуляция рассуждения."


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Forma]:
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start(**QUICK)
    try:
        async with running(
            database_url, redis_url, tg, model, admin_chat_id=ADMIN_GROUP, model_reasoning_parser="sandbox"
        ) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


async def ask(forma: Forma, person: Person, text: str) -> Seen:
    """Ask, and return the answer's last message once all is done."""
    await forma.said(person, text)
    return forma.answers(person)[-1]


def folded(seen: Seen) -> str:
    """What is folded in a message."""
    units = seen.raw["text"].encode("utf-16-le")
    quotes = [one for one in seen.raw.get("entities", ()) if one["type"] == "expandable_blockquote"]
    return "".join(units[one["offset"] * 2 : (one["offset"] + one["length"]) * 2].decode("utf-16-le") for one in quotes)


async def choose(forma: Forma, person: Person, button: str) -> None:
    await person.send("/think")
    screen = await person.wait_for(lambda seen: button in seen.labels)
    await person.press(screen, button)
    await forma.quiet(person)


async def test_help_names_the_command(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("/help")
    listed = await person.wait_for("/balance")
    assert listed.text == RU("help", think=True)
    assert "остановить ответ\n/think — подумать глубже\n/balance" in listed.text


async def test_the_model_does_not_reason_unless_it_is_asked_to(forma: Forma) -> None:
    person = await forma.person("ru")
    answer = await ask(forma, person, "Сколько спать?")
    assert folded(answer) == ""
    assert THOUGHT not in answer.text
    assert RU("button-think") in answer.labels


async def test_the_next_question_is_thought_about_and_the_one_after_is_not(forma: Forma) -> None:
    person = await forma.person("ru")
    await choose(forma, person, RU("button-think-next"))
    answer = await ask(forma, person, "Сколько бегать?")
    assert folded(answer).startswith(RU("thoughts"))
    assert THOUGHT in folded(answer)
    assert "Сколько бегать?" in answer.text.removeprefix(folded(answer))
    assert RU("button-think") not in answer.labels
    output = "SELECT output_tokens FROM turns WHERE person_id = :id ORDER BY id DESC LIMIT 1"
    thoughts = (
        "SELECT thoughts FROM messages m JOIN turns t ON t.id = m.turn_id WHERE person_id = :id AND role = 'assistant'"
    )
    assert THOUGHT in await forma.scalar(thoughts, id=person.id)
    stored = await forma.scalar("SELECT text FROM messages WHERE chat_id = :id AND role = 'assistant'", id=person.id)
    assert THOUGHT not in stored
    assert await forma.scalar(output, id=person.id) > 20
    after = await ask(forma, person, "[[prompt]] А плавать?")
    assert folded(after) == ""
    assert THOUGHT not in after.text
    assert await forma.violations() == []


async def test_reasoning_is_priced_as_output(forma: Forma) -> None:
    person = await forma.person("ru")
    thought = "слово " * 200
    await ask(forma, person, f"[[reasoning: {thought}]] [[echo: да]]")
    row = await forma.scalar(
        """
        SELECT output_tokens > 200 AND billed_tokens >= output_tokens
        FROM turns t WHERE person_id = :id
        """,
        id=person.id,
    )
    assert row is True
    assert await forma.violations() == []


async def test_a_whole_dialog_can_be_thought_about_until_it_is_turned_off(forma: Forma) -> None:
    person = await forma.person("ru")
    await choose(forma, person, RU("button-think-on"))
    assert THOUGHT in folded(await ask(forma, person, "Первый вопрос"))
    assert THOUGHT in folded(await ask(forma, person, "Второй вопрос"))
    await choose(forma, person, RU("button-think-off"))
    assert folded(await ask(forma, person, "Третий вопрос")) == ""


async def test_a_question_behind_the_command_is_thought_about_at_once(forma: Forma) -> None:
    person = await forma.person("ru")
    answer = await ask(forma, person, "/think Зачем разминка?")
    assert THOUGHT in folded(answer)
    assert "Зачем разминка?" in answer.text
    assert folded(await ask(forma, person, "А заминка?")) == ""


async def test_the_button_asks_again_with_reasoning(forma: Forma) -> None:
    person = await forma.person("ru")
    answer = await ask(forma, person, "Нужен ли креатин?")
    pressed = await person.press(answer, RU("button-think"))
    assert (await person.toast(pressed))["text"] == RU("toast-thinking")
    await forma.quiet(person)
    newer = forma.answers(person)[-1]
    assert THOUGHT in folded(newer)
    assert "Нужен ли креатин?" in newer.text
    again = await person.press(answer, data=answer.buttons[-1]["callback_data"])
    assert (await person.toast(again))["text"] == RU("toast-already")


async def test_long_thoughts_are_shown_in_part_and_an_address_in_them_is_no_link(forma: Forma) -> None:
    person = await forma.person("ru")
    await ask(forma, person, f"[[reasoning: смотри evil.example/a {'мысль ' * 500}]] [[echo: готово]]")
    answer = forma.answers(person)[-1]
    assert 1_000 < len(folded(answer)) < 1_600
    assert folded(answer).endswith("…")
    assert "готово" in answer.text
    assert not [one for one in answer.raw["entities"] if one["type"] in {"url", "text_link"}]


async def test_the_preview_says_that_it_is_thinking(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send(f"/think [[slow]] [[reasoning: {'мысль ' * 150}]] [[echo: готово]]")
    await person.wait_draft(RU("preview-thinking"), timeout_s=15)
    await person.stop()
    note = await person.wait_for("⏹", timeout_s=5)
    assert note.text == RU("stopped-in-queue")
    await forma.quiet(person)
    assert await forma.violations() == []


async def test_an_answer_that_is_all_reasoning_ends_in_words_and_costs_nothing(forma: Forma) -> None:
    person = await forma.person("ru")
    await ask(forma, person, "[[echo: да]]")
    await forma.spend(person, leave=300)
    failure = await ask(forma, person, f"[[reasoning: {'а б ' * 1_000}]]")
    code = await forma.scalar(
        "SELECT error_code FROM turns WHERE person_id = :id ORDER BY id DESC LIMIT 1", id=person.id
    )
    assert failure.text == RU("error-only-thoughts", code=code)
    assert RU("button-retry") in failure.labels
    assert await forma.violations() == []
