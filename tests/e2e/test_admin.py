"""The admin group: its commands, its confirmation, its reports — and that they exist nowhere else."""

import asyncio

import pytest

from tests.e2e.conftest import ADMIN_GROUP
from tests.support.forma import Forma
from tests.support.telegram import Group, Person


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person]:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    return group, operator


async def test_a_grant_is_confirmed_credited_told_and_audited(forma: Forma, room: tuple[Group, Person]) -> None:
    group, operator = room
    person = await forma.person("ru", username="lucky")
    await operator.send("/grant @lucky 100000 за терпение", chat=group)
    question = await operator.wait_for("Начислить", chat=group)
    await operator.press(question, 0)
    await operator.wait_for("Начислено", chat=group)
    await person.wait_for("100", since=0)
    assert await forma.scalar("SELECT granted FROM lots WHERE kind = 'gift'") == 100_000
    assert await forma.scalar("SELECT count(*) FROM audit_log WHERE action = 'grant'") == 1
    await operator.press(question, data=question.buttons[0]["callback_data"])
    assert await forma.scalar("SELECT count(*) FROM lots WHERE kind = 'gift'") == 1


@pytest.mark.parametrize(("command", "sign"), [("/stats", "24"), ("/queue", "пуст"), ("/health", "работает")])
async def test_reports_answer(forma: Forma, room: tuple[Group, Person], command: str, sign: str) -> None:
    group, operator = room
    await operator.send(command, chat=group)
    await operator.wait_for(sign, chat=group)


async def test_a_person_is_found_by_id_name_and_error_code(forma: Forma, room: tuple[Group, Person]) -> None:
    group, operator = room
    person = await forma.person("en", username="finder")
    for query in (str(person.id), "@finder"):
        await operator.send(f"/user {query}", chat=group)
        await operator.wait_for(str(person.id), chat=group)


async def test_admin_commands_do_not_exist_in_a_private_chat(forma: Forma, room: tuple[Group, Person]) -> None:
    _, operator = room
    await operator.start()
    await operator.wait_for("/terms")
    await operator.send("/stats")
    await operator.wait_for("Такой команды нет")


async def test_another_group_is_not_told_how_to_become_the_admin_group(
    forma: Forma, room: tuple[Group, Person]
) -> None:
    stranger = await forma.tg.person(first_name="Stranger", language_code="en")
    other = await forma.tg.group(title="Elsewhere", admins=[stranger], bot="administrator")
    await stranger.send("/start", chat=other)
    await stranger.send("/stats", chat=other)
    handled = (
        "SELECT count(*) FROM inbox WHERE handled_at IS NOT NULL"
        " AND body -> 'message' -> 'chat' ->> 'id' = :chat AND body -> 'message' ->> 'text' LIKE '/%'"
    )
    async with asyncio.timeout(20):
        while await forma.scalar(handled, chat=str(other.id)) < 2:
            await asyncio.sleep(0.05)
    assert await forma.scalar("SELECT count(*) FROM outbox WHERE chat_id = :chat", chat=other.id) == 0
