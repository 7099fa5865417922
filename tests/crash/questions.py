"""What the crash tests ask: questions whose answers can be told apart and counted."""

from collections.abc import Mapping

from tests.support.stack import Stack
from tests.support.telegram import Person

# 150 tokens take about 3 s: long enough to be killed in.
STEADY = {"first_token_base_s": 0.02, "inter_token_s": 0.02, "full_factor": 1.0}
# The product's lease is 15 s. Where the wait itself is not the matter, less of it is waited.
QUICK_LEASE_S = 3.0

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
