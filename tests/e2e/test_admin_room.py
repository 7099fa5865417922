"""Who commands Forma: members of the admin group, in that group, anonymous or not, wherever Telegram moves it."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from kit import inbox, outbox, signals
from tests.support import shop
from tests.support.forma import Forma, running
from tests.support.telegram import Group, Person

WAIT_S = 30.0
ROOM = -7000


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Forma]:
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start()
    try:
        async with running(database_url, redis_url, tg, model, start=("bot",), admin_chat_id=ROOM) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


@pytest.fixture(scope="module")
async def staff(forma: Forma) -> tuple[Group, Person, Person]:
    """The room, its owner and a plain member."""
    owner = await forma.tg.person(first_name="Оля", language_code="ru")
    member = await forma.tg.person(first_name="Миша", language_code="ru")
    room = await forma.tg.group(
        title="Room", id=ROOM, kind="group", members=[owner, member], admins=[owner], bot="administrator"
    )
    return room, owner, member


async def handled(forma: Forma, chat_id: int, text: str) -> None:
    """Wait until a message is fetched and handled."""
    await forma.quiet_until(
        "SELECT EXISTS (SELECT FROM inbox WHERE handled_at IS NOT NULL AND body -> 'message' ->> 'text' = :text"
        " AND body -> 'message' -> 'chat' ->> 'id' = :chat)",
        chat=str(chat_id),
        text=text,
    )


async def said_to(forma: Forma, chat_id: int) -> int:
    return int(await forma.scalar("SELECT count(*) FROM outbox WHERE chat_id = :chat", chat=chat_id))


async def test_the_room_is_not_told_how_to_ask_questions(forma: Forma, staff: tuple[Group, Person, Person]) -> None:
    room, owner, _ = staff
    await owner.send("/help", chat=room)
    await owner.wait_for("/grant", chat=room, timeout_s=WAIT_S)
    assert not [seen for seen in owner.messages(room) if "@forma_sandbox_bot" in seen.text]


async def test_a_plain_member_commands(staff: tuple[Group, Person, Person]) -> None:
    room, _, member = staff
    await member.send("/help", chat=room)
    await member.wait_for("/grant", chat=room, timeout_s=WAIT_S)


@pytest.mark.parametrize("command", ["/stats", "/user 1", "/grant 1 100 x", "/queue", "/health"])
async def test_in_a_private_chat_the_commands_do_not_exist(
    forma: Forma, staff: tuple[Group, Person, Person], command: str
) -> None:
    owner = staff[1]
    await owner.start()
    await owner.wait_for("/terms", timeout_s=WAIT_S)
    before = await forma.scalar("SELECT count(*) FROM admin_requests")
    await owner.send(command)
    await owner.wait_for("Такой команды нет", timeout_s=WAIT_S)
    assert await forma.scalar("SELECT count(*) FROM admin_requests") == before


async def test_in_another_group_of_the_same_people_they_do_not_exist(
    forma: Forma, staff: tuple[Group, Person, Person]
) -> None:
    owner = staff[1]
    other = await forma.tg.group(title="Other", members=[owner], admins=[owner], bot="administrator")
    for text in ("/stats", "/health"):
        await owner.send(text, chat=other)
        await owner.send(f"{text} again", chat=other, anonymous=True)
        await handled(forma, other.id, f"{text} again")
    assert await said_to(forma, other.id) == 1  # how to ask it something, when it was added


async def test_who_was_removed_commands_no_more(forma: Forma, staff: tuple[Group, Person, Person]) -> None:
    room, owner, _ = staff
    leaver = await forma.tg.person(first_name="Лёва", language_code="ru")
    await room.set_member(leaver.id, "member")
    person = await forma.person("ru", username="target")
    await leaver.send("/grant @target 500 за дело", chat=room)
    question = await leaver.wait_for("Начислить", chat=room, timeout_s=WAIT_S)
    pressed = await leaver.press(question, "Не начислять")
    await leaver.toast(pressed, timeout_s=WAIT_S)
    await leaver.send("/grant @target 700 за дело", chat=room)
    question = await leaver.wait_for("700", chat=room, timeout_s=WAIT_S)
    await shop.settled(forma)
    await forma.stop("bot")
    await leaver.press(question, "Начислить")
    await leaver.send("/stats", chat=room)
    await room.set_member(leaver.id, "kicked")
    before = await said_to(forma, room.id)
    await forma.start("bot")
    await handled(forma, room.id, "/stats")
    await shop.settled(forma)
    assert await said_to(forma, room.id) == before
    lots = (
        "SELECT count(*) FROM lots l JOIN accounts a ON a.id = l.account_id WHERE a.person_id = :id AND kind = 'grant'"
    )
    assert await forma.scalar(lots.replace("AND kind", "AND l.kind"), id=person.id) == 0
    toast = await owner.toast(await owner.press(question, "Начислить"), timeout_s=WAIT_S)
    assert "кто отправил" in toast["text"]


async def test_an_anonymous_administrator_commands_and_any_administrator_confirms(
    forma: Forma, staff: tuple[Group, Person, Person]
) -> None:
    room, owner, member = staff
    person = await forma.person("en", username="gifted")
    await owner.send("/user @gifted", chat=room, anonymous=True)
    await owner.wait_for(str(person.id), chat=room, timeout_s=WAIT_S)
    await owner.send("/grant @gifted 1000 ошибка у нас", chat=room, anonymous=True)
    question = await owner.wait_for("Начислить", chat=room, timeout_s=WAIT_S)
    toast = await member.toast(await member.press(question, "Начислить"), timeout_s=WAIT_S)
    assert "кто отправил" in toast["text"]
    await owner.press(question, "Начислить")
    await owner.wait_for("Начислено", chat=room, timeout_s=WAIT_S)
    await person.wait_for("1,000", timeout_s=WAIT_S, since=0)
    audit = (
        "SELECT details ->> 'asked_by' FROM audit_log WHERE action = 'grant' AND subject_id = :id AND actor_id = :by"
    )
    assert await forma.scalar(audit, id=person.id, by=owner.id) == "анонимный администратор"
    assert await forma.scalar("SELECT count(*) FROM persons WHERE id = 1087968824") == 0


async def test_a_channel_that_posts_into_the_room_commands_nothing(
    forma: Forma, staff: tuple[Group, Person, Person]
) -> None:
    room = staff[0]
    await shop.settled(forma)
    before = await said_to(forma, room.id)
    body = {
        "update_id": 900_001,
        "message": {
            "message_id": 900_001,
            "date": 1_795_000_000,
            "chat": {"id": room.id, "type": "group", "title": "Room"},
            "from": {"id": 777000, "is_bot": False, "first_name": "Telegram"},
            "sender_chat": {"id": -100555, "type": "channel", "title": "News"},
            "is_automatic_forward": True,
            "text": "/stats now",
            "entities": [{"type": "bot_command", "offset": 0, "length": 6}],
        },
    }
    async with forma.app.db.transaction() as tx:
        await inbox.store(tx, source=inbox.TELEGRAM, bodies=[("900001", body)], now=forma.app.clock.now())
    await signals.send(forma.app.redis, signals.INBOX)
    await handled(forma, room.id, "/stats now")
    assert await said_to(forma, room.id) == before


async def test_the_room_is_followed_when_it_becomes_a_supergroup(
    forma: Forma, staff: tuple[Group, Person, Person]
) -> None:
    room, owner, _ = staff
    buyer = await forma.person("en")
    sheet = await shop.sheet(buyer, shop.EN, shop.EN.pack)
    await shop.settled(forma)
    await forma.stop("bot")
    moved = await room.migrate()
    await forma.start("bot")
    # What is paid now is told where the room is now.
    assert (await buyer.pay(shop.url_of(sheet)))["state"] == "paid"
    await owner.wait_for("150", chat=moved, timeout_s=WAIT_S, since=0)
    await owner.wait_for(str(moved.id), chat=moved, timeout_s=WAIT_S, since=0)
    await owner.send("/queue", chat=moved)
    await owner.wait_for("пуст", chat=moved, timeout_s=WAIT_S)
    await forma.stop("bot")
    await forma.start("bot")
    await owner.send("/queue", chat=moved)
    await owner.wait_for("пуст", chat=moved, timeout_s=WAIT_S)
    names = await forma.tg.control("GET", "commands", params={"chat_id": str(moved.id), "person": str(owner.id)})
    assert "grant" in [command["command"] for command in names["commands"]]


async def test_what_waited_for_the_room_arrives_in_its_supergroup(forma: Forma) -> None:
    """An alert that was written for the old id, before anybody knew of the new one."""
    moved = await forma.scalar("SELECT new_chat_id FROM chat_migrations WHERE old_chat_id = :old", old=ROOM)
    async with forma.app.db.transaction() as tx:
        await outbox.add(
            tx,
            kind=outbox.ALERT,
            chat_id=ROOM,
            payload={"notice": "admin-alert-refunded", "args": {"stars": 77, "id": 5}},
            now=forma.app.clock.now(),
        )
    await signals.send(forma.app.redis, signals.OUTBOX)
    group = Group(forma.tg, moved)
    await forma.tg.until(lambda: any("77" in seen.text for seen in group.messages()), timeout_s=WAIT_S)
