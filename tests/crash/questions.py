"""What the crash tests ask: questions whose answers can be told apart and counted."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from tests.support.stack import Stack
from tests.support.telegram import Person

# 150 tokens take about 3 s: long enough to be killed in.
STEADY = {"first_token_base_s": 0.02, "inter_token_s": 0.02, "full_factor": 1.0}
# The product's lease is 15 s. Where the wait itself is not the matter, less of it is waited.
QUICK_LEASE_S = 3.0

# Between two tokens of an answer that is to be caught in the middle, however busy the machine is.
HELD_S = 0.5
DRAFT_S = 30.0

Asked = Mapping[str, Person]


def question(mark: str, tokens: int = 0) -> str:
    """A question whose answer repeats the mark once, behind so many other tokens."""
    return f"[[echo: {'word ' * tokens}{mark}]]"


def doubled(forma: Stack, asked: Asked) -> int:
    """How many answers came more than once."""
    return sum(forma.shown(person, mark) - 1 for mark, person in asked.items())


async def ask(forma: Stack, persons: list[Person], label: str, tokens: int = 0) -> dict[str, Person]:
    """Everybody asks one question; returns who waits for which mark."""
    asked = {f"{label}-{person.id}": person for person in persons}
    for mark, person in asked.items():
        await person.send(question(mark, tokens))
    return asked


async def all_answered(forma: Stack, asked: Asked, timeout_s: float = 60.0) -> None:
    for mark, person in asked.items():
        await forma.answered(person, mark, timeout_s)


@contextlib.asynccontextmanager
async def streaming(forma: Stack, persons: list[Person], label: str, tokens: int = 100) -> AsyncIterator[Asked]:
    """Everybody asks, and within the block all of them read the beginning of an answer that does not end there."""
    options = forma.model.server.options
    usual_s = options.inter_token_s
    options.change({"inter_token_s": HELD_S})
    try:
        asked = await ask(forma, persons, label, tokens)
        for person in persons:
            await person.wait_draft("word", timeout_s=DRAFT_S)
        yield asked
    finally:
        options.change({"inter_token_s": usual_s})
