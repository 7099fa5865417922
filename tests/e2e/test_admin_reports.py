"""What the operator is shown: /stats, /user, /queue and /health say what the database holds."""

import pytest

from tests.e2e.conftest import ADMIN_GROUP
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import EN, WAIT_S
from tests.support.telegram import Group, Person, Seen

SHOWN_S = 90.0


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person]:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    return group, operator


async def ask(room: tuple[Group, Person], text: str, words: str) -> str:
    """What a command is answered; the words name which message is the answer."""
    group, operator = room
    await operator.send(text, chat=group)
    return plain(await operator.wait_for(words, chat=group, timeout_s=SHOWN_S))


def plain(seen: Seen) -> str:
    return seen.text.replace("\u00a0", " ").replace("\u202f", " ")


async def test_an_empty_day_is_said_as_such(room: tuple[Group, Person]) -> None:
    text = await ask(room, "/stats", "За 1 день")
    assert "Вопросов не было" in text
    assert "Оплат: 0 на 0 ⭐" in text


async def test_queue_and_health_are_answered(room: tuple[Group, Person]) -> None:
    assert "Очередь пуста" in await ask(room, "/queue", "пуст")
    text = await ask(room, "/health", "postgres")
    for part in ("postgres", "redis", "queue chat", "outbox", "worker", "model chat", "books"):
        assert part in text
    assert "❌" not in text
    assert text.startswith("Всё работает")


async def test_stats_count_what_happened(forma: Forma, room: tuple[Group, Person]) -> None:
    person = await forma.person("en")
    await shop.subscribe(person, EN)
    await person.send("What is a deload week?")
    await forma.quiet(person)
    billed = await forma.scalar("SELECT sum(billed_tokens) FROM turns")
    text = await ask(room, "/stats", "Подписки: платят 1")
    day, month, plans = text.split("\n\n")
    assert day.startswith("За 1 день")
    assert month.startswith("За 30 дней")
    for block in (day, month):
        assert "новых 1, спрашивали 1, всего 1, заблокировали бота 0" in block
        assert "готово 1, остановлено 0, сорвалось 0" in block
        assert f"Списано: {billed} токен" in block
        assert "Оплат: 1 на 600 ⭐, возвращено 0 ⭐" in block
    assert "• Форма: 1" in plans
    [own] = await person.subscriptions()
    await person.cancel_subscription(own["id"])
    await person.wait_for(EN.cancelled, timeout_s=WAIT_S)
    assert "отменены до срока 1" in await ask(room, "/stats", "платят 0")


async def test_a_person_is_found_by_id_name_and_every_code_that_they_were_shown(
    forma: Forma, room: tuple[Group, Person]
) -> None:
    name = "<b>Ева</b> \u202eאב"
    person = await forma.person("en", first_name=name, username="Finder_1")
    await shop.buy(person, EN, EN.pack)
    await person.wait_for(EN.pack_bought, timeout_s=WAIT_S)
    await person.send("[[fault: error]]")
    failed = await person.wait_for("Code", timeout_s=WAIT_S)
    code = failed.text.rpartition("Code ")[2].split()[0].rstrip(".")
    has = await forma.scalar("SELECT posted FROM accounts WHERE person_id = :id AND kind = 'wallet'", id=person.id)
    for query in (str(person.id), "@finder_1", "Finder_1", code, code.lower()):
        text = await ask(room, f"/user {query}", "Последние ответы")
        assert name in text, query
        assert "@Finder_1" in text
        assert f"Остаток: {has} токенов" in text.replace(f"{has:,}".replace(",", " "), str(has))
        assert f"сорвалось · 0 ток. · код {code}" in text
        assert "150 ⭐ · Пакет токенов · оплачен" in text
        assert "Без подписки" in text


async def test_somebody_who_has_done_nothing_has_a_card_too(forma: Forma, room: tuple[Group, Person]) -> None:
    person = await forma.person("ru")
    text = await ask(room, f"/user {person.id}", "Ещё не спрашивал")
    assert "Ещё не спрашивал" in text
    assert "Ещё не платил" in text
    await person.block()
    await forma.quiet_until("SELECT blocked_at IS NOT NULL FROM persons WHERE id = :id", id=person.id)
    assert "Заблокировал бота" in await ask(room, f"/user {person.id}", "Заблокировал")
