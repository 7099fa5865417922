"""Every command of a private chat answers, in both languages; groups are told where the answers are."""

import pytest

from kit.words import words
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])
SAID = {
    "/help": {"ru": "Пишите как тренеру", "en": "Write as you would to a coach"},
    "/balance": {"ru": "У вас 35 000 токенов, ≈ 35 ответов", "en": "You have 35,000 tokens, ≈ 35 answers"},
    "/plans": {"ru": "Планы на 30 дней", "en": "Plans for 30 days"},
    "/buy": {"ru": "Планы на 30 дней", "en": "Plans for 30 days"},
    "/subscription": {"ru": "Подписки нет", "en": "No subscription"},
    "/promo": {"ru": "Пришлите промокод ответом", "en": "Send your promo code as a reply"},
    "/invite": {"ru": "Ваша ссылка для друзей", "en": "Your link for friends"},
    "/settings": {"ru": "Настройки", "en": "Settings"},
    "/language": {"ru": "Выберите язык", "en": "Choose your language"},
    "/terms": {"ru": "Условия Forma", "en": "Forma's terms"},
    "/privacy": {"ru": "Ваши данные", "en": "Your data"},
    "/support": {"ru": "Сбой, вопрос или идея?", "en": "A fault, a question or an idea?"},
    "/paysupport": {"ru": "за 48 ч", "en": "within 48 h"},
    "/payments": {"ru": "Оплат пока не было", "en": "No payments yet"},
    "/new": {"ru": "Новый разговор", "en": "A new conversation"},
    "/dialogs": {"ru": "Разговоров нет", "en": "No conversations"},
    "/context": {"ru": "Сейчас разговора нет", "en": "There is no conversation now"},
    "/stop": {"ru": "Сейчас нечего останавливать", "en": "There is nothing to stop right now"},
    "/nothing": {"ru": "Такой команды нет. Что есть: /help", "en": "There is no such command. What there is: /help"},
    "/": {"ru": "Такой команды нет", "en": "There is no such command"},
}


def spaced(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@both
async def test_every_command_answers_at_once_and_costs_nothing(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    for command, fragments in SAID.items():
        replies = await forma.said(person, command)
        assert len(replies) == 1, (command, replies)
        assert fragments[language] in spaced(replies[0]), (command, replies)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 0


@both
async def test_the_menu_offers_only_commands_that_answer(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    menu = (await forma.tg.control("GET", f"commands?chat_id={person.id}&person={person.id}"))["commands"]
    assert {f"/{entry['command']}" for entry in menu} == set(SAID) - {"/nothing", "/"}
    assert {entry["command"]: entry["description"] for entry in menu}["help"] == words(language).say("command-help")


async def test_a_command_with_the_bots_name_and_arguments_answers_too(forma: Forma) -> None:
    person = await forma.person("ru")
    (reply,) = await forma.said(person, "/help@forma_sandbox_bot сейчас")
    assert reply == words("ru").say("help", think=False)


async def test_what_only_begins_like_a_command_is_a_question(forma: Forma) -> None:
    person = await forma.person("ru")
    (reply,) = await forma.said(person, "/5 от 100 это сколько?")
    assert "/5 от 100 это сколько?" in reply


async def test_nobody_but_the_admin_group_has_the_operators_commands(forma: Forma) -> None:
    person = await forma.person("ru")
    for command in ("/stats", "/user 1", "/grant 1 1 x", "/queue", "/health", "/refund 1", "/quarantine", "/cases"):
        assert await forma.said(person, command) == [words("ru").say("unknown-command")]


async def test_a_private_button_that_came_into_a_group_is_nobodys_there(forma: Forma) -> None:
    person = await forma.person("ru")
    group = await forma.tg.group(title="Друзья", members=[person])
    line = await person.wait_for("@forma_sandbox_bot", chat=group)
    for data in ("plans", "set:text:plain", "example:sleep", "language:en"):
        pressed = await person.press(line, data=data)
        assert (await person.toast(pressed))["text"] == words("ru").say("toast-other-person")
    assert await forma.scalar("SELECT settings = '{}' AND language = 'ru' FROM persons WHERE id = :id", id=person.id)
