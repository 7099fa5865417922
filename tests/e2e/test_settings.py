"""/settings and /language: one tap a choice, kept, shown, and in force from the next answer on."""

import pytest

from kit.words import words
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])


@both
async def test_each_setting_is_chosen_with_one_tap_and_marked(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await person.send("/settings")
    home = await person.wait_for(say("settings"))
    assert home.labels == [
        say("button-settings-text", value="rich"),
        say("button-settings-preview", value="draft"),
        say("button-settings-length", value="short"),
        say("button-settings-language"),
    ]
    choices = {
        0: (say("settings-text"), say("button-text-plain"), say("button-settings-text", value="plain")),
        1: (say("settings-preview"), say("button-preview-off"), say("button-settings-preview", value="off")),
        2: (say("settings-length"), say("button-length-detailed"), say("button-settings-length", value="detailed")),
    }
    for row, (screen, choice, chosen) in choices.items():
        await person.press(home, row)
        shown = await person.wait_for(screen)
        pressed = await person.press(shown, choice)
        assert (await person.toast(pressed))["text"] == say("toast-saved")
        home = await person.wait_for(say("settings"))
        assert home.labels[row] == chosen
        await person.press(home, row)
        shown = await person.wait_for(screen)
        assert say("button-chosen", label=choice) in shown.labels
        await person.press(shown, say("button-back"))
        home = await person.wait_for(say("settings"))
    kept = 'SELECT settings = \'{"text": "plain", "preview": "off", "length": "detailed"}\' FROM persons'
    assert await forma.scalar(kept + " WHERE id = :id", id=person.id)


@both
async def test_the_length_chosen_reaches_the_model(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    short = {"ru": "Отвечай кратко", "en": "Keep it short"}[language]
    detailed = {"ru": "Отвечай подробно", "en": "Answer in depth"}[language]
    (prompt,) = await forma.said(person, "[[prompt]]")
    assert short in prompt
    await forma.choose(person, "length", "detailed")
    (prompt,) = await forma.said(person, "[[prompt]]")
    assert detailed in prompt


async def test_another_language_holds_at_once_for_words_menu_and_model(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("/language")
    screen = await person.wait_for("Выберите язык")
    await person.press(screen, "English")
    await person.wait_for(words("en").say("language-set"))
    assert await forma.said(person, "/stop") == [words("en").say("nothing-to-stop")]
    await forma.tg.wait_call("setMyCommands", ok=True)
    await forma.quiet(person)
    menu = (await forma.tg.control("GET", f"commands?chat_id={person.id}&person={person.id}"))["commands"]
    assert {entry["command"]: entry["description"] for entry in menu}["help"] == words("en").say("command-help")
    (prompt,) = await forma.said(person, "[[prompt]]")
    assert "You are Forma" in prompt
    await person.send("/settings")
    home = await person.wait_for("Settings")
    await person.press(home, words("en").say("button-settings-language"))
    screen = await person.wait_for("Choose your language")
    await person.press(screen, "Русский")
    await person.wait_for(words("ru").say("language-set"))


async def test_a_client_in_another_language_is_greeted_in_english(forma: Forma) -> None:
    person = await forma.tg.person(first_name="Anna", language_code="de")
    await person.start()
    await person.wait_for(words("en").say("start"))


async def test_a_choice_that_does_not_exist_changes_nothing(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("/settings")
    home = await person.wait_for("Настройки")
    for data in ("set:text:loud", "set:nothing:plain", "language:xx", "set:text"):
        pressed = await person.press(home, data=data)
        assert (await person.toast(pressed))["text"] == words("ru").say("toast-expired")
    assert await forma.scalar("SELECT settings = '{}' AND language = 'ru' FROM persons WHERE id = :id", id=person.id)


async def test_the_same_choice_twice_is_no_error(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.choose(person, "text", "plain")
    await forma.choose(person, "text", "plain")
    failed = "SELECT count(*) FROM outbox WHERE chat_id = :id AND status <> 'sent'"
    assert await forma.scalar(failed, id=person.id) == 0
