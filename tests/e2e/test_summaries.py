"""Summaries: what a dialog's oldest turns become when it outgrows its budget, made by the house while it goes on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from kit.words import words
from tests.support.forma import Forma
from tests.support.talkative import put_off, talkative
from tests.support.telegram import Person

both = pytest.mark.parametrize("language", ["ru", "en"])
BUDGET = 1_500
WISH = {"ru": "Сожми весь разговор", "en": "Condense the whole conversation"}
RECALL = {"ru": "Напомни коротко", "en": "Remind me briefly"}
OF_PERSON = "FROM summaries s JOIN dialogs d ON d.id = s.dialog_id WHERE d.person_id = :id"
WORK_OF_PERSON = "FROM house_work w JOIN dialogs d ON d.id = w.dialog_id WHERE d.person_id = :id AND w.kind = 'summary'"


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Forma]:
    folder = tmp_path_factory.mktemp("summaries")
    async with talkative(database_url, redis_url, folder, context_tokens=BUDGET, house_calls=2) as forma:
        yield forma


async def talk(forma: Forma, person: Person, numbers: range) -> None:
    """Ask questions that can be told apart, each with an answer of 150 tokens."""
    for number in numbers:
        await forma.said(person, f"[[tokens: 150]] question-{number}")


async def summarised(forma: Forma, person: Person, version: int = 1) -> None:
    """Wait for the summary. An answer that was given meanwhile may want the next one; `rested` waits for that too."""
    await forma.quiet_until(f"SELECT max(version) >= :version {OF_PERSON}", id=person.id, version=version)


async def prompt_of(forma: Forma, person: Person) -> list[dict[str, Any]]:
    """The messages of the person's last prompt."""
    mine = [one for one in await forma.llm.requests() if one["body"].get("cache_salt") == str(person.id)]
    answered = [one for one in mine if "[[" in one["body"]["messages"][-1]["content"]]
    found: list[dict[str, Any]] = answered[-1]["body"]["messages"]
    return found


async def rested(forma: Forma, person: Person) -> None:
    """Wait until nothing is to be summarised."""
    await forma.quiet_until(f"SELECT count(*) = 0 {WORK_OF_PERSON}", id=person.id)


async def wishes(forma: Forma, person: Person) -> list[list[dict[str, Any]]]:
    """The prompts by which summaries were asked for."""
    return [
        one["body"]["messages"]
        for one in await forma.llm.requests()
        if one["body"].get("cache_salt") == str(person.id)
        and one["body"]["messages"][-1]["content"].startswith(tuple(WISH.values()))
    ]


def questions(messages: list[dict[str, Any]]) -> list[int]:
    """The numbers of the questions that stand in a prompt, word for word."""
    own = [one["content"] for one in messages if one["role"] == "user" and "question-" in one["content"]]
    return [int(text.rpartition("question-")[2]) for text in own]


@both
async def test_the_oldest_turns_give_way_to_a_summary_that_nobody_pays_for(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await talk(forma, person, range(1, 8))
    await summarised(forma, person)
    await rested(forma, person)
    asked_for = await wishes(forma, person)
    await forma.said(person, "[[tokens: 20]] question-8")
    system, recall, summary, *rest = await prompt_of(forma, person)
    assert system["role"] == "system"
    assert recall["role"] == "user"
    assert recall["content"].startswith(RECALL[language])
    kept = await forma.scalar(f"SELECT text {OF_PERSON}", id=person.id)
    assert summary == {"role": "assistant", "content": kept}
    whole = questions(rest)
    assert whole == list(range(whole[0], 9))
    assert [number for wish in asked_for for number in questions(wish)] == list(range(1, whole[0]))
    billed = "SELECT sum(billed_tokens) FROM turns WHERE person_id = :id"
    used = """
        SELECT -sum(e.amount) FROM ledger_entries e JOIN accounts a ON a.id = e.account_id
        JOIN ledger_tx t ON t.id = e.tx_id WHERE a.person_id = :id AND t.kind = 'usage'
    """
    assert await forma.scalar(billed, id=person.id) == await forma.scalar(used, id=person.id)
    house = """
        SELECT count(*) FROM ledger_tx t JOIN dialogs d ON t.ref_id LIKE 'summary:' || d.id || ':%'
        WHERE d.person_id = :id AND t.ref_type = 'house'
    """
    assert await forma.scalar(house, id=person.id) == len(asked_for) >= 1
    assert await forma.violations() == []


@both
async def test_what_is_remembered_is_shown_and_can_be_forgotten(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await talk(forma, person, range(1, 8))
    await summarised(forma, person)
    await rested(forma, person)
    await person.send("/context")
    seen = await person.wait_for(lambda one: say("button-summary-forget") in one.labels)
    covered = await forma.scalar(f"SELECT turns {OF_PERSON}", id=person.id)
    assert say("context-summary", turns=covered) in seen.text
    assert "Симуляция" in seen.text or "imulat" in seen.text
    used = await forma.scalar(f"SELECT prompt_tokens {OF_PERSON}", id=person.id)
    last = await forma.scalar(
        "SELECT input_tokens + output_tokens FROM turns WHERE person_id = :id ORDER BY id DESC LIMIT 1", id=person.id
    )
    shown = {"model": "forma-sim", "budget": BUDGET, "turns": 7 - covered}
    assert any(say("context", tokens=tokens, **shown) in seen.text for tokens in (used, last))
    pressed = await person.press(seen, say("button-summary-forget"))
    assert (await person.toast(pressed))["text"] == say("toast-summary-forgotten")
    await person.wait_for(say("context-forgotten", turns=covered))
    again = await person.press(seen, data=seen.buttons[0]["callback_data"])
    assert (await person.toast(again))["text"] == say("toast-already")
    await forma.said(person, "[[tokens: 20]] question-8")
    prompt = await prompt_of(forma, person)
    assert [one["role"] for one in prompt[:2]] == ["system", "user"]
    assert questions(prompt) == list(range(covered + 1, 9))


async def test_an_earlier_summary_is_folded_into_the_new_one(forma: Forma) -> None:
    person = await forma.person("ru")
    await talk(forma, person, range(1, 8))
    await summarised(forma, person)
    await rested(forma, person)
    earlier = await wishes(forma, person)
    first = await forma.scalar(f"SELECT text {OF_PERSON}", id=person.id)
    version = await forma.scalar(f"SELECT version {OF_PERSON}", id=person.id)
    await talk(forma, person, range(8, 15))
    await summarised(forma, person, version + 1)
    second = (await wishes(forma, person))[len(earlier)]
    assert second[2] == {"role": "assistant", "content": first}
    assert questions(second)[0] == questions(earlier[-1])[-1] + 1
    await rested(forma, person)
    covered = await forma.scalar(f"SELECT turns {OF_PERSON}", id=person.id)
    assert covered == questions((await wishes(forma, person))[-1])[-1]
    for prompt in [one for one in await forma.llm.requests() if one["body"].get("cache_salt") == str(person.id)]:
        assert prompt["prompt_tokens"] <= BUDGET + 60  # what the wish for a summary adds


async def test_a_summary_that_fails_leaves_the_history_and_is_tried_with_a_bound(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.llm.fault("error", match="Сожми", count=None)
    try:
        await talk(forma, person, range(1, 8))
        for number in (1, 2, 3):
            await put_off(forma, person, "summary", number)
            await talk(forma, person, range(number + 7, number + 8))
            await forma.advance(seconds=130)
        before = len(await wishes(forma, person))
        await talk(forma, person, range(11, 14))
        assert len(await wishes(forma, person)) == before == 3
        prompt = await prompt_of(forma, person)
        assert [one["role"] for one in prompt[:2]] == ["system", "user"]
        assert questions(prompt) == list(range(questions(prompt)[0], 14))
        assert len(questions(prompt)) >= 3
    finally:
        await forma.llm.clear_faults()
    await forma.advance(hours=2)
    await talk(forma, person, range(14, 15))
    await summarised(forma, person)
    assert questions((await wishes(forma, person))[-1])[0] == 1
    assert await forma.violations() == []


async def test_a_summary_made_while_the_dialog_goes_on_loses_no_turn(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.llm.fault("slow", match="Сожми", count=1)
    await talk(forma, person, range(1, 8))
    await talk(forma, person, range(8, 10))
    await summarised(forma, person)
    await rested(forma, person)
    covered = [number for wish in await wishes(forma, person) for number in questions(wish)]
    await forma.said(person, "[[tokens: 20]] question-10")
    assert covered + questions(await prompt_of(forma, person)) == list(range(1, 11))


async def test_what_was_deleted_meanwhile_is_not_summarised(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.llm.fault("slow", match="Сожми", count=1)
    await talk(forma, person, range(1, 8))
    begun = f"SELECT (SELECT count(*) {WORK_OF_PERSON} AND tries = 1) + (SELECT count(*) {OF_PERSON}) > 0"
    await forma.quiet_until(begun, id=person.id)
    await person.send("/dialogs")
    seen = await person.wait_for(lambda one: "Удалить все" in one.labels)
    await person.press(seen, "Удалить все")
    question = await person.wait_for(lambda one: "Удалить все навсегда" in one.labels)
    await person.press(question, "Удалить все навсегда")
    await person.wait_for("Разговоров нет")
    dialog = await forma.scalar("SELECT id FROM dialogs WHERE person_id = :id", id=person.id)
    await forma.quiet_until(
        "SELECT count(*) = 1 FROM ledger_tx WHERE ref_id LIKE 'summary:' || :dialog || ':%'", dialog=str(dialog)
    )
    assert await forma.scalar("SELECT count(*) FROM summaries WHERE dialog_id = :dialog", dialog=dialog) == 0
    assert await forma.scalar("SELECT count(*) FROM house_work WHERE dialog_id = :dialog", dialog=dialog) == 0
