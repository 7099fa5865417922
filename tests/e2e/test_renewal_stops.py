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
    person = await forma.person("ru")
    await shop.subscribe(person, RU)
    await forma.quiet(person)
    await forma.advance(days=8)
    await person.block()
    await forma.quiet_until("SELECT blocked_at IS NOT NULL FROM persons WHERE id = :id", id=person.id)
    await forma.advance(days=19, hours=2)
    await forma.quiet(person)  # the notice before the charge was tried, and came back
    await hour(forma)
    assert await forma.scalar(STATUS, id=person.id) == "active"
    await forma.advance(days=2)
    for _ in range(2):
        await hour(forma)
    await forma.quiet(person)
    assert await states(person) == ["canceled"]
    assert await forma.scalar(STATUS, id=person.id) == "cancel_scheduled"
    await forma.advance(days=3)
    assert await person.stars() == 5_000 - 600
    assert await forma.scalar(STATUS, id=person.id) == "expired"
    await forma.advance(days=20)
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


async def test_whoever_is_forgotten_is_charged_no_more_not_even_in_grace(forma: Forma) -> None:
    poor, rich = await forma.person("ru", stars=700), await forma.person("en")
    await shop.subscribe(poor, RU)
    await forma.advance(days=30, hours=1)
    await poor.wait_for("Не хватило 600", timeout_s=WAIT_S)
    await shop.subscribe(rich, EN)
    stopped = []
    for person in (poor, rich, poor, rich):
        async with forma.app.db.transaction() as tx:
            now = forma.app.clock.now()
            stopped.append(await renewals.cancel_all(forma.app, tx, person_id=person.id, reason="deleted", now=now))
    assert stopped == [1, 1, 0, 0]
    await signals.send(forma.app.redis, signals.OUTBOX)
    await forma.quiet(poor)
    await forma.quiet(rich)
    await poor.change(stars=5_000)
    await forma.advance(days=31)
    assert (await poor.stars(), await states(poor)) == (5_000, ["expired"])
    assert (await rich.stars(), await states(rich)) == (5_000 - 600, ["expired"])
    assert await forma.violations() == []
