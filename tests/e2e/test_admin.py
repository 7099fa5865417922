"""The admin group's commands: numbers that equal the books, cards by any handle, grants that are confirmed."""

import pytest

from tests.e2e.conftest import ADMIN_GROUP
from tests.support.forma import Forma
from tests.support.shop import WAIT_S
from tests.support.telegram import Group, Person, Seen

GRANTS = """
    SELECT count(*) FROM lots l JOIN accounts a ON a.id = l.account_id WHERE l.kind = 'grant' AND a.person_id = :id
"""


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person]:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    return group, operator


async def ask(room: tuple[Group, Person], text: str, words: str) -> Seen:
    """What a command is answered; the words name which message is the answer."""
    group, operator = room
    await operator.send(text, chat=group)
    return await operator.wait_for(words, chat=group, timeout_s=90)


def plain(seen: Seen) -> str:
    return seen.text.replace("\u00a0", " ").replace("\u202f", " ")


async def test_a_grant_is_confirmed_credited_told_and_audited(forma: Forma, room: tuple[Group, Person]) -> None:
    group, operator = room
    person = await forma.person("ru", username="lucky")
    question = await ask(room, "/grant @lucky 100_000 за терпение", "Начислить")
    assert await forma.scalar(GRANTS, id=person.id) == 0
    await operator.press(question, "Начислить")
    await operator.wait_for("Начислено", chat=group, timeout_s=WAIT_S)
    await person.wait_for("100 000", timeout_s=WAIT_S, since=0)
    audit = "SELECT count(*) FROM audit_log WHERE action = 'grant' AND subject_id = :id AND actor_id = :by"
    assert await forma.scalar(f"{audit} AND details ->> 'reason' = 'за терпение'", id=person.id, by=operator.id) == 1
    toast = await operator.toast(await operator.press(question, data=question.buttons[0]["callback_data"]))
    assert "устарело" in toast["text"]
    assert await forma.scalar(GRANTS, id=person.id) == 1
    assert await forma.violations() == []


async def test_a_grant_is_given_once_however_it_is_pressed_and_not_after_ten_minutes(
    forma: Forma, room: tuple[Group, Person]
) -> None:
    group, operator = room
    person = await forma.person("en", username="late")
    other = await forma.tg.person(first_name="Второй", language_code="ru")
    await group.set_member(other.id, "administrator")
    question = await ask(room, f"/grant {person.id} 10 проверка", "Начислить")
    toast = await other.toast(await other.press(question, "Начислить"), timeout_s=WAIT_S)
    assert "кто отправил" in toast["text"]
    await forma.advance(seconds=601)
    toast = await operator.toast(await operator.press(question, "Начислить"), timeout_s=WAIT_S)
    assert "устарело" in toast["text"]
    assert await forma.scalar(GRANTS, id=person.id) == 0
    dropped = await ask(room, f"/grant {person.id} 11 проверка", "11")
    await operator.press(dropped, "Не начислять")
    await operator.wait_for("Не начислено", chat=group, timeout_s=90)
    toast = await operator.toast(await operator.press(dropped, data=dropped.buttons[0]["callback_data"]))
    assert "устарело" in toast["text"]
    assert await forma.scalar(GRANTS, id=person.id) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/grant", "Кому и сколько?"),
        ("/grant 1 -5 x", "Кому и сколько?"),
        ("/grant 1 ² x", "Кому и сколько?"),
        (f"/grant 1 {'9' * 4_000} x", "от 1 до"),
        ("/grant 1 0 x", "от 1 до"),
        ("/grant ٣٣ ١٠٠ x", "Не нашёл: ٣٣"),
        ("/user", "Кого показать?"),
        ("/user ZZZZZZ", "Не нашёл: ZZZZZZ"),
        ("/user @nobody_at_all", "Не нашёл"),
        ("/user " + "ё" * 4_000, "Не нашёл"),
        ("/user ' OR 1=1 --", "Не нашёл: ' OR"),
        ("/user <b>x</b>", "Не нашёл: <b>x</b>"),
        ("/user 99999999999999999999999", "Не нашёл"),
    ],
)
async def test_bad_input_is_answered_in_words_and_changes_nothing(
    forma: Forma, room: tuple[Group, Person], text: str, words: str
) -> None:
    before = await forma.scalar("SELECT count(*) FROM admin_requests")
    await room[1].send(text, chat=room[0])
    said = """
        SELECT EXISTS (SELECT FROM outbox o JOIN inbox i ON o.dedup_key = concat('update:', i.id, chr(58), '0')
        WHERE i.body -> 'message' ->> 'text' = :text AND strpos(o.payload -> 'data' ->> 'text', :words) > 0)
    """
    await forma.quiet_until(said, text=text, words=words)
    assert await forma.scalar("SELECT count(*) FROM admin_requests") == before
    assert await forma.scalar("SELECT count(*) FROM inbox WHERE error IS NOT NULL") == 0
