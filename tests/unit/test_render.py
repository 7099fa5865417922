"""What becomes of a model's Markdown: whatever it writes, Telegram takes it and a person misses nothing."""

import re
import time

import pytest
from aiogram.types import MessageEntity
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.links import MARK, allowed, hosts_of
from bot.render import RichPart, Style, TextPart, preview, render

UNITS_MAX, ENTITIES_MAX, PREVIEW_UNITS_MAX = 4096, 100, 4096
HOSTS = frozenset({"who.int"})
MARKS = "*_~`|[]()#>-+.!\\$<&\n \t:"
PIECES = [
    "**", "__", "*", "_", "~~", "`", "```", "```python\n", "\n\n", "\n", "- ", "1. ", "> ", "# ", "---\n",
    "### ", "| a | b |\n",
    "|---|--:|\n", "| 1 | 2 |\n", "[x](https://evil.example/a)", "[y](https://who.int/b)", "![z](http://e.example/i.png)",
    "https://evil.example/long?q=1", "evil.com", "www.evil.com", "README.md", "tg://user?id=1", "$x^2$",
    "$$\\frac{a}{b}$$",
    "\\(a_1\\)", "\\[b\\]", "<b>", "</b>", "<br>", "<img src=x>", "&amp;", "\\", "\\*",
    "слово ", "word ", "🏋️‍♀️", "👩🏽‍🚀", "é", "日本", "\u202e",
    "\u200b", "\x00", "\ud83d", "[ ] ", "[x] ", "2 * 3 * 4", "snake_case_name", "5 < 7 > 3",
]  # fmt: skip

anything = st.text(max_size=400)
marked = st.text(alphabet=MARKS + "аbж1🏋", max_size=300)
pieced = st.lists(st.sampled_from(PIECES), max_size=80).map("".join)
texts = st.one_of(anything, marked, pieced)
long_texts = st.tuples(pieced, st.integers(1, 60)).map(lambda made: (made[0] * made[1])[:30_000])
styles = st.sampled_from(["plain-entities", "rich", "plain"])


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parts_of(markdown: str, style: Style) -> list[TextPart]:
    """Everything that may be sent as text, the fallbacks of rich messages too."""
    found: list[TextPart] = []
    for part in render(markdown, style=style, allowed_links=HOSTS):
        found += part.fallback if isinstance(part, RichPart) else [part]
    return found


def check_entities(text: str, entities: list[MessageEntity]) -> None:
    assert len(entities) <= ENTITIES_MAX
    encoded = text.encode("utf-16-le")
    for entity in entities:
        assert entity.length > 0
        assert 0 <= entity.offset <= entity.offset + entity.length <= units(text)
        # Neither end may stand inside a surrogate pair.
        encoded[entity.offset * 2 : (entity.offset + entity.length) * 2].decode("utf-16-le")


@settings(max_examples=300)
@given(st.one_of(texts, long_texts), styles)
@example("", "rich")
@example("\u200b \n", "plain-entities")
@example("🏋️" * 5_000, "plain-entities")
@example("0WWW.0.SO<𐀀0𐀀WWW.0<𐀀0.SO", "plain-entities")
@example("```\n" + "x = 1\n" * 2_000, "plain-entities")
def test_any_text_is_sent_in_parts_that_telegram_takes(markdown: str, style: Style) -> None:
    parts = parts_of(markdown, style)
    assert parts
    for part in parts:
        assert part.text.strip()
        assert 0 < units(part.text) <= UNITS_MAX
        part.text.encode()
        check_entities(part.text, part.entities)
        assert style != "plain" or not part.entities


@settings(max_examples=300)
@given(st.one_of(texts, long_texts))
def test_a_preview_of_any_beginning_is_one_that_telegram_takes(markdown: str) -> None:
    text, entities = preview(markdown, allowed_links=HOSTS)
    assert units(text) <= PREVIEW_UNITS_MAX
    text.encode()
    check_entities(text, entities)


@settings(max_examples=200)
@given(
    st.lists(st.from_regex(r"[a-zа-я]{1,12}", fullmatch=True), min_size=1, max_size=1_500),
    st.lists(st.sampled_from([" ", "\n", "\n\n", ", ", ". "]), min_size=1, max_size=12),
    styles,
)
def test_no_word_is_lost_and_none_is_cut(words: list[str], gaps: list[str], style: Style) -> None:
    markdown = "".join(word + gaps[place % len(gaps)] for place, word in enumerate(words))
    told = [word for part in parts_of(markdown, style) for word in re.findall(r"[a-zа-я]+", part.text)]
    assert told == words


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(["**жирно**", "_криво_", "`код`", "~~нет~~", "слово", "### Заголовок\n", "- пункт\n"]),
        max_size=40,
    )
)
def test_marks_go_and_their_words_stay(pieces: list[str]) -> None:
    shown = "".join(part.text for part in parts_of(" ".join(pieces) + " конец", "plain-entities"))
    for piece in pieces:
        assert re.sub(r"[*_`~#\-\n ]", "", piece) in shown


@settings(max_examples=200)
@given(texts, styles)
def test_no_address_passes_that_the_operator_did_not_list(markdown: str, style: Style) -> None:
    for part in parts_of(markdown, style):
        code = [(e.offset, e.offset + e.length) for e in part.entities if e.type in {"code", "pre"}]
        for entity in part.entities:
            assert entity.type != "text_link" or allowed(entity.url or "", HOSTS)
        for match in re.finditer(r"(?:https?://|tg://|www\.)[^\s<>\"'«»`|\[\]]+", part.text, re.IGNORECASE):
            at = units(part.text[: match.start()])
            inside = any(start <= at < end for start, end in code)
            assert inside or allowed(match.group().rstrip(".,;:!?…)*_~"), HOSTS), match.group()


@given(pieced)
@settings(max_examples=200)
def test_a_rich_message_holds_no_media_and_only_listed_links(markdown: str) -> None:
    for part in render(markdown + "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", style="rich", allowed_links=HOSTS):
        if isinstance(part, RichPart):
            said = part.message.model_dump_json(exclude_none=True, fallback=lambda _: None)
            assert '"photo"' not in said
            for url in re.findall(r'"url":"([^"]*)"', said):
                assert allowed(url, HOSTS)


@pytest.mark.parametrize(
    "hostile",
    [
        "*" * 30_000,
        "[" * 30_000,
        "> " * 10_000,
        "- " * 10_000,
        "`" * 20_001,
        "|" * 20_000,
        "| a " * 500 + "|\n" + "|---" * 500 + "|\n" + ("| b " * 500 + "|\n") * 20,
        "$" * 20_001,
        "\\(" * 10_000,
        "<b>" * 10_000,
        "https://" * 5_000,
        "a." * 15_000,
        "e\u0301\u0301" * 10_000,
        "**a" * 8_000,
    ],
    ids=lambda text: text[:6],
)
@pytest.mark.parametrize("style", ["plain-entities", "rich"])
def test_hostile_text_is_rendered_in_bounded_time(hostile: str, style: Style) -> None:
    began = time.process_time()
    assert parts_of(hostile, style)
    preview(hostile)
    assert time.process_time() - began < 3.0


def test_an_allowed_link_stays_and_another_leaves_its_words() -> None:
    (part,) = parts_of("[ВОЗ](https://www.who.int/a), [тут](https://evil.example), https://evil.example/b", "rich")
    assert part.text == f"ВОЗ, тут, {MARK}"
    assert [(entity.type, entity.url) for entity in part.entities] == [("text_link", "https://www.who.int/a")]


@pytest.mark.parametrize(
    "url",
    [
        "https://who.int.evil.example/", "https://who.int@evil.example/", "https://evil.example/who.int",
        "https://who.int:8443/", "javascript:alert(1)", "tg://resolve?domain=x", "https://whо.int/", "https://who.int\\@evil.example",
        "ftp://who.int/", "//",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_allowed_host_is_none(url: str) -> None:
    assert not allowed(url, HOSTS)


def test_hosts_are_read_however_they_are_written() -> None:
    assert hosts_of(" WHO.int,  ncbi.nlm.nih.gov;\n.cochrane.org ") == {"who.int", "ncbi.nlm.nih.gov", "cochrane.org"}


@pytest.mark.parametrize("before", ["`x`", "$x^2$", "```\nx\n```\n"])
def test_no_address_hides_behind_code(before: str) -> None:
    (part,) = parts_of(before + "https://evil.example/a", "plain-entities")
    assert "evil" not in part.text
    assert part.text.endswith(MARK)


def test_a_long_answer_is_cut_between_blocks() -> None:
    blocks = [f"Абзац {number}. " + "Слова идут одно за другим. " * 20 for number in range(20)]
    parts = parts_of("\n\n".join(blocks), "plain-entities")
    assert len(parts) > 1
    for part in parts:
        assert part.text.startswith("Абзац")
        assert part.text.endswith(".")


def test_code_that_is_cut_stays_code_on_both_sides() -> None:
    parts = parts_of("До\n\n```python\n" + "value = 1\n" * 800 + "```\n\nПосле", "plain-entities")
    assert len(parts) > 1
    for part in parts:
        assert [entity.type for entity in part.entities] == ["pre"]
