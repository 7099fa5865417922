"""Slow lanes and maintenance windows: what the operator commands, and what people see of it."""

from datetime import timedelta

import pytest

from app import service_orders
from app.service_orders import Subject
from tests.e2e.conftest import ADMIN_GROUP
from tests.e2e.test_queue import configured
from tests.support import shop
from tests.support.forma import Forma
from tests.support.telegram import Group, Person

both = pytest.mark.parametrize("language", ["ru", "en"])
WORKS = {"ru": "Сейчас технические работы, примерно на 30 мин", "en": "maintenance right now, for about 30 min"}
WAIT_S = 30.0
OPEN = "SELECT count(*) FROM turns t JOIN holds h ON h.turn_id = t.id WHERE t.person_id = :id AND h.status = 'held'"


@pytest.fixture(scope="module")
async def staff(forma: Forma) -> tuple[Group, Person]:
    owner = await forma.tg.person(first_name="Оля", language_code="ru")
    room = await forma.tg.group(
        title="Room", id=ADMIN_GROUP, kind="group", members=[owner], admins=[owner], bot="administrator"
    )
    return room, owner


async def ordered(staff: tuple[Group, Person], command: str, answer: str) -> str:
    """Command in the admin group; what the bot said to it, with ordinary spaces."""
    room, owner = staff
    await owner.send(command, chat=room)
    seen = await owner.wait_for(answer, chat=room, timeout_s=WAIT_S)
    return seen.text.replace("\u00a0", " ")


async def waiting(forma: Forma) -> int:
    (fair,) = forma.app.queues.values()
    return (await fair.snapshot()).waiting


def told(forma: Forma, person: Person, words: str) -> int:
    return sum(
        seen.sender_id == forma.tg.bot_id and words in seen.text.replace("\u00a0", " ") for seen in person.messages()
    )


@both
async def test_questions_of_a_window_are_kept_told_once_and_answered_when_it_ends(
    forma: Forma, staff: tuple[Group, Person], language: str
) -> None:
    person = await forma.person(language)
    said = await ordered(staff, "/maintenance all 30m новый драйвер", "🔧 Работы · все · до")
    assert "новый драйвер" in said
    assert "/maintenance all off" in said
    await person.send("[[echo: kept]]")
    await forma.tg.until(lambda: told(forma, person, WORKS[language]) == 1, timeout_s=WAIT_S, what="the window told")
    assert await forma.scalar(OPEN, id=person.id) == 1
    assert await waiting(forma) == 0
    joins = await person.send("[[echo: more]]")  # it joins the question that is kept
    await forma.tg.until(lambda: any(seen.id == joins and seen.reactions == ["👀"] for seen in person.messages()))
    await shop.offer(person, shop.TONGUES[language])
    await shop.settled(forma)
    assert told(forma, person, WORKS[language]) == 1
    assert "Отложено вопросов: 1" in await ordered(staff, "/service", "Отложено вопросов")
    await ordered(staff, "/maintenance all off", "Работы закончены")
    await person.wait_for("more", timeout_s=WAIT_S)
    await forma.quiet(person)
    assert await forma.scalar(OPEN, id=person.id) == 0
    assert await forma.violations() == []


async def test_what_runs_is_finished_and_what_waits_is_taken_out(forma: Forma, staff: tuple[Group, Person]) -> None:
    first, second, third = [await forma.person("ru") for _ in range(3)]
    async with configured(forma, slots=1, reserve_max=0):
        await first.send("[[tokens: 60]] [[slow]] Расскажи о беге")
        await forma.growing(first)
        for person in (second, third):
            await person.send("[[echo: after all]]")
            await forma.quiet_until("SELECT count(*) = 1 FROM turns WHERE person_id = :id", id=person.id)
        await ordered(staff, "/maintenance model:chat 30m замена карты", "🔧 Работы · модель chat")
        for person in (second, third):
            await forma.tg.until(lambda p=person: told(forma, p, WORKS["ru"]), timeout_s=WAIT_S, what="the window told")
        await forma.quiet(first)
        assert "Расскажи о беге" in forma.answers(first)[-1].text
        assert await waiting(forma) == 0
        await third.send("/stop")
        await third.wait_for("снят с очереди", timeout_s=WAIT_S)
        await ordered(staff, "/maintenance model:chat off", "Работы закончены")
        await second.wait_for("after all", timeout_s=WAIT_S)
        await forma.quiet(second)
    assert await forma.scalar(OPEN, id=third.id) == 0
    assert await forma.violations() == []


async def test_a_window_about_a_person_is_theirs_alone_and_ends_by_itself(
    forma: Forma, staff: tuple[Group, Person]
) -> None:
    person, other = await forma.person("ru", username="resting"), await forma.person("ru")
    await ordered(staff, "/maintenance @resting 1h проверка", f"🔧 Работы · {person.id}")
    await person.send("[[echo: later]]")
    await person.wait_for("технические работы", timeout_s=WAIT_S)
    assert await forma.said(other, "[[echo: now]]") == ["now"]
    await forma.advance(hours=2)
    await person.wait_for("later", timeout_s=WAIT_S)
    await staff[1].wait_for("работы кончились по сроку", chat=staff[0], timeout_s=WAIT_S)
    await forma.quiet(person)
    assert await forma.violations() == []


async def test_the_slow_lane_lets_others_go_first_and_takes_those_along_who_wait(
    forma: Forma, staff: tuple[Group, Person]
) -> None:
    slowed, usual, busy = [await forma.person("ru") for _ in range(3)]
    async with configured(forma, slots=1, reserve_max=0):
        await busy.send("[[tokens: 60]] [[slow]] Расскажи о беге")
        await forma.growing(busy)
        await slowed.send("[[tokens: 40]]")
        await forma.quiet_until("SELECT count(*) = 1 FROM turns WHERE person_id = :id", id=slowed.id)
        await lane_is(forma, slowed, weight=4)
        await ordered(staff, f"/slow {slowed.id} 2d слишком много сразу", f"🐢 Медленно · {slowed.id}")
        await lane_is(forma, slowed, weight=1)
        for person in (busy, slowed):
            await forma.quiet(person)
        await forma.said(usual, "[[tokens: 40]]")
        await busy.send("[[tokens: 60]] [[slow]] Расскажи о лыжах")
        await forma.growing(busy)
        for person in (slowed, usual):  # the slow one asks first
            await person.send("[[echo: ответ]]")
            await forma.quiet_until("SELECT count(*) = 2 FROM turns WHERE person_id = :id", id=person.id)
        for person in (usual, slowed):
            await forma.quiet(person)
        assert await forma.scalar(
            "SELECT (SELECT max(started_at) FROM turns WHERE person_id = :usual)"
            " < (SELECT max(started_at) FROM turns WHERE person_id = :slowed)",
            usual=usual.id,
            slowed=slowed.id,
        )
        await busy.send("[[tokens: 60]] [[slow]] Расскажи о гребле")
        await forma.growing(busy)
        await slowed.send("[[echo: ответ]]")
        await lane_is(forma, slowed, weight=1)
        await ordered(staff, f"/slow {slowed.id} off", "Медленная полоса снята")
        await lane_is(forma, slowed, weight=4)
        for person in (busy, slowed):
            await forma.quiet(person)
    assert await forma.violations() == []


async def lane_is(forma: Forma, person: Person, *, weight: int) -> None:
    """Wait until whoever waits does so with this weight, the free plan's being 4 quarters."""
    (fair,) = forma.app.queues.values()

    async def seen() -> int:
        return int(await forma.app.redis.hget(f"{{fq:{fair.group}}}:p:{person.id}", "w") or 0)

    for _ in range(400):
        if await seen() == weight and (await fair.snapshot()).waiting:
            return
        await forma.tg.state()
    raise AssertionError((await seen(), weight))


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("/slow", "/slow КОГО СРОК ПРИЧИНА"),
        ("/maintenance all", "/maintenance КОГО СРОК ПРИЧИНА"),
        ("/slow @nobody_here 2h много", "Не знаю такого: @nobody_here"),
        ("/maintenance model:other 2h проверка", "Не знаю такого: model:other"),
        ("/maintenance all 13h проверка", "самое большее 12 ч"),
        ("/maintenance all 0m проверка", "самое большее 12 ч"),
        ("/slow all 31d проверка", "самое большее 30 дней"),
        ("/slow all 99999d проверка", "самое большее 30 дней"),
        ("/slow all ²h проверка", "самое большее 30 дней"),
        ("/slow all 2h", "Напишите причину, до 200 знаков"),
        ("/slow all off", "Это и не было включено"),
        ("/service", "Ничего не включено"),
    ],
)
async def test_what_is_no_order_changes_nothing(
    forma: Forma, staff: tuple[Group, Person], command: str, answer: str
) -> None:
    before = await forma.scalar("SELECT count(*) FROM service_orders")
    assert answer in await ordered(staff, command, answer.partition(" ")[0])
    assert await forma.scalar("SELECT count(*) FROM service_orders") == before


async def test_an_order_takes_the_place_of_the_one_before_and_both_are_in_the_audit_log(
    forma: Forma, staff: tuple[Group, Person]
) -> None:
    await ordered(staff, "/slow all 1h первая причина", "первая причина")
    await ordered(staff, "/slow all 2h вторая причина", "вторая причина")
    listed = await ordered(staff, "/service", "🐢 Медленно · все")
    assert "вторая причина\n/slow all off" in listed
    assert "первая" not in listed
    await ordered(staff, "/slow all off", "Медленная полоса снята")
    actions = await forma.scalar(
        "SELECT array_agg(action ORDER BY id DESC) FROM (SELECT * FROM audit_log ORDER BY id DESC LIMIT 3) last"
    )
    assert actions == ["slow_off", "slow_on", "slow_on"]
    by = await forma.scalar("SELECT actor_id FROM audit_log ORDER BY id DESC LIMIT 1")
    assert by == staff[1].id
    assert await forma.scalar("SELECT count(*) FROM service_orders WHERE ended_at IS NULL") == 0


async def test_a_list_longer_than_a_message_is_told_whole(forma: Forma, staff: tuple[Group, Person]) -> None:
    room, owner = staff
    now = forma.app.clock.now()
    about = [Subject(person_id=number) for number in range(1, 17)]  # a group takes 20 messages a minute
    async with forma.app.db.transaction() as tx:
        for subject in about:
            until, reason = now + timedelta(hours=1), "ж" * 200
            await service_orders.place(tx, kind="slow", subject=subject, until=until, reason=reason, by=1, now=now)
    before = max((seen.id for seen in room.messages()), default=0)
    await owner.send("/service", chat=room)
    await owner.wait_for("/slow 16 off", chat=room, timeout_s=WAIT_S)
    listed = [seen.text for seen in room.messages() if seen.id > before and "🐢" in seen.text]
    assert len(listed) == 2
    assert all(f"/slow {subject.person_id} off" in "\n".join(listed) for subject in about)
    async with forma.app.db.transaction() as tx:
        for subject in about:
            await service_orders.end(tx, kind="slow", subject=subject, by=1, now=now)


async def test_an_order_about_a_model_that_is_gone_can_be_ended(forma: Forma, staff: tuple[Group, Person]) -> None:
    now, gone = forma.app.clock.now(), Subject(model="gone")
    until = now + timedelta(hours=1)
    async with forma.app.db.transaction() as tx:
        await service_orders.place(tx, kind="slow", subject=gone, until=until, reason="проверка", by=1, now=now)
    assert "/slow model:gone off" in await ordered(staff, "/service", "🐢 Медленно · модель gone")
    await ordered(staff, "/slow model:gone off", "Медленная полоса снята")
    await ordered(staff, "/slow model:gone off", "Это и не было включено")
