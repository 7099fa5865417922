"""A bot without an admin group yet: its operator learns the id of a group in the group itself."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from tests.support.forma import Forma, running
from tests.support.telegram import Group, Person


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Forma]:
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start()
    try:
        async with running(database_url, redis_url, tg, model, start=("bot",), admin_language="en") as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


@pytest.fixture
async def operator(forma: Forma) -> Person:
    return await forma.tg.person(first_name="Op", language_code="en")


async def told(operator: Person, group: Group) -> str:
    seen = await operator.wait_for("FORMA_ADMIN_CHAT_ID", chat=group)
    return seen.text


async def test_a_group_that_gets_the_bot_is_told_its_id(forma: Forma, operator: Person) -> None:
    group = await forma.tg.group(title="Desk", admins=[operator])
    assert f"FORMA_ADMIN_CHAT_ID={group.id}" in await told(operator, group)


async def test_start_in_a_group_tells_the_id_again(forma: Forma, operator: Person) -> None:
    group = await forma.tg.group(title="Desk", admins=[operator])
    await told(operator, group)
    await operator.send("/start", chat=group)
    assert f"FORMA_ADMIN_CHAT_ID={group.id}" in await told(operator, group)


async def test_a_group_that_becomes_a_supergroup_is_told_its_new_id(forma: Forma, operator: Person) -> None:
    group = await forma.tg.group(title="Desk", admins=[operator], kind="group")
    await told(operator, group)
    supergroup = await group.migrate()
    assert f"FORMA_ADMIN_CHAT_ID={supergroup.id}" in await told(operator, supergroup)


async def test_talk_in_a_group_is_not_answered(forma: Forma, operator: Person) -> None:
    group = await forma.tg.group(title="Talk", admins=[operator], bot="administrator")
    await told(operator, group)
    said = len(operator.messages(group))
    await operator.send("Which plan is the best?", chat=group)
    await operator.send("/stats", chat=group)
    await operator.send("/start", chat=group)
    await told(operator, group)
    # Ours, ours, ours, and the one answer to /start; updates of one chat are handled in order.
    assert len(operator.messages(group)) == said + 4
    assert await forma.scalar("SELECT count(*) FROM turns") == 0
