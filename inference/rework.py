"""Rework: an answer made shorter or deeper, or continued, by a button; no question of the person's stands behind it.

The model is asked by an instruction that belongs to this one prompt. Later prompts read what came of it in the place
of the answer that it reworked: a shorter or deeper version instead of it, a continuation joined on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from inference.dialogs import ASSISTANT, USER, Message

Instruction = Literal["shorter", "deeper", "continue"]
INSTRUCTIONS: frozenset[str] = frozenset(get_args(Instruction))
CONTINUE: Instruction = "continue"

# So much of an answer's end is quoted to the model, and looked for at the beginning of what it goes on with.
TAIL_CHARS_MAX = 120
# Fewer characters in common are chance: an article, a full stop.
OVERLAP_CHARS_MIN = 12

_TEXTS: dict[tuple[str, Instruction], str] = {
    ("ru", "shorter"): (
        "Перепиши свой последний ответ короче: только главное, не больше трети прежней длины. Сразу начни с ответа."
    ),
    ("ru", "deeper"): (
        "Раскрой свой последний ответ подробнее: причины, примеры, числа и шаги. Ничего важного из него не теряй. "
        "Сразу начни с ответа."
    ),
    ("ru", "continue"): (
        "Твой последний ответ оборвался. Продолжи его точно с этого места, ничего не повторяя и без вступления. "
        "Последние слова: «{tail}»"
    ),
    ("en", "shorter"): (
        "Rewrite your last answer shorter: only what matters, at most a third of its length. Begin with the answer at "
        "once."
    ),
    ("en", "deeper"): (
        "Work out your last answer in more depth: reasons, examples, numbers and steps. Lose nothing that matters. "
        "Begin with the answer at once."
    ),
    ("en", "continue"): (
        "Your last answer was cut off. Go on from exactly there, repeating nothing and without an introduction. Its "
        'last words: "{tail}"'
    ),
}
INSTRUCTION_BYTES_MAX = max(len(text.encode()) for text in _TEXTS.values()) + 4 * TAIL_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Rework:
    """What a turn without a question of its own does: `about` is the turn that has the question, `pressed` the one
    whose button it was."""

    instruction: Instruction
    about: int
    pressed: int


def known(text: str) -> Instruction:
    """Return `text` as an instruction; the caller has found it in INSTRUCTIONS or in a turn's row."""
    assert text in INSTRUCTIONS, text
    return cast("Instruction", text)


def ask(instruction: Instruction, language: str, history: Sequence[Message]) -> Message:
    """Return what the model is asked last, in a language ('ru', 'en'); `history` ends with the answer in question."""
    last = next((message.text for message in reversed(history) if message.role == ASSISTANT), "")
    tail = " ".join(last[-TAIL_CHARS_MAX:].split())
    return Message(USER, _TEXTS[language, instruction].replace("{tail}", tail))


def joined(text: str, more: str) -> str:
    """Return an answer with its continuation."""
    glue = "" if not text or text[-1].isspace() or more[:1].isspace() or more[:1] in ",.;:!?)»" else " "
    return text + glue + more


def without_overlap(text: str, more: str) -> str:
    """Return a continuation without what it repeats of the answer's end."""
    end, begin = text.rstrip()[-TAIL_CHARS_MAX:], more.lstrip()
    for length in range(min(len(end), len(begin)), OVERLAP_CHARS_MIN - 1, -1):
        if end.endswith(begin[:length]):
            return begin[length:].lstrip()
    return more
