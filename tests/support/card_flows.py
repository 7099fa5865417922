"""Flows of a card that pays every month: further ones to set kill points in (tests.support.money_flows)."""

import contextlib
import time
from datetime import timedelta

from kit.jobs import Jobs
from tests.support.money_flows import PATIENCE_S, WAIT_S, Flow, Scene, pay_at_the_shop, press, told
from tests.support.telegram import Person

MONTH = "Лайт · 399 ₽"
KEPT, SOON, CHARGED = "напомним за 3 дня", "спишется 399 ₽", "Списано 399 ₽ с карты"
POOR, REMOVED = "не хватило 399 ₽", "больше не спишем"
CANCELLED, RESUMED = "Больше не спишем. Доступ до", "Подписка снова активна"
SCHEDULE = "cron:roubles"
UNTIL = "SELECT max(ends_at) FROM subscription_periods WHERE person_id = :id AND kind = 'paid'"
# The card that will be charged.
METHOD = "SELECT max(provider_method_id) FROM payment_methods WHERE person_id = :id AND status = 'active'"


async def subscribe(scene: Scene, person: Person) -> None:
    """A month on the page, with the tick that lets the card be charged for the next ones."""
    await told(scene, person, KEPT, await pay_at_the_shop(scene, person, MONTH, keep="yes"))


async def _by_schedule(scene: Scene, person: Person, words: str, since: int) -> None:
    """Let a worker's schedule look after roubles, again and again, until the person has heard since that event.

    A worker's own schedule may be the first as soon as time has passed, so `since` is from before that.
    """
    began = time.monotonic()
    while time.monotonic() - began < WAIT_S:
        await Jobs(scene.stack.redis).enqueue(SCHEDULE)
        with contextlib.suppress(TimeoutError):
            await person.wait_for(words, timeout_s=PATIENCE_S, since=since)
            return
        await scene.pass_time(seconds=120)
    said = [seen.text[:160] for seen in person.messages()[-6:]]
    raise AssertionError(f"no schedule told {person.id}: {words}; last messages: {said}")


async def _to_the_end(scene: Scene, person: Person) -> int:
    """The charge is announced, and its time comes; returns the event before that."""
    left = await scene.stack.scalar(UNTIL, id=person.id) - scene.sweeper.clock.now()
    before = scene.stack.tg.seq
    await scene.pass_time(seconds=(left - timedelta(days=2, hours=12)).total_seconds())
    await _by_schedule(scene, person, SOON, before)
    before = scene.stack.tg.seq
    await scene.pass_time(days=2, hours=12, seconds=60)
    return before


async def renew(scene: Scene, person: Person) -> None:
    """The next month is announced, charged, and its payment heard of."""
    await _by_schedule(scene, person, CHARGED, await _to_the_end(scene, person))


async def fail_once(scene: Scene, person: Person) -> None:
    """The card has not enough on the day; on the next it has."""
    await scene.shop.declines(await scene.stack.scalar(METHOD, id=person.id), "insufficient_funds", 1)
    await _by_schedule(scene, person, POOR, await _to_the_end(scene, person))
    before = scene.stack.tg.seq
    await scene.pass_time(days=1)
    await _by_schedule(scene, person, CHARGED, before)


async def remove_card(scene: Scene, person: Person) -> None:
    await person.send("/subscription")
    await press(person, "card-remove:")
    await press(person, "card-remove-yes:")
    await person.wait_for(REMOVED, timeout_s=WAIT_S)


async def cancel(scene: Scene, person: Person) -> None:
    await person.send("/subscription")
    await press(person, "cancel:")
    await press(person, "cancel-yes:")
    await person.wait_for(CANCELLED, timeout_s=WAIT_S)


async def resume(scene: Scene, person: Person) -> None:
    await person.send("/subscription")
    await press(person, "resume:")
    await person.wait_for(RESUMED, timeout_s=WAIT_S)


async def subscribe_and_cancel(scene: Scene, person: Person) -> None:
    await subscribe(scene, person)
    await cancel(scene, person)


TOLD: dict[Flow, str] = {
    subscribe: KEPT,
    renew: CHARGED,
    fail_once: CHARGED,
    remove_card: REMOVED,
    cancel: CANCELLED,
    resume: RESUMED,
}
