"""Several dialogs of one person: titled, listed, gone on with, renamed, saved, deleted."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from kit.words import words
from tests.support.forma import Forma
from tests.support.talkative import put_off, talkative
from tests.support.telegram import Person, Seen

both = pytest.mark.parametrize("language", ["ru", "en"])
ASKED_FOR_A_TITLE = {"ru": "Назови этот разговор", "en": "Name this conversation"}


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Forma]:
    """Forma whose house names dialogs."""
    folder = tmp_path_factory.mktemp("dialogs")
    async with talkative(database_url, redis_url, folder, house_calls=2) as forma:
        yield forma


async def dialogs_of(forma: Forma, person: Person) -> Seen:
    """The list, as /dialogs shows it."""
    await person.send("/dialogs")
    return await person.wait_for(lambda seen: seen.buttons)


async def titled(forma: Forma, person: Person, count: int = 1) -> list[str]:
    """Wait until so many dialogs have titles; return these, the oldest first."""
    sql = "SELECT count(title) >= :count FROM dialogs WHERE person_id = :id"
    await forma.quiet_until(sql, id=person.id, count=count)
    found: str = await forma.scalar(
        "SELECT string_agg(title, '|' ORDER BY id) FROM dialogs WHERE person_id = :id", id=person.id
    )
    return found.split("|")


async def title_requests(forma: Forma) -> list[dict[str, Any]]:
    asked = tuple(ASKED_FOR_A_TITLE.values())
    return [one for one in await forma.llm.requests() if one["body"]["messages"][-1]["content"].startswith(asked)]


@both
async def test_the_first_exchange_gives_a_dialog_its_title_and_nobody_pays_for_it(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    before = len(await title_requests(forma))
    await forma.said(person, "How much water do I need?" if language == "en" else "Сколько воды мне нужно?")
    billed = "SELECT sum(billed_tokens) FROM turns WHERE person_id = :id"
    used = """
        SELECT -sum(e.amount) FROM ledger_entries e JOIN accounts a ON a.id = e.account_id
        JOIN ledger_tx t ON t.id = e.tx_id WHERE a.person_id = :id AND t.kind = 'usage'
    """
    (title,) = await titled(forma, person)
    asked = (await title_requests(forma))[before:]
    assert len(asked) == 1
    roles = [message["role"] for message in asked[0]["body"]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert asked[0]["body"]["messages"][-1]["content"].startswith(ASKED_FOR_A_TITLE[language])
    assert asked[0]["body"]["max_tokens"] <= 40
    assert await forma.scalar(billed, id=person.id) == await forma.scalar(used, id=person.id)
    house = "SELECT count(*) FROM ledger_tx WHERE ref_type = 'house' AND ref_id LIKE 'title:' || :dialog || ':%'"
    dialog_id = await forma.scalar("SELECT id FROM dialogs WHERE person_id = :id", id=person.id)
    assert await forma.scalar(house, dialog=str(dialog_id)) == 1
    assert (await dialogs_of(forma, person)).labels[0].startswith(f"✓ {title[:20]}")
    assert await forma.violations() == []


async def test_until_the_title_is_there_the_first_words_stand_for_it(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.llm.fault("error", match="Назови", count=None)
    try:
        await forma.said(
            person, "[[echo: да]] Как перестать\nложиться в три ночи, если работа до полуночи и ещё дорога?"
        )
        seen = await dialogs_of(forma, person)
        assert seen.labels[0].startswith("✓ [[echo: да]] Как перестать")
        assert len(seen.labels[0]) <= 40
        await put_off(forma, person, "title", 1)
    finally:
        await forma.llm.clear_faults()
    await forma.advance(seconds=30)
    await titled(forma, person)
    left = "SELECT count(*) FROM house_work w JOIN dialogs d ON d.id = w.dialog_id WHERE d.person_id = :id"
    assert await forma.scalar(left, id=person.id) == 0


async def test_a_title_that_never_comes_is_tried_three_times_and_left_alone(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.llm.fault("error", match="Назови", count=None)
    try:
        await forma.said(person, "[[echo: да]] раз")
        for number in (1, 2, 3):
            await put_off(forma, person, "title", number)
            await forma.said(person, "[[echo: да]] и ещё")
            await forma.advance(seconds=130)
        rests = "SELECT due_at IS NULL FROM house_work w JOIN dialogs d ON d.id = w.dialog_id WHERE d.person_id = :id"
        assert await forma.scalar(rests, id=person.id)
    finally:
        await forma.llm.clear_faults()
    await forma.advance(hours=2)
    await forma.said(person, "[[echo: да]] три")
    await titled(forma, person)


@both
async def test_dialogs_are_listed_page_by_page_and_gone_on_with(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    for number in range(8):
        await forma.said(person, f"[[echo: answer {number}]] question {number}")
        await forma.said(person, "/new")
    await titled(forma, person, 8)
    seen = await dialogs_of(forma, person)
    assert seen.text.startswith(say("dialogs", count=8, page=1, pages=2)[:20])
    assert len([button for button in seen.buttons if button["callback_data"].startswith("dialog:")]) == 6
    await person.press(seen, "→")
    second = await person.wait_for(lambda one: "←" in one.labels)
    first_dialog = [b for b in second.buttons if b["callback_data"].startswith("dialog:")][-1]
    await person.press(second, data=first_dialog["callback_data"])
    card = await person.wait_for(lambda one: say("button-dialog-open") in one.labels)
    await person.press(card, say("button-dialog-open"))
    await person.wait_for(lambda one: say("button-dialogs") in one.labels)
    (prompt,) = await forma.said(person, "[[prompt]]")
    assert "answer 0" in prompt
    assert "answer 7" not in prompt
    assert (await dialogs_of(forma, person)).labels[0].startswith("✓")


@both
async def test_a_dialog_gets_the_name_that_its_person_gives_it(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await forma.said(person, "[[echo: ok]] hello")
    await titled(forma, person)
    seen = await dialogs_of(forma, person)
    await person.press(seen, 0)
    card = await person.wait_for(lambda one: say("button-dialog-rename") in one.labels)
    await person.press(card, say("button-dialog-rename"))
    question = await person.wait_for("#")
    assert await forma.said(person, "\u200b\u202e") != []  # no reply: a message like any other
    await person.send("\u2066 \u200b", reply_to_message_id=question.id)
    await person.wait_for(say("dialog-rename-empty"))
    await person.send("Sleep\n and \u202erest  " + "x" * 100, reply_to_message_id=question.id)
    await person.wait_for("Sleep and rest")
    title = await forma.scalar("SELECT title FROM dialogs WHERE person_id = :id", id=person.id)
    assert title.startswith("Sleep and rest xxx")
    assert len(title) <= 60
    turns = await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id)
    assert turns == 1  # a title is no question


async def test_a_dialog_comes_as_a_file_of_all_its_words(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.said(person, "[[echo: Пейте воду.]] Вопрос о воде")
    await forma.said(person, "[[echo: И чай.]] А чай?")
    await titled(forma, person)
    dialog_id = await forma.scalar("SELECT id FROM dialogs WHERE person_id = :id", id=person.id)
    seen = await dialogs_of(forma, person)
    await person.press(seen, 0)
    card = await person.wait_for(lambda one: "Файлом" in one.labels)
    async with forma.app.db.transaction() as tx:
        await tx.exec_driver_sql(f"UPDATE dialogs SET title = 'a/../b: \"с\" <чай>' WHERE id = {dialog_id}")
    await person.press(card, "Файлом")
    sent = await person.wait_for(lambda one: "document" in one.raw)
    assert sent.raw["document"]["file_name"] == "a b с чай.md"
    url = f"{forma.tg.base_url}/_control/files/{sent.raw['document']['file_id']}"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        text = await response.text()
    assert text.startswith('# a/../b: "с" <чай>\n')
    # A question's own words stand in its answer as well, so answers are looked for from the end.
    found = [text.index("Вопрос о воде"), text.rindex("Пейте воду."), text.index("А чай?"), text.rindex("И чай.")]
    assert found == sorted(found)


@both
async def test_a_deleted_dialog_leaves_numbers_and_no_word(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await forma.said(person, "[[echo: geheim]] my secret")
    await titled(forma, person)
    balance = (await forma.said(person, "/balance"))[-1]
    seen = await dialogs_of(forma, person)
    await person.press(seen, 0)
    card = await person.wait_for(lambda one: say("button-dialog-delete") in one.labels)
    await person.press(card, say("button-dialog-delete"))
    question = await person.wait_for(lambda one: say("button-dialog-erase") in one.labels)
    assert await forma.scalar("SELECT count(*) FROM messages WHERE chat_id = :id", id=person.id) == 2
    pressed = await person.press(question, say("button-dialog-erase"))
    assert (await person.toast(pressed))["text"] == say("toast-dialog-deleted")
    await person.wait_for(say("dialogs-none"))
    for sql in (
        "SELECT count(*) FROM messages WHERE chat_id = :id",
        "SELECT count(*) FROM dialogs WHERE chat_id = :id AND (title IS NOT NULL OR active OR deleted_at IS NULL)",
        "SELECT count(*) FROM inbox WHERE body::text LIKE '%secret%' AND body::text LIKE '%' || :id || '%'",
        "SELECT count(*) FROM outbox WHERE chat_id = :id AND payload::text LIKE '%geheim%'",
    ):
        assert await forma.scalar(sql, id=person.id if "LIKE '%' ||" not in sql else str(person.id)) == 0, sql
    assert await forma.scalar("SELECT billed_tokens > 0 FROM turns WHERE person_id = :id", id=person.id)
    assert (await forma.said(person, "/balance"))[-1] == balance
    (prompt,) = await forma.said(person, "[[prompt]]")
    assert "geheim" not in prompt
    dialog_id = await forma.scalar("SELECT id FROM dialogs WHERE person_id = :id AND NOT active", id=person.id)
    stale = await person.press(card, data=f"dialog-export:{dialog_id}")
    assert (await person.toast(stale))["text"] == say("toast-expired")
    assert await forma.violations() == []


async def test_an_answer_of_a_dialog_that_is_deleted_meanwhile_is_stopped_settled_and_discarded(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 900]] [[slow]] Расскажи всё")
    await forma.growing(person)
    before = max(seen.id for seen in person.messages())
    seen = await dialogs_of(forma, person)
    await person.press(seen, "Удалить все")
    question = await person.wait_for(lambda one: "Удалить все навсегда" in one.labels)
    await person.press(question, "Удалить все навсегда")
    await person.wait_for("Разговоров нет")
    await forma.quiet(person)
    row = "SELECT status || ':' || (billed_tokens > 0) FROM turns WHERE person_id = :id"
    assert await forma.scalar(row, id=person.id) == "stopped:true"
    assert await forma.scalar("SELECT count(*) FROM messages WHERE chat_id = :id", id=person.id) == 0
    said = [one.text for one in person.messages() if one.id > before and one.sender_id == forma.tg.bot_id]
    assert len(said) == 1  # the list, in which nothing is left
    assert (await forma.llm.state())["running"] == 0
    assert await forma.violations() == []


async def test_a_question_that_waits_in_a_deleted_dialog_is_never_asked(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.stop("worker")
    try:
        await person.send("[[echo: nie]] Вопрос")
        await forma.quiet_until("SELECT count(*) = 1 FROM turns WHERE person_id = :id", id=person.id)
        seen = await dialogs_of(forma, person)
        await person.press(seen, "Удалить все")
        question = await person.wait_for(lambda one: "Удалить все навсегда" in one.labels)
        await person.press(question, "Удалить все навсегда")
        await person.wait_for("Разговоров нет")
    finally:
        await forma.start("worker")
    await forma.quiet(person)
    row = "SELECT status || ':' || coalesce(billed_tokens, 0) FROM turns WHERE person_id = :id"
    assert await forma.scalar(row, id=person.id) == "stopped:0"
    assert not any("nie" in one["body"]["messages"][-1]["content"] for one in await forma.llm.requests())
    assert await forma.violations() == []


async def test_nobody_reaches_the_dialogs_of_somebody_else(forma: Forma) -> None:
    owner, stranger = await forma.person("ru"), await forma.person("ru")
    for person in (owner, stranger):
        await forma.said(person, "[[echo: да]] мой разговор")
    await titled(forma, owner)
    theirs = await forma.scalar("SELECT id FROM dialogs WHERE person_id = :id", id=owner.id)
    seen = await dialogs_of(forma, stranger)
    for action in ("dialog", "dialog-open", "dialog-rename", "dialog-export", "dialog-delete", "dialog-erase"):
        for number in (theirs, "", "x", -1, 10**30, "²"):
            pressed = await stranger.press(seen, data=f"{action}:{number}:0")
            assert (await stranger.toast(pressed))["text"] == words("ru").say("toast-expired"), (action, number)
    title = await forma.scalar("SELECT title FROM dialogs WHERE id = :id", id=theirs)
    asked = await stranger.send(words("ru").say("dialog-mark", id=theirs))
    await stranger.send("чужое имя", reply_to_message_id=asked)
    await forma.quiet(stranger)
    assert await forma.scalar("SELECT title FROM dialogs WHERE id = :id", id=theirs) == title
    assert await forma.scalar("SELECT count(*) FROM messages WHERE dialog_id = :id", id=theirs) == 2


async def test_two_dialogs_opened_at_once_leave_one_that_is_open(forma: Forma) -> None:
    person = await forma.person("ru")
    for number in range(3):
        await forma.said(person, f"[[echo: да]] вопрос {number}")
        await forma.said(person, "/new")
    await titled(forma, person, 3)
    seen = await dialogs_of(forma, person)
    numbers = [b["callback_data"].split(":")[1] for b in seen.buttons if b["callback_data"].startswith("dialog:")]
    for _ in range(4):
        presses = [await person.press(seen, data=f"dialog-open:{number}") for number in numbers]
        for pressed in presses:
            assert (await person.toast(pressed)).get("text") is None
    assert await forma.scalar("SELECT count(*) FROM dialogs WHERE chat_id = :id AND active", id=person.id) == 1
