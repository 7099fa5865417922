"""What people are told: numbers, dates and plurals as their language writes them, and never a key or a traceback."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kit.words import LANGUAGES, Words, answers_in, pick_language, words

CHRISTMAS = datetime(2026, 12, 23, 14, 5, tzinfo=UTC)
SPACE = "\u00a0"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A small locale of its own: Russian lacks a key, English has both."""
    for language, text in {
        "ru": "hello = Привет, { $name }\nbroken = { $name\n",
        "en": "hello = Hello, { $name }\nonly-english = Hi, { $name }\nbroken = Fine\n",
    }.items():
        (tmp_path / language).mkdir()
        (tmp_path / language / "a.ftl").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("tokens", "russian", "english"),
    [
        (0, "0 ответов", "0 answers"),
        (999, "меньше одного ответа", "less than one answer"),
        (1_000, "≈ 1 ответ", "≈ 1 answer"),
        (2_999, "≈ 2 ответа", "≈ 2 answers"),
        (5_000, "≈ 5 ответов", "≈ 5 answers"),
        (11_000, "≈ 11 ответов", "≈ 11 answers"),
        (21_000, "≈ 21 ответ", "≈ 21 answers"),
        (2_000_000, "≈ 2000 ответов", "≈ 2,000 answers"),
        (24_000_000, f"≈ 24{SPACE}000 ответов", "≈ 24,000 answers"),
    ],
)
def test_an_amount_is_told_in_answers_with_the_right_plural(tokens: int, russian: str, english: str) -> None:
    assert words("ru").answers(tokens) == russian.replace("≈ ", f"≈{SPACE}")
    assert words("en").answers(tokens) == english.replace("≈ ", f"≈{SPACE}")


def test_tokens_never_stand_without_answers() -> None:
    assert words("ru").tokens(300_000) == f"300{SPACE}000 токенов, ≈{SPACE}300 ответов"
    assert words("en").tokens(1) == "1 token, less than one answer"


def test_money_is_written_as_the_language_writes_it() -> None:
    assert words("ru").stars(600) == f"600{SPACE}⭐"
    assert words("en").stars(12_500) == f"12,500{SPACE}⭐"
    assert words("ru").roubles(39_950) == f"399,50{SPACE}₽"
    assert words("ru").roubles(-199_000) == f"-1990{SPACE}₽"
    assert words("en").roubles(1_234_500) == f"12,345{SPACE}₽"


def test_dates_and_waits_are_short() -> None:
    russian, english = words("ru"), words("en")
    assert russian.until(CHRISTMAS) == f"до 23{SPACE}дек."
    assert english.until(CHRISTMAS) == f"until Dec{SPACE}23"
    assert russian.full_date(date(2027, 5, 1)) == f"1{SPACE}мая{SPACE}2027"
    assert english.moment(CHRISTMAS) == f"Dec{SPACE}23, 14:05{SPACE}UTC"
    assert russian.after(5 * 3600) == f"через 5{SPACE}ч"
    assert english.after(5 * 3600) == f"in 5{SPACE}h"
    assert russian.span(40, 20) == f"20–40{SPACE}с"
    assert russian.span(70, 170) == f"1–3{SPACE}мин"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "1 с"), (59.5, "1 мин"), (61, "2 мин"), (4_800, "1 ч 20 мин"), (86_399, "1 день"), (3 * 86_400, "3 дня")],
)
def test_a_wait_is_rounded_up(seconds: float, expected: str) -> None:
    assert words("ru").duration(seconds).replace(SPACE, " ") == expected


def test_the_flows_read_as_agreed() -> None:
    say = words("ru").say
    assert say("stopped", tokens=212) == "⏹ Остановлено, списано 212"
    assert say("error-failed", code="A1B2") == "Не получилось, токены не списаны. Код A1B2"
    paid = say("paid-subscription", plan="Форма", until=CHRISTMAS, tokens=2_000_000)
    assert paid.replace(SPACE, " ") == "Форма до 23 дек., ≈ 2000 ответов. Отмена: /subscription"
    assert say("cancelled", until=CHRISTMAS).replace(SPACE, " ") == "Больше не спишем. Доступ до 23 дек."
    place = say("queue-position", position=7, low_s=20, high_s=40).replace(SPACE, " ")
    assert place == "Вы 7-й в очереди, ≈ 20–40 с. Чат можно закрыть, ответ придёт."
    assert (
        words("en").say("renewal-failed", stars=600, grace_s=timedelta(days=3)).replace(SPACE, " ").endswith("3 days")
    )


def test_an_id_is_not_grouped_like_an_amount() -> None:
    assert "7000000001" in words("ru").say("admin-user-head", name="А", username=None, id=7_000_000_001)


def test_a_missing_key_is_said_in_english_and_logged(shelf: Path) -> None:
    with capture_logs() as logs:
        assert words("ru", shelf).say("only-english", name="Аня") == "Hi, Аня"
        assert words("ru", shelf).say("broken") == "Fine"
    assert [entry["log_level"] for entry in logs] == ["error", "error", "error"]
    assert "Аня" not in repr(logs)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_person_never_reads_a_key_or_an_exception(language: str) -> None:
    speaker = words(language)
    with capture_logs() as logs:
        texts = [
            speaker.say("no-such-key"),
            speaker.say("stopped"),
            speaker.say("cancelled", until="завтра"),
            speaker.say("cancelled", until=datetime(2026, 1, 1)),  # noqa: DTZ001 - naive on purpose
            speaker.say("stopped", tokens=object()),
            Words("ru", Path("nowhere")).say("start"),
        ]
    assert len(logs) >= len(texts)
    for text in texts:
        assert text in {"Текст потерялся. Мы уже знаем.", "This text got lost. We know already."}


@given(st.text(max_size=5_000), st.sampled_from(LANGUAGES))
def test_a_name_stands_in_a_message_as_it_is(name: str, language: str) -> None:
    text = words(language).say("admin-user-none", query=name)
    assert name[:2_000] in text


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_answers_never_promise_more_than_the_tokens_pay_for(tokens: int) -> None:
    assert 0 <= answers_in(tokens) * 1_000 <= max(tokens, 0)


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("ru", "ru"),
        ("ru-RU", "ru"),
        ("be", "ru"),
        ("kk", "ru"),
        ("uz_UZ", "ru"),
        ("uk", "en"),
        ("en-US", "en"),
        ("de", "en"),
    ],
)
def test_the_first_language_follows_telegram(code: str, language: str) -> None:
    assert pick_language(code) == language
    assert pick_language(None) == "en"
