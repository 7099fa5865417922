"""plans.toml: what the operator writes is sold as written; a mistake is named with its line, and changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from billing import catalog
from billing.catalog import LANGUAGES, Catalog
from kit.db import Database
from kit.errors import Misconfigured
from tests.support.books import PLANS, YEAR, Books

ROOT = Path(__file__).resolve().parents[2]


def line_of(text: str, piece: str) -> int:
    return text[: text.index(piece)].count("\n") + 1


def mistake(text: str) -> str:
    with pytest.raises(Misconfigured) as error:
        catalog.parse(text)
    return str(error.value)


# -- the file that is sold with Forma


def test_the_first_plans_toml_is_what_was_agreed() -> None:
    sold = catalog.load(ROOT / "plans.toml")
    rows = {
        plan.id: (plan.kind, plan.terms.price_xtr, plan.terms.price_rub, plan.terms.tokens, plan.terms.weight)
        for plan in sold.plans
    }
    assert rows == {
        "free": ("free", None, None, 0, 1),
        "trial": ("trial", None, None, 60_000, 2),
        "lite": ("subscription", 300, 39_900, 600_000, 2),
        "forma": ("subscription", 600, 79_900, 2_000_000, 4),
        "max": ("subscription", 1_500, 199_000, 6_000_000, 6),
        "year": ("once", 6_000, 799_000, 2_000_000, 4),
        "pack": ("pack", 150, 19_900, 300_000, 0),
    }
    free = sold.free.terms
    assert sold.trial
    assert (free.daily_tokens, free.welcome_tokens, free.welcome_days) == (5_000, 30_000, 7)
    limits = {p.id: (p.terms.requests_per_minute, p.terms.in_flight, p.terms.photos_per_day) for p in sold.plans[:5]}
    assert (sold.trial.of, sold.trial.terms.period_days) == ("forma", 7)
    assert limits == {
        "free": (4, 1, 1),
        "trial": (15, 2, 5),
        "lite": (8, 1, 5),
        "forma": (15, 2, 20),
        "max": (30, 3, 60),
    }
    assert sold.plan("pack") == sold.plans[-1]
    assert [plan.id for plan in sold.on_sale("XTR")] == ["lite", "forma", "max", "year", "pack"]
    assert all(set(plan.titles) == set(LANGUAGES) for plan in sold.plans)


def test_every_setting_is_explained_in_the_file() -> None:
    head = (ROOT / "plans.toml").read_text(encoding="utf-8").partition("[free]")[0]
    words = set(head.replace(",", " ").split())
    assert set(catalog._KNOWN) <= words


# -- mistakes


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("daily_tokens = 500", "dayly_tokens = 500", "dayly_tokens", "unknown setting 'dayly_tokens'; did you mean"),
        ("stars = 300", 'stars = "300"', 'stars = "300"', "stars must be a whole number without quotes"),
        ("stars = 300", "stars = 300.5", "stars = 300.5", "stars must be a whole number"),
        ("stars = 300", "stars = true", "stars = true", "stars must be a whole number"),
        ("stars = 300", "stars = -300", "stars = -300", "stars must be from 1 to"),
        ("stars = 300", "stars = 0", "stars = 0", "stars must be from 1 to"),
        ("stars = 300", "stars = 10_001", "stars = 10_001", "at most 10000 Stars a subscription"),
        ("stars = 150", "stars = 100_001", "stars = 100_001", "stars must be from 1 to 100000"),
        ("roubles = 990", "roubles = 99_999_999_999", "roubles = 99", "roubles must be from 1 to"),
        ("stars = 300\n", "", "[lite]", "has no price: give stars, roubles or both"),
        ("tokens = 5_000\n", "", "[lite]", "tokens is missing"),
        ("tokens = 5_000", "tokens = 0", "tokens = 0", "tokens must be from 1 to"),
        ("tokens = 5_000", "tokens = 9_999_999_999_999_999_999", "tokens = 9_999_9", "tokens must be from 1 to"),
        ("tokens = 5_000", "tokens = 5_000\ntokens_days = 4", "tokens_days = 4", "'subscription' has no tokens_days"),
        ("tokens_days = 20\n", "", "[pack]", "tokens_days is missing"),
        ("tokens_days = 20", "tokens_days = 20\nweight = 77", "weight = 77", "'pack' has no weight"),
        ("tokens_days = 20", "tokens_days = 0", "tokens_days = 0", "tokens_days must be from 1 to"),
        ("welcome_days = 7\n", "", "welcome_tokens", "welcome_tokens need welcome_days"),
        ("tokens_roll_over = true", "tokens_roll_over = 1", "tokens_roll_over = 1", "is true or false"),
        ("daily_tokens = 500", "tokens_roll_over = true", "tokens_roll_over", "for subscriptions only"),
        ('kind = "pack"', 'kind = "pakc"', 'kind = "pakc"', 'kind must be "free", "subscription", "pack", "once" or'),
        ('kind = "pack"', 'kind = "pack"\nof = "lite"', 'of = "lite"', '"once" and "trial", and no others, say of'),
        ('kind = "pack"', 'kind = "pack"\nmonths = 3', "months = 3", "'pack' has no months"),
        ('kind = "pack"', 'kind = ["pack"]', 'kind = ["pack"]', "kind must be"),
        ('kind = "pack"\n', "", "[pack]", "kind must be"),
        (
            'title = { ru = "Пакет", en = "Pack" }',
            'title = { ru = "Пакет" }',
            'title = { ru = "Пакет" }',
            "write title",
        ),
        ('title = { ru = "Пакет", en = "Pack" }', 'title = "Pack"', 'title = "Pack"', "write title"),
        ('en = "Pack"', 'en = "Pack", de = "Paket"', 'title = { ru = "Пакет"', "write title"),
        ('en = "Pack"', 'en = ""', 'title = { ru = "Пакет"', "a title has 1 to 32 characters"),
        ('en = "Pack"', 'en = "   "', 'title = { ru = "Пакет"', "a title has 1 to 32 characters"),
        ('en = "Pack"', f'en = "{"P" * 33}"', 'title = { ru = "Пакет"', "a title has 1 to 32 characters"),
        ('en = "Pack"', "en = 5", 'title = { ru = "Пакет"', "a title has 1 to 32 characters"),
        ('title = { ru = "Пакет", en = "Pack" }\n', "", "[pack]", "write title"),
        ("[pack]", "[Pack]", "[Pack]", "the name of a plan"),
        ("[pack]", '["пакет"]', '["пакет"]', "the name of a plan"),
        ("[pack]", "[[pack]]", "[[pack]]", "stands outside of a plan"),
        ("[free]", "currency = 5\n[free]", "currency = 5", "stands outside of a plan"),
        ('kind = "pack"', 'kind = "free"', "stars = 150", "a plan of kind 'free' has no stars"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, at: str, words: str) -> None:
    assert old in PLANS
    text = PLANS.replace(old, new, 1)
    said = mistake(text)
    assert words in said
    assert said.startswith(f"plans.toml, line {line_of(text, at)}: "), said


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ('of = "lite"\n', "", "[year]", '"once" and "trial", and no others, say of'),
        ('of = "lite"', 'of = "light"', 'of = "light"', "'light' is no subscription of this file"),
        ('of = "lite"', 'of = "pack"', 'of = "pack"', "'pack' is no subscription of this file"),
        ('of = "lite"', 'of = "year"', 'of = "year"', "'year' is no subscription of this file"),
        ('of = "lite"', 'of = ["lite"]', 'of = ["lite"]', "is no subscription of this file"),
        ("months = 12\n", "", "[year]", "months is missing"),
        ("months = 12", "months = 0", "months = 0", "months must be from 1 to 36"),
        ("months = 12", "months = 37", "months = 37", "months must be from 1 to 36"),
        ("months = 12", 'months = "12"', 'months = "12"', "months must be a whole number"),
        ("months = 12", "mounths = 12", "mounths = 12", "did you mean 'months'"),
        ("months = 12", "months = 12\ntokens = 5", "tokens = 5", "'once' has no tokens"),
        ("months = 12", "months = 12\nin_flight = 5", "in_flight = 5", "'once' has no in_flight"),
        ("months = 12", "months = 12\ntokens_roll_over = true", "tokens_roll_over = true", "for subscriptions only"),
        ("stars = 3_000\n", "", "[year]", "has no price"),
    ],
)
def test_a_mistake_in_what_is_bought_once_is_named_with_its_line(old: str, new: str, at: str, words: str) -> None:
    assert old in YEAR
    text = PLANS + YEAR.replace(old, new, 1)
    said = mistake(text)
    assert words in said
    line = text.count("\n", 0, text.rindex(at)) + 1
    assert said.startswith(f"plans.toml, line {line}: "), said


def test_what_is_bought_once_has_the_terms_of_its_subscription_wherever_it_stands() -> None:
    for text in (PLANS + YEAR, YEAR + PLANS):
        sold = catalog.parse(text)
        year, lite = sold.plan("year"), sold.plan("lite")
        assert year
        assert lite
        assert (year.terms.price_xtr, year.terms.price_rub, year.terms.period_months) == (3_000, None, 12)
        prices = {"price_xtr": 1, "price_rub": 1, "period_months": 1}
        assert replace(year.terms, **prices) == replace(lite.terms, **prices)


TRIAL = """
[try]
kind = "trial"
of = "lite"
days = 7
title = { ru = "Проба", en = "Trial" }
tokens = 700
requests_per_minute = 10
in_flight = 2
queued = 5
context_tokens = 8_000
answer_tokens = 1_000
weight = 1
"""


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ('of = "lite"\n', "", "[try]", '"once" and "trial", and no others, say of'),
        ('of = "lite"', "of = 5", "of = 5", "5 is no subscription of this file"),
        ('of = "lite"', 'of = "pack"', 'of = "pack"', "'pack' is no subscription of this file"),
        ('of = "lite"', 'of = "nothing"', 'of = "nothing"', "'nothing' is no subscription of this file"),
        ("days = 7\n", "", "[try]", "days is missing"),
        ("days = 7", "days = 366", "days = 366", "days must be from 1 to 365"),
        ("days = 7", 'days = "7"', 'days = "7"', "days must be a whole number"),
        ("tokens = 700\n", "", "[try]", "tokens is missing"),
        ("weight = 1\n", "", "[try]", "weight is missing"),
        ("days = 7", "days = 7\nstars = 1", "stars = 1\n", "a plan of kind 'trial' has no stars"),
        ("days = 7", "days = 7\ntokens_roll_over = true", "tokens_roll_over = true\ntitle", "for subscriptions only"),
        ("[try]", '[lite2]\nkind = "trial"\n[try]', "[lite2]", "write title"),
    ],
)
def test_a_mistake_in_a_trial_is_named_with_its_line(old: str, new: str, at: str, words: str) -> None:
    text = PLANS + TRIAL.replace(old, new, 1)
    said = mistake(text)
    assert words in said
    assert said.startswith(f"plans.toml, line {line_of(text, at)}: "), said


def test_there_is_one_trial_at_most() -> None:
    assert catalog.parse(PLANS).trial is None
    both = PLANS + TRIAL + TRIAL.replace("[try]", "[again]")
    assert mistake(both).startswith(f"plans.toml, line {line_of(both, '[again]') + 1}: [again] at most one plan")


def test_a_translation_in_a_table_of_its_own_is_read_and_its_mistakes_are_named() -> None:
    table = '[pack.title]\nru = "Пакет"\nen = "Pack"\n'
    text = PLANS.replace('title = { ru = "Пакет", en = "Pack" }\n', "") + table
    assert catalog.parse(text) == catalog.parse(PLANS)
    broken = text.replace('en = "Pack"\n', "")
    assert mistake(broken).startswith(f"plans.toml, line {line_of(broken, '[pack.title]')}: [pack] write title")


@pytest.mark.parametrize(
    ("broken", "at"),
    [
        (PLANS + '\n[lite]\nkind = "pack"\n', -2),
        (PLANS.replace("stars = 150", "stars = 150 150"), line_of(PLANS, "stars = 150")),
        (PLANS.replace("stars = 150", "stars = 150\nstars = 151"), line_of(PLANS, "stars = 150") + 1),
        (PLANS + "\n[", 0),
    ],
    ids=["the same plan twice", "a line that cannot be read", "the same setting twice", "an open bracket"],
)
def test_what_is_no_toml_is_named_with_its_line(broken: str, at: int) -> None:
    line = at if at > 0 else broken.count("\n") + 1 + at
    assert mistake(broken).startswith(f"plans.toml, line {line}: "), mistake(broken)


def test_there_is_exactly_one_free_plan() -> None:
    start = PLANS.index("[lite]")
    assert "exactly one plan must have kind" in mistake(PLANS[start:])
    second = PLANS + PLANS[:start].replace("[free]", "[second]")
    said = mistake(second)
    assert "not 2" in said
    assert f"line {second[: second.index('[second]')].count(chr(10)) + 2}:" in said


def test_there_are_not_too_many_plans() -> None:
    pack = PLANS[PLANS.index("[pack]") :]
    many = PLANS + "".join(pack.replace("[pack]", f"[pack{number}]") for number in range(40))
    assert "at most 32 plans" in mistake(many)
    assert "exactly one" in mistake("")


def test_the_file_itself_is_named_when_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"there is no such file; FORMA_PLANS_FILE"):
        catalog.load(tmp_path / "plans.toml")
    (tmp_path / "plans.toml").write_bytes("[free]\nkind = \xff".encode("latin-1"))
    with pytest.raises(Misconfigured, match="cannot be read"):
        catalog.load(tmp_path / "plans.toml")
    with pytest.raises(Misconfigured, match="cannot be read"):
        catalog.load(tmp_path)


def test_a_file_saved_by_a_windows_editor_is_read(tmp_path: Path) -> None:
    (tmp_path / "plans.toml").write_bytes(b"\xef\xbb\xbf" + PLANS.replace("\n", "\r\n").encode())
    assert catalog.load(tmp_path / "plans.toml") == catalog.parse(PLANS)


# -- publication


@pytest.fixture(scope="module")
async def shared(database: Database) -> Books:
    return Books(database)


@pytest.fixture
async def books(shared: Books) -> AsyncIterator[Books]:
    await shared.open()
    yield shared
    assert await shared.violations() == []


async def versions(books: Books) -> dict[str, int]:
    latest = "SELECT plan_id, max(version) AS last FROM plan_versions GROUP BY plan_id"
    return await books.scalar(f"SELECT jsonb_object_agg(plan_id, last) FROM ({latest}) v")


async def everything(books: Books) -> str:
    return str(
        await books.scalar(
            "SELECT (SELECT jsonb_agg(to_jsonb(p) ORDER BY id) FROM plans p)::text"
            " || (SELECT jsonb_agg(to_jsonb(v) ORDER BY id) FROM plan_versions v)::text"
        )
    )


async def test_publishing_the_same_again_writes_nothing(books: Books) -> None:
    before = await everything(books)
    published = await books.open()
    assert (published.changed, published.withdrawn) == ((), ())
    assert await everything(books) == before


async def test_new_terms_are_a_new_version_and_the_old_one_stays(books: Books) -> None:
    before = await versions(books)
    published = await books.open(PLANS.replace("stars = 300", "stars = 333"))
    assert published.changed == ("lite",)
    assert await versions(books) == before | {"lite": before["lite"] + 1}
    prices = "SELECT array_agg(price_xtr ORDER BY version) FROM plan_versions WHERE plan_id = 'lite'"
    assert (await books.scalar(prices))[-2:] == [300, 333]


async def test_new_terms_of_a_subscription_are_new_terms_of_its_year_and_what_was_bought_stays(books: Books) -> None:
    await books.open(PLANS + YEAR)
    before = await versions(books)
    person = await books.person()
    await books.buy(person, "year")
    published = await books.open((PLANS + YEAR).replace("tokens = 5_000", "tokens = 7_000"))
    assert published.changed == ("lite", "year")
    assert await versions(books) == before | {"lite": before["lite"] + 1, "year": before["year"] + 1}
    tokens = (
        "SELECT array_agg(DISTINCT tokens) FROM subscription_months m JOIN subscriptions s ON s.id = m.subscription_id"
    )
    assert await books.scalar(f"{tokens} WHERE s.person_id = :id", id=person) == [5_000]


async def test_a_new_title_is_no_new_version(books: Books) -> None:
    before = await versions(books)
    assert (await books.open(PLANS.replace('"Lite"', '"Light"'))).changed == ()
    assert await versions(books) == before
    assert await books.scalar("SELECT titles ->> 'en' FROM plans WHERE id = 'lite'") == "Light"


async def test_a_plan_that_left_the_file_is_withdrawn_and_may_come_back(books: Books) -> None:
    start, end = PLANS.index("[top]"), PLANS.index("[pack]")
    withdrawn = "SELECT withdrawn_at IS NOT NULL FROM plans WHERE id = 'top'"
    assert (await books.open(PLANS[:start] + PLANS[end:])).withdrawn == ("top",)
    assert await books.scalar(withdrawn)
    assert (await books.open()).changed == ()
    assert not await books.scalar(withdrawn)


async def test_another_free_plan_takes_the_place_of_the_first(books: Books) -> None:
    text = PLANS.replace("[free]", "[gratis]").replace("daily_tokens = 500", "daily_tokens = 123")
    published = await books.open(text)
    assert (published.changed, published.withdrawn) == (("gratis",), ("free",))
    person = await books.person()
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, seen.daily_tokens) == ("gratis", 123)


async def test_a_plan_of_another_kind_is_refused_and_nothing_is_half_changed(books: Books) -> None:
    before = await everything(books)
    turned = PLANS.replace("stars = 300", "stars = 350")
    turned = turned[: turned.index("[pack]")].replace("[top]", "[pack]").replace("[lite]", "[newcomer]")
    with pytest.raises(Misconfigured, match=r"\[pack\] was a pack"):
        await books.open(turned)
    assert await everything(books) == before


async def test_processes_that_start_together_publish_once(books: Books) -> None:
    before = await versions(books)
    text = PLANS.replace("weight = 2", "weight = 3")
    published = await asyncio.gather(*(books.open(text) for _ in range(6)))
    assert sorted(one.changed for one in published) == [()] * 5 + [("lite",)]
    assert await versions(books) == before | {"lite": before["lite"] + 1}


def test_the_catalog_knows_no_plan_that_it_lacks() -> None:
    sold: Catalog = catalog.parse(PLANS)
    assert sold.plan("never") is None
    assert [plan.id for plan in sold.on_sale("RUB")] == ["top"]
