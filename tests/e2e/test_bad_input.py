"""What people send that is no question: a kind word at once, nothing lost, nothing charged."""

import pytest

from kit.words import words
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])
TURNS = "SELECT count(*) FROM turns WHERE person_id = :id"
HINTS = {
    "sticker": {"ru": "Стикер вижу", "en": "I can see there is a sticker"},
    "poll": {"ru": "В опросах не голосую", "en": "I don't vote in polls"},
    "location": {"ru": "Карту я не открою", "en": "I can't open the map"},
    "contact": {"ru": "Чужие контакты мне не нужны", "en": "I don't need other people's contacts"},
    "dice": {"ru": "Удача за вами", "en": "Luck is yours"},
}
FILES = {
    "photo": {"ru": "Фото пока не разбираю", "en": "I can't look at photos yet"},
    "voice": {"ru": "Голос пока не разбираю", "en": "I can't listen to voice yet"},
    "document": {"ru": "Файлы пока не читаю", "en": "I can't read files yet"},
    "video": {"ru": "Видео я пока не смотрю", "en": "I can't watch videos yet"},
    "audio": {"ru": "Музыку и записи пока не слушаю", "en": "I can't listen to recordings yet"},
}


@both
@pytest.mark.parametrize("kind", HINTS)
async def test_what_cannot_be_read_gets_a_kind_word_and_costs_nothing(forma: Forma, language: str, kind: str) -> None:
    person = await forma.person(language)
    sent = await person.attach(kind)
    hint = await person.wait_for(HINTS[kind][language])
    assert hint.raw["reply_to_message"]["message_id"] == sent
    await forma.quiet(person)
    assert len(forma.answers(person)) == 1
    assert await forma.scalar(TURNS, id=person.id) == 0


@both
@pytest.mark.parametrize("kind", FILES)
async def test_a_file_of_any_size_gets_a_kind_word_and_costs_nothing(forma: Forma, language: str, kind: str) -> None:
    person = await forma.person(language)
    await person.upload(kind, size=25 * 1024 * 1024)
    await person.wait_for(FILES[kind][language])
    await forma.quiet(person)
    assert len(forma.answers(person)) == 1
    assert await forma.scalar(TURNS, id=person.id) == 0


@both
async def test_the_words_below_a_picture_are_answered(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await person.upload("photo", b"\x89PNG", caption="[[echo: about the caption]]")
    await person.wait_for("about the caption")
    await forma.quiet(person)
    assert [seen.text for seen in forma.answers(person)] == [
        words(language).say("cannot-use-caption"),
        "about the caption",
    ]


async def test_an_album_is_answered_once(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.upload("photo", b"\x89PNG1", b"\x89PNG2", b"\x89PNG3")
    await person.wait_for("Фото пока не разбираю")
    await forma.quiet(person)
    assert len(forma.answers(person)) == 1
    await person.upload("photo", b"\x89PNG1", b"\x89PNG2", caption="[[echo: подпись]]")
    await person.wait_for("подпись", timeout_s=20)
    await forma.quiet(person)
    assert [seen.text for seen in forma.answers(person)][1:] == [words("ru").say("cannot-use-caption"), "подпись"]


@both
@pytest.mark.parametrize("text", ["\u2800", "\u3164 \u2800"])
async def test_a_message_with_nothing_to_see_is_said_to_be_empty(forma: Forma, language: str, text: str) -> None:
    person = await forma.person(language)
    assert await forma.said(person, text) == [words(language).say("message-empty")]
    assert await forma.scalar(TURNS, id=person.id) == 0


@both
async def test_too_long_a_question_is_refused_with_what_fits_and_costs_nothing(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await person.send("1 2 3 " * 5_500)
    refusal = await person.wait_for(
        {"ru": "Слишком длинно для одного вопроса", "en": "Too long for one question"}[language], timeout_s=30
    )
    digits = "".join(char for char in refusal.text if char.isdigit())
    assert 6_000 <= int(digits) <= 8_000  # what the free plan reads of such a text
    assert {"ru": "Лайт", "en": "Lite"}[language] in refusal.text
    await forma.quiet(person)
    row = "SELECT status || ' ' || billed_tokens FROM turns WHERE person_id = :id"
    assert await forma.scalar(row, id=person.id) == "failed 0"
    assert await forma.said(person, "[[echo: short]]") == ["short"]
    assert await forma.violations() == []


@both
async def test_a_button_of_an_old_message_says_that_it_expired(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    greeting = person.messages()[-1]
    for data in ("redo:999999999", "continue:1x", "nothing", "redo:", "recount:99999999999999999999", "example:x"):
        pressed = await person.press(greeting, data=data)
        assert (await person.toast(pressed))["text"] == words(language).say("toast-expired"), data
    assert await forma.scalar(TURNS, id=person.id) == 0


@both
async def test_another_persons_button_does_nothing_for_oneself(forma: Forma, language: str) -> None:
    owner, other = await forma.person(language), await forma.person(language)
    await forma.said(owner, "[[echo: mine]]")
    turn = await forma.scalar("SELECT id FROM turns WHERE person_id = :id", id=owner.id)
    for action in ("redo", "continue", "recount"):
        pressed = await other.press(other.messages()[-1], data=f"{action}:{turn}")
        assert (await other.toast(pressed))["text"] == words(language).say("toast-other-person")
    assert await forma.scalar(TURNS, id=owner.id) == 1
    assert await forma.scalar(TURNS, id=other.id) == 0


async def test_hostile_text_is_answered_like_any_other(forma: Forma) -> None:
    person = await forma.person("ru")
    for text in ("'; DROP TABLE turns; --", "<b>&amp;</b> {x} %s \\u0000", "\u202eтекст задом наперёд", "🏋️" * 500):
        replies = await forma.said(person, text)
        assert len(replies) == 1
        assert "имуля" in replies[0] or "imulat" in replies[0]


async def test_a_character_that_postgres_cannot_store_stops_nobody(forma: Forma) -> None:
    person, other = await forma.person("ru"), await forma.person("ru")
    await person.send("[[echo: раз\0два]]")
    assert await forma.said(other, "[[echo: и я]]") == ["и я"]
    await person.wait_for("раздва", timeout_s=20)
    await person.send(r"[[echo: \u0000]]")  # typed out it is text as any other
    await person.wait_for(r"\u0000", timeout_s=20)
    await forma.quiet(person)
