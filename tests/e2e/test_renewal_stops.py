"""Nobody is charged for a bot that they blocked long ago, or after they were forgotten; who comes back is told."""

from app import housekeeping, renewals
from kit import signals
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import EN, RU, WAIT_S
from tests.support.telegram import Person

STATUS = "SELECT status FROM subscriptions WHERE person_id = :id"


async def hour(forma: Forma) -> None:
    """What a worker does every hour."""
    await housekeeping.hour(forma.app)
    await signals.send(forma.app.redis, signals.OUTBOX)


async def states(person: Person) -> list[str]:
    return sorted(sub["state"] for sub in await person.subscriptions())


async def test_who_blocked_the_bot_long_ago_is_not_charged_and_is_told_on_coming_back(forma: Forma) -> None:
    person, stayed = await forma.person("ru"), await forma.person("en")
    await shop.subscribe(person, RU)
    await shop.subscribe(stayed, EN)
    await forma.quiet(person)
    await person.block()
    await forma.quiet_until("SELECT blocked_at IS NOT NULL FROM persons WHERE id = :id", id=person.id)
    await forma.advance(days=20)
    await hour(forma)
    assert await forma.scalar(STATUS, id=person.id) == "active"
    await forma.advance(days=2)
    for _ in range(2):
        await hour(forma)
    await forma.quiet(person)
    assert (await states(person), await states(stayed)) == (["canceled"], ["active"])
    assert await forma.scalar(STATUS, id=person.id) == "cancel_scheduled"
    await forma.advance(days=12)
    await forma.quiet(stayed)
    assert (await person.stars(), await stayed.stars()) == (5_000 - 600, 5_000 - 1_200)
    assert await forma.scalar(STATUS, id=person.id) == "expired"
    await forma.advance(days=30)
    for _ in range(2):
        await person.unblock()
        await person.wait_for("мы остановили продление «Форма»", timeout_s=WAIT_S, since=0)
        await forma.quiet(person)
        await person.block()
        await forma.quiet(person)
    assert len(shop.said(person, "мы остановили продление")) == 1
    calls = await forma.tg.calls("editUserStarSubscription")
    assert [int(call["params"]["user_id"]) for call in calls].count(person.id) == 1
    assert await forma.violations() == []


async def test_whoever_is_forgotten_is_charged_no_more(forma: Forma) -> None:
    person = await forma.person("en")
    await shop.subscribe(person, EN)
    stopped = []
    for _ in range(2):
        async with forma.app.db.transaction() as tx:
            now = forma.app.clock.now()
            stopped.append(await renewals.cancel_all(forma.app, tx, person_id=person.id, reason="deleted", now=now))
    await signals.send(forma.app.redis, signals.OUTBOX)
    assert stopped == [1, 0]
    await forma.quiet(person)
    assert await states(person) == ["canceled"]
    await forma.advance(days=31)
    assert await person.stars() == 5_000 - 600


async def test_a_charge_that_telegram_tries_again_in_grace_is_called_off_too(forma: Forma) -> None:
    person = await forma.person("ru", stars=700)
    await shop.subscribe(person, RU)
    await forma.advance(days=30, hours=1)
    await person.wait_for("Не хватило 600", timeout_s=WAIT_S)
    async with forma.app.db.transaction() as tx:
        now = forma.app.clock.now()
        assert await renewals.cancel_all(forma.app, tx, person_id=person.id, reason="deleted", now=now) == 1
    await signals.send(forma.app.redis, signals.OUTBOX)
    await forma.quiet(person)
    await person.change(stars=5_000)
    await forma.advance(days=4)
    assert (await person.stars(), await states(person)) == (5_000, ["expired"])
    assert await forma.violations() == []
