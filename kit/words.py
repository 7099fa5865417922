"""What Forma says to people, per language: Fluent messages in locales/<language>/*.ftl.

    say = words("ru").say
    say("stopped", tokens=212)            -> '⏹ Остановлено, списано 212'

A message chooses its own numbers and plurals; the caller hands over raw integers and aware datetimes. Inside a
message these functions of ours format them as the language does:

    ANSWERS($tokens)   ≈ 300 ответов          TOKENS($tokens)  300 000 токенов, ≈ 300 ответов
    STARS($n)          600 ⭐                  ROUBLES($kopecks)  399 ₽
    DURATION($s)       1 ч 20 мин             RANGE($low_s, $high_s)  20–40 с
    DAY($t)            23 дек.                DATE($t)  23 дек. 2027     MOMENT($t)  23 дек., 14:05 UTC

Texts are plain: they are sent without a parse mode, so a person's name in an argument can never become markup.
Nothing here raises at a person. A missing key or a bad argument is logged as an error and English is said instead,
then a neutral sentence; `python -m cli.check_locales` finds both before they are shipped.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Final, Literal, NewType, cast

import structlog
from babel.dates import format_skeleton
from babel.numbers import format_decimal
from fluent.runtime import FluentBundle, FluentResource
from fluent.runtime.errors import FluentReferenceError
from fluent.runtime.types import FluentInt, FluentNone, FluentNumber
from fluent.syntax import ast

log = structlog.get_logger()

Language = Literal["ru", "en"]
Key = NewType("Key", str)
"""Marks a locale key that is kept or passed on before it is said, so that the locale check sees it in the source."""

LANGUAGES: Final[tuple[Language, ...]] = ("ru", "en")
LOCALES: Final = Path(__file__).resolve().parent.parent / "locales"

# One usual answer, in billed tokens: 450 written, 1,500 read, 2,000 read from the cache.
TOKENS_PER_ANSWER: Final = 1_000
# Fluent refuses a longer argument; longer ones are cut here, so that the message itself survives.
ARGUMENT_CHARS_MAX: Final = 2_400

# Russian for those whose Telegram speaks a language of a country or republic where Russian is official or the usual
# second language. Ukrainian gets English: whoever chose it over Russian has chosen, and /language is one tap away.
_RUSSIAN_READERS: Final = frozenset({"ru", "be", "kk", "ky", "tg", "uz", "tt", "ba", "cv", "ce", "sah"})
_NEUTRAL: Final[dict[Language, str]] = {
    "ru": "Текст потерялся. Мы уже знаем.",
    "en": "This text got lost. We know already.",
}
_NBSP: Final = "\u00a0"
# «до 23 дек.» may end a sentence, and the sentence brings a full stop of its own.
_DOUBLE_STOP: Final = re.compile(r"(\b(?:янв|февр|мар|апр|июн|июл|авг|сент|окт|нояб|дек)\.)\.(?!\.)")


def pick_language(language_code: str | None) -> Language:
    """The language for a new person, by Telegram's `language_code` (IETF tag, may be absent)."""
    primary = (language_code or "").replace("_", "-").split("-")[0].lower()
    return "ru" if primary in _RUSSIAN_READERS else "en"


def answers_in(tokens: int) -> int:
    """How many usual answers `tokens` (billed) are good for, rounded down: never a promise that is not kept."""
    return max(tokens, 0) // TOKENS_PER_ANSWER


@dataclass(frozen=True, slots=True)
class Words:
    """All texts in one language. Cheap to get, safe to share; get it from `words()`."""

    language: Language
    _directory: Path = LOCALES

    def say(self, key: str, /, **arguments: Any) -> str:
        """The text of `key`. int, float, bool ("yes" or "no"), str, datetime, timedelta (its seconds) and None ("none")
        are understood; an int named `id` or `..._id` is not grouped; a str beyond 2,400 characters is cut.
        Never raises, never answers a key."""
        languages: tuple[Language, ...] = (self.language,) if self.language == "en" else (self.language, "en")
        try:
            for language in languages:
                prepared = {name: _prepared(name, value, language) for name, value in arguments.items()}
                text, problem = _formatted(_bundle(language, self._directory), key, prepared)
                if text is not None:
                    return text
                log.error("words.cannot_say", key=key, language=language, given=sorted(arguments), problem=problem)
        except Exception:  # a person gets a sentence whatever happens here; the log has the traceback
            log.exception("words.failed", key=key, language=self.language)
        return _NEUTRAL[self.language]

    def try_say(self, key: str, /, **arguments: Any) -> tuple[str | None, str]:
        """The text of `key` in this language alone, or None and why not: what the locale check asks."""
        prepared = {name: _prepared(name, value, self.language) for name, value in arguments.items()}
        return _formatted(_bundle(self.language, self._directory), key, prepared)

    def number(self, value: float) -> str:
        """12 500 or 12,500: groups by the language's rules; a no-break space in Russian, and none below 10 000."""
        return _number(value, self.language)

    def answers(self, tokens: int) -> str:
        """'≈ 300 ответов' for 300,000 billed tokens."""
        return self.say("amount-answers", n=answers_in(tokens), some=tokens > 0)

    def tokens(self, tokens: int) -> str:
        """'300 000 токенов, ≈ 300 ответов'."""
        return self.say("amount-tokens", n=tokens, answers=self.answers(tokens))

    def stars(self, stars: int) -> str:
        """'600 ⭐'."""
        return f"{self.number(stars)}{_NBSP}⭐"

    def roubles(self, kopecks: int) -> str:
        """'399 ₽', '399,50 ₽': kopecks only where there are some."""
        whole, rest = divmod(abs(kopecks), 100)
        sign = "-" if kopecks < 0 else ""
        mark = "," if self.language == "ru" else "."
        return f"{sign}{self.number(whole)}{f'{mark}{rest:02}' if rest else ''}{_NBSP}₽"

    def duration(self, seconds: float) -> str:
        """'42 с', '5 мин', '1 ч 20 мин', '3 дня': at most two units, rounded up, since it is said of waiting."""
        count = max(int(-(-float(seconds) // 1)), 0)
        if count < 60:
            return self.say("duration-seconds", n=count)
        minutes = -(-count // 60)
        if minutes < 60:
            return self.say("duration-minutes", n=minutes)
        hours, minutes = divmod(minutes, 60)
        if hours < 24:
            text = self.say("duration-hours", n=hours)
            return f"{text} {self.say('duration-minutes', n=minutes)}" if minutes and hours < 6 else text
        days, hours = divmod(hours + (1 if minutes else 0), 24)
        text = self.say("duration-days", n=days)
        return f"{text} {self.say('duration-hours', n=hours)}" if hours and days < 2 else text

    def span(self, low_s: float, high_s: float) -> str:
        """'20–40 с', '1–3 мин': an estimate as a range in one unit."""
        low, high = sorted((max(int(low_s), 1), max(int(-(-float(high_s) // 1)), 1)))
        if high < 100:
            return self.say("duration-seconds-span", low=low, high=high)
        low, high = max(low // 60, 1), -(-high // 60)
        return self.say("duration-minutes-span", low=low, high=high)

    def day(self, moment: date) -> str:
        """'23 дек.', 'Dec 23'. A datetime must be aware and is reckoned in UTC."""
        return self._skeleton("MMMd", moment)

    def full_date(self, moment: date) -> str:
        """'23 дек. 2027', 'Dec 23, 2027'."""
        return self._skeleton("yMMMd", moment).removesuffix(f"{_NBSP}г.")

    def moment(self, moment: datetime) -> str:
        """'23 дек., 14:05 UTC'."""
        return f"{self.day(moment).rstrip(',')}, {_utc(moment):%H:%M}{_NBSP}UTC"

    def until(self, moment: date) -> str:
        """'до 23 дек.', 'until Dec 23'."""
        return self.say("until", day=self.day(moment))

    def after(self, seconds: float) -> str:
        """'через 5 ч', 'in 5 h'."""
        return self.say("after", duration=self.duration(seconds))

    def _skeleton(self, skeleton: str, moment: date) -> str:
        # Babel's dates keep ordinary spaces; a date must not break across lines.
        value = _utc(moment) if isinstance(moment, datetime) else moment
        return format_skeleton(skeleton, value, locale=self.language).replace(" ", _NBSP).replace("\u202f", _NBSP)


def words(language: str, directory: Path = LOCALES) -> Words:
    """The texts of `language` ('ru' or 'en'; anything else is logged and means English)."""
    if language not in LANGUAGES:
        log.error("words.unknown_language", language=language)
        language = "en"
    return _words(cast("Language", language), directory)


@cache
def _words(language: Language, directory: Path) -> Words:
    return Words(language, directory)


def _grouped(value: float, language: str) -> bool:
    """Russian typography leaves four digits together and groups from five on."""
    return language != "ru" or abs(value) >= 10_000


def _number(value: float, language: str) -> str:
    return str(format_decimal(value, locale=language, group_separator=_grouped(value, language)))


def _prepared(name: str, value: Any, language: str) -> Any:
    """Turns an argument into something that Fluent takes."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    if isinstance(value, int) and (name == "id" or name.endswith("_id")):
        return str(value)
    if isinstance(value, int):
        return FluentInt(value, useGrouping=_grouped(value, language))
    if isinstance(value, str) and len(value) > ARGUMENT_CHARS_MAX:
        log.warning("words.argument_cut", language=language, chars=len(value))
        return value[: ARGUMENT_CHARS_MAX - 1] + "…"
    # Fluent refuses subclasses of str, and str() of an enum's member would be the member's name.
    return str.__str__(value) if isinstance(value, str) else value


def _formatted(bundle: FluentBundle, key: str, arguments: dict[str, Any]) -> tuple[str | None, str]:
    """The text, or None and the problem in words that never repeat an argument's value: it may be a person's."""
    pattern = bundle.get_message(key).value if bundle.has_message(key) else None
    if pattern is None:
        return None, "no such key"
    text, errors = bundle.format_pattern(pattern, arguments)
    if errors or isinstance(text, FluentNone):
        missing = [str(error) for error in errors if isinstance(error, FluentReferenceError)]
        return None, "; ".join(missing or sorted({type(error).__name__ for error in errors}) or ["no value"])
    return _DOUBLE_STOP.sub(r"\1", str(text)), ""


@lru_cache(maxsize=32)
def _bundle(language: Language, directory: Path) -> FluentBundle:
    bundle = FluentBundle([language], functions=_functions(Words(language, directory)), use_isolating=False)
    paths = sorted((directory / language).glob("*.ftl"))
    if not paths:
        log.error("words.no_locale", language=language)
    for path in paths:
        resource = FluentResource(path.read_text(encoding="utf-8"))
        broken = sum(isinstance(entry, ast.Junk) for entry in resource.body)
        if broken:
            log.error("words.broken_file", language=language, file=path.name, entries=broken)
        bundle.add_resource(resource)
    return bundle


FUNCTIONS: Final = ("ANSWERS", "TOKENS", "STARS", "ROUBLES", "DURATION", "RANGE", "DAY", "DATE", "MOMENT")


def _functions(own: Words) -> dict[str, Callable[..., Any]]:
    return {
        "ANSWERS": partial(_call, own.answers, int),
        "TOKENS": partial(_call, own.tokens, int),
        "STARS": partial(_call, own.stars, int),
        "ROUBLES": partial(_call, own.roubles, int),
        "DURATION": partial(_call, own.duration, float),
        "RANGE": partial(_call, own.span, float),
        "DAY": partial(_call_date, own.day),
        "DATE": partial(_call_date, own.full_date),
        "MOMENT": partial(_call_date, own.moment),
    }


def _call(write: Callable[..., str], kind: Callable[[Any], Any], *values: Any) -> str:
    if not all(isinstance(value, FluentNumber) for value in values):
        raise TypeError("a number is needed")
    return write(*(kind(value) for value in values))


def _call_date(write: Callable[[Any], str], value: Any) -> str:
    if not isinstance(value, date):
        raise TypeError("a date is needed")
    return write(value)


def _utc(moment: date) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError("a timezone-aware datetime is needed")
    return moment.astimezone(UTC)
