"""What the operator hears of at night: each incident once when it begins, and once when it is over."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from app import housekeeping, jobs, watch
from kit import outbox, signals
from kit.errors import Unavailable
from tests.support.forma import Forma, running
from tests.support.telegram import Group

WAIT_S = 30.0
ROOM = -7100


@pytest.fixture(scope="module")
async def outside() -> AsyncIterator[tuple[object, object]]:
    tg, model = await sandbox.telegram.server.start(), await sandbox.model.server.start()
    yield tg, model
    await model.close()
    await tg.close()


@pytest.fixture(scope="module", params=["ru", "en"])
async def night(
    request: pytest.FixtureRequest, database_url: str, redis_url: str, redis: Redis, outside: tuple[object, object]
) -> AsyncIterator[tuple[Forma, Group, str]]:
    """Forma with its room, in each of the operator's languages, on the same database."""
    await redis.flushdb()
    room = ROOM if request.param == "ru" else ROOM - 1
    async with running(database_url, redis_url, *outside, admin_chat_id=room, admin_language=request.param) as forma:
        operator = await forma.tg.person(first_name="Op", language_code=request.param)
        group = await forma.tg.group(title="Night", id=room, admins=[operator], bot="administrator")
        yield forma, group, request.param


def count(group: Group, words: str) -> int:
    return sum(words in seen.text.replace("\u00a0", " ") for seen in group.messages())


async def told(forma: Forma, group: Group, words: str, times: int = 1) -> None:
    await signals.send(forma.app.redis, signals.OUTBOX)
    await forma.tg.until(lambda: count(group, words) >= times, timeout_s=WAIT_S, what=words)
    assert count(group, words) == times


async def test_a_model_that_is_away_is_told_once_and_so_is_its_return(night: tuple[Forma, Group, str]) -> None:
    forma, group, language = night
    down = {"ru": "Модель chat не отвечает", "en": "Model chat does not answer"}[language]
    up = {"ru": "Модель chat снова отвечает", "en": "Model chat answers again"}[language]
    await watch.look(forma.app)
    await forma.llm.die()
    try:
        await watch.look(forma.app)
        assert await forma.scalar("SELECT count(*) FROM incidents WHERE told") == 0  # one look may be unlucky
        for _ in range(3):
            await watch.look(forma.app)
        await told(forma, group, down)
    finally:
        await forma.llm.revive()
    for _ in range(2):
        await watch.look(forma.app)
    await told(forma, group, up)
    assert count(group, down) == 1
    assert await forma.scalar("SELECT count(*) FROM incidents") == 0


async def test_a_stuck_outbox_is_told_once_and_so_is_its_end(night: tuple[Forma, Group, str]) -> None:
    forma, group, language = night
    stuck = {"ru": "Исходящие копятся", "en": "The outbox is piling up"}[language]
    moves = {"ru": "Исходящие снова уходят", "en": "The outbox moves again"}[language]
    now = forma.app.clock.now()
    async with forma.app.db.transaction() as tx:
        post = await outbox.add(
            tx,
            kind=outbox.NOTICE,
            chat_id=1,
            payload={"notice": "expired", "args": {"plan": "x"}},
            not_before=now.replace(year=now.year + 1),
            now=now.replace(year=now.year - 1),
        )
    assert post is not None
    for _ in range(3):
        await watch.look(forma.app)
    await told(forma, group, stuck)
    async with forma.app.db.transaction() as tx:
        await outbox.mark_failed(tx, post.id, error="test", now=now)
    await watch.look(forma.app)
    await told(forma, group, moves)
    assert count(group, stuck) == 1


async def test_answers_that_fail_in_number_are_told_once(night: tuple[Forma, Group, str]) -> None:
    forma, group, language = night
    failed = {"ru": "Сорвалось ответов за 10 мин: 5", "en": "Answers failed in 10 min: 5"}[language]
    calm = {"ru": "ни один ответ не сорвался", "en": "No answer failed"}[language]
    await forma.llm.die()
    try:
        for number in range(5):
            person = await forma.person(language)
            await person.send(f"Question {number}")
            await person.wait_for({"ru": "Код", "en": "Code"}[language], timeout_s=WAIT_S)
            if number == 3:
                await watch.look(forma.app)
                assert await forma.scalar("SELECT count(*) FROM incidents WHERE name = 'turns'") == 0
    finally:
        await forma.llm.revive()
    for _ in range(2):
        await watch.look(forma.app)
    await told(forma, group, failed)
    await forma.advance(hours=1)
    await watch.look(forma.app)
    await told(forma, group, calm)


async def test_a_job_that_fails_is_told_once_and_so_is_its_recovery(night: tuple[Forma, Group, str]) -> None:
    forma, group, language = night
    failed = {"ru": "Задача every_minute не выполнена", "en": "Job every_minute failed"}[language]
    works = {"ru": "Задача every_minute снова выполняется", "en": "Job every_minute works again"}[language]
    [minute] = [job for job in jobs.schedules() if job.name == "cron:every_minute"]
    ctx = {"app": forma.app}
    async with forma.app.db.transaction() as tx:
        await tx.execute(sa.text("ALTER TABLE orders RENAME TO orders_away"))
    try:
        for _ in range(3):
            await minute.coroutine(ctx)
    finally:
        async with forma.app.db.transaction() as tx:
            await tx.execute(sa.text("ALTER TABLE orders_away RENAME TO orders"))
    await told(forma, group, failed)
    for _ in range(2):
        await minute.coroutine(ctx)
    await told(forma, group, works)
    assert count(group, failed) == 1
    await watch.job_failed(forma.app, "sweep", "AAAAAA", passing=isinstance(Unavailable("redis"), Unavailable))
    assert count(group, "sweep") == 0
    await watch.job_done(forma.app, "sweep")
    assert await forma.scalar("SELECT count(*) FROM incidents") == 0


async def spoil(forma: Forma, tokens: int) -> None:
    """Put a number into the books that no entry explains, past the database's own guards."""
    async with forma.app.db.transaction() as tx:
        await tx.execute(sa.text("SET LOCAL session_replication_role = replica"))
        newest = "(SELECT max(id) FROM accounts WHERE kind = 'wallet')"
        await tx.execute(sa.text(f"UPDATE accounts SET posted = posted + :n WHERE id = {newest}"), {"n": tokens})


async def test_books_that_do_not_balance_are_told_once_a_day(night: tuple[Forma, Group, str]) -> None:
    forma, group, language = night
    words = {"ru": "Счёт не сходится", "en": "The books don't balance"}[language]
    person = await forma.person(language)
    await person.send("/balance")
    await forma.quiet(person)
    await forma.advance(days=1)
    await spoil(forma, 7)
    try:
        for _ in range(3):
            await housekeeping.hour(forma.app)
        broken = await forma.violations()
        assert broken
        await told(forma, group, words, len(broken))
    finally:
        await spoil(forma, -7)
    assert await forma.violations() == []
    await housekeeping.hour(forma.app)
    assert count(group, words) == len(broken)


async def test_the_room_hears_of_payments(night: tuple[Forma, Group, str]) -> None:
    forma, group, language = night
    from tests.support import shop

    say = shop.TONGUES[language]
    person = await forma.person(language, first_name="<b>Ada</b> \u202eRTL")
    await shop.subscribe(person, say)
    title = {"ru": "Форма", "en": "Forma"}[language]
    await told(forma, group, f"⭐ 600 ⭐ · {title} · <b>Ada</b>")
