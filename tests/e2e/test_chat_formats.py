"""How an answer looks: entities, parts, tables and formulas, and what the model may not send."""

import re
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from tests.support.forma import Forma, running
from tests.support.model import FAST
from tests.support.telegram import Person, Seen

both = pytest.mark.parametrize("language", ["ru", "en"])


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Forma]:
    """Forma whose operator lets links to one host through."""
    tg, model = await sandbox.telegram.server.start(), await sandbox.model.server.start(**FAST)
    try:
        async with running(database_url, redis_url, tg, model, links_allowed="who.int") as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


async def shown(forma: Forma, person: Person, text: str) -> list[Seen]:
    """Ask and return the messages of the answer."""
    before = max(seen.id for seen in person.messages())
    await forma.said(person, text)
    return [seen for seen in forma.answers(person) if seen.id > before]


def kinds(seen: Seen) -> set[str]:
    return {entity["type"] for entity in seen.raw.get("entities", [])}


@both
async def test_markdown_becomes_entities(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await forma.choose(person, "text", "plain")
    (answer,) = await shown(forma, person, {"ru": "[[markdown]] План", "en": "[[markdown]] A plan"}[language])
    assert not answer.is_rich
    assert {"bold", "italic", "strikethrough", "code", "pre", "blockquote"} <= kinds(answer)
    for mark in ("**Ж", "**B", "~~", "```", "|---", "# "):
        assert mark not in answer.text
    assert "5 < 7 & 9 > 2, 2 * 3 * 4, snake_case_name" in answer.text


@both
@pytest.mark.parametrize("directive", ["[[table]]", "[[formula]]"])
async def test_tables_and_formulas_are_rich_where_the_person_allows_it(
    forma: Forma, language: str, directive: str
) -> None:
    person = await forma.person(language)
    question = directive + {"ru": " Покажи", "en": " Show me"}[language]
    (rich,) = await shown(forma, person, question)
    assert rich.is_rich
    types = {block["type"] for block in rich.raw["rich_message"]["blocks"]}
    assert types & {"table", "mathematical_expression"}
    await forma.choose(person, "text", "plain")
    (plain,) = await shown(forma, person, question)
    assert not plain.is_rich
    assert "40" in plain.text if directive == "[[table]]" else "²" in plain.text


async def test_where_rich_messages_are_refused_the_same_comes_as_text(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.tg.fault("sendRichMessage", "refuse", chat_id=person.id, description="Bad Request: RICH_UNSUPPORTED")
    (answer,) = await shown(forma, person, "[[table]] Покажи")
    assert not answer.is_rich
    assert "Силовая: ноги и спина" in answer.text
    await forma.tg.clear_faults()


async def test_where_entities_are_refused_the_same_words_come_plain(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.choose(person, "text", "plain")
    words = "Bad Request: can't parse entities: entity beyond the text"
    await forma.tg.fault("sendMessage", "refuse", chat_id=person.id, count=1, description=words)
    (answer,) = await shown(forma, person, "[[echo: **Важно:** спите]]")
    assert answer.text == "Важно: спите"
    assert kinds(answer) == set()
    await forma.tg.clear_faults()


@both
async def test_a_long_answer_is_cut_between_blocks_and_comes_in_order(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await person.send("/plans")
    offer = await person.wait_for(lambda seen: len(seen.labels) > 3)
    await person.press(offer, {"ru": "Лайт · 300", "en": "Lite · 300"}[language])
    sheet = await person.wait_for(lambda seen: any("url" in button for button in seen.buttons))
    await person.pay(next(button["url"] for button in sheet.buttons if "url" in button))
    await forma.quiet(person)
    parts = await shown(forma, person, "[[tokens: 1990]] Tell me everything about training")
    assert len(parts) >= 2
    for part in parts:
        assert len(part.text.encode("utf-16-le")) // 2 <= 4096
    for part in parts[1:]:
        assert part.text.startswith("• ")
    stored = await forma.scalar(
        "SELECT m.text FROM messages m JOIN turns t ON t.id = m.turn_id WHERE person_id = :id AND role = 'assistant'",
        id=person.id,
    )
    told = "".join("".join(part.text for part in parts).split())
    written = "".join(re.sub("(?m)^- ", "•", stored).replace("**", "").split())
    assert told.replace("*", "") == written


@both
async def test_links_of_the_model_go_unless_the_operator_listed_their_host(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    answer = (
        await shown(
            forma,
            person,
            "[[echo: see [this](https://evil.example/a?q=1), https://evil.example/b, evil.com and"
            " [WHO](https://www.who.int/sleep), tg://user?id=1]]",
        )
    )[0]
    urls = [entity.get("url") for entity in answer.raw.get("entities", []) if entity["type"] == "text_link"]
    assert urls == ["https://www.who.int/sleep"]
    assert "evil.example" not in answer.text
    assert "tg://" not in answer.text
    assert "url" not in kinds(answer)
    assert "this" in answer.text


async def test_pictures_of_the_model_are_not_shown(forma: Forma) -> None:
    person = await forma.person("ru")
    (answer,) = await shown(
        forma, person, "[[echo: Вот: ![фото](https://evil.example/x.png) <img src=https://evil.example/y>]]"
    )
    assert "evil" not in str(answer.raw)
    assert await forma.tg.calls("sendPhoto", person.id) == []


async def test_an_answer_that_holds_nothing_to_see_is_said_to_be_empty(forma: Forma) -> None:
    person = await forma.person("ru")
    assert await forma.said(person, "[[echo: \u200b\u2060]]") == ["Ответ вышел пустым. Спросите иначе, и я постараюсь."]
