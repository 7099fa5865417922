"""Stopping: by /stop or by the draft's own button, generation ends within a second, at the model's server too.

What was written is kept, and what is charged is what the server had counted by then.
"""

import asyncio

import pytest

from tests.support.forma import Forma
from tests.support.telegram import Person

STOP_S = 1.0
TOKENS = 900


async def stop(person: Person, way: str) -> None:
    if way == "command":
        await person.send("/stop")
    else:
        await person.stop()


@pytest.mark.parametrize("way", ["command", "button"])
async def test_a_stop_ends_generation_within_a_second_and_charges_what_there_was(forma: Forma, way: str) -> None:
    person = await forma.person("ru")
    before = len(await forma.llm.requests())
    await person.send(f"[[tokens: {TOKENS}]] [[slow]] Расскажи всё о беге")
    seen = await forma.growing(person)
    began = asyncio.get_running_loop().time()
    await stop(person, way)
    while (entry := (await forma.llm.requests())[before])["outcome"] == "open":
        assert asyncio.get_running_loop().time() - began < STOP_S
        await asyncio.sleep(0.02)
    assert entry["outcome"] == "aborted"
    await forma.quiet(person)
    row = await forma.scalar(
        """
        SELECT jsonb_build_object('status', t.status, 'output', t.output_tokens, 'billed', t.billed_tokens,
            'cost', (t.input_tokens * t.price_input + t.output_tokens * t.price_output + 999) / 1000,
            'text', m.text)
        FROM turns t JOIN messages m ON m.turn_id = t.id AND m.role = 'assistant' WHERE t.person_id = :id
        """,
        id=person.id,
    )
    assert row["status"] == "stopped"
    # The server may have written a little more that was on its way when the connection closed.
    assert 0 < row["output"] <= entry["completion_tokens"] < TOKENS
    assert row["billed"] == row["cost"]
    assert forma.answers(person)[0].text.startswith(seen[:40])
    assert await forma.violations() == []


async def test_a_second_stop_changes_nothing(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send(f"[[tokens: {TOKENS}]] [[slow]] Расскажи всё о сне")
    await forma.growing(person)
    await asyncio.gather(stop(person, "button"), stop(person, "command"))
    await forma.quiet(person)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1
    notes = [seen for seen in forma.answers(person) if "⏹" in seen.text]
    assert len(notes) == 1
    assert await forma.violations() == []
