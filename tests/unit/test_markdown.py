"""The model's Markdown before conversion: what is dropped, what is told apart, and how a table fits a phone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markdown import TABLE_COLUMNS_MAX, clean, events, flatten, is_formula, prepare

NARROW = "| День | Минуты |\n|---|---:|\n| Пн | 40 |\n| Ср | 5 |\n"
WIDE = (
    "| Упражнение | Как делать | Сколько |\n|---|---|---|\n"
    "| Приседания | спина прямая, колени смотрят туда же, куда и носки | 3 × 12 |\n"
    "| Планка | живот подтянут, поясница не провисает | 60 секунд |\n"
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("невидимое\u200b и\u00ad развёрнутое\u202e", "невидимое и развёрнутое"),
        ("\x00\x07половина \ud83d знака", "половина  знака"),
        ("семья 👨‍👩‍👧 цела", "семья 👨‍👩‍👧 цела"),
        ("z" + "\u0300" * 40, "z" + "\u0300" * 4),
    ],
)
def test_what_nobody_should_see_goes(written: str, read: str) -> None:
    assert clean(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\(a_1 + b\)", "$a_1 + b$"),
        (r"\[x^2\]", "$$x^2$$"),
        (r"скобки \(не формула\)", r"скобки \(не формула\)"),
        ("```\n\\(a_1\\)\n```", "```\n\\(a_1\\)\n```"),
        ("<b>важно</b>", "важно"),
        ("строка<br>другая", "строка другая"),
        ("`<b>` в коде", "`<b>` в коде"),
        ("5 < 7 > 3", "5 < 7 > 3"),
    ],
)
def test_formulas_get_one_notation_and_html_goes(written: str, read: str) -> None:
    assert prepare(written) == read


def test_two_prices_are_no_formula() -> None:
    assert not any(is_formula(event) for event, _ in events("Лайт $3 и Макс $15"))
    assert not any(is_formula(event) for event, _ in events("от $300$ до 600"))
    assert any(is_formula(event) for event, _ in events("$E = mc^2$"))


def test_a_narrow_table_becomes_aligned_monospace() -> None:
    lines = flatten(NARROW).strip().split("\n")
    assert lines == ["```", "День │ Минуты", "─────┼───────", "Пн   │     40", "Ср   │      5", "```"]


def test_a_wide_table_becomes_a_few_lines_a_row() -> None:
    flat = flatten(WIDE)
    assert "**Приседания**\nКак делать: спина прямая" in flat
    assert "**Планка**" in flat
    assert "Сколько: 60 секунд" in flat
    assert "|" not in flat


@given(
    st.lists(
        st.lists(st.text(alphabet="abж日1 ", min_size=1, max_size=6), min_size=2, max_size=3), min_size=1, max_size=6
    ),
)
def test_every_cell_of_a_table_is_kept_and_no_line_is_too_wide(rows: list[list[str]]) -> None:
    head = "| h1 | h2 | h3 |\n|---|---|---|\n"
    body = "".join(
        "| " + " | ".join(f"c{row}{column}{cell.strip()}" for column, cell in enumerate(cells)) + " |\n"
        for row, cells in enumerate(rows)
    )
    flat = flatten(head + body)
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            assert f"c{row}{column}{' '.join(cell.split())}" in flat
    if flat.startswith("```"):
        assert max(len(line) for line in flat.split("\n")) <= TABLE_COLUMNS_MAX


@given(st.text(max_size=500))
def test_cleaning_twice_is_cleaning_once_and_nothing_raises(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode()
    prepare(once)
    flatten(once)
