"""What becomes of a subscription: cancelled here or in Telegram, resumed, ended. Each stage is told truly."""

import pytest

from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S, Tongue
from tests.support.telegram import Person, Seen

STATUS = "SELECT status FROM subscriptions WHERE person_id = :id ORDER BY id DESC LIMIT 1"


@pytest.fixture(params=["ru", "en"])
async def subscriber(request: pytest.FixtureRequest, forma: Forma) -> tuple[Person, Tongue]:
    person, say = await forma.person(request.param), TONGUES[request.param]
    await shop.subscribe(person, say)
    return person, say


async def cancel(person: Person, say: Tongue) -> Seen:
    """/subscription, its button, the one confirmation; returns the message that asked for it."""
    await person.send("/subscription")
    shown = await person.wait_for(lambda seen: say.cancel in seen.labels, timeout_s=WAIT_S)
    await person.press(shown, say.cancel)
    question = await person.wait_for(lambda seen: say.cancel_yes in seen.labels, timeout_s=WAIT_S)
    await person.press(question, say.cancel_yes)
    await person.wait_for(say.cancelled, timeout_s=WAIT_S)
    return question


async def test_a_cancelled_plan_runs_to_its_end_and_then_the_free_one_goes_on(
    forma: Forma, subscriber: tuple[Person, Tongue]
) -> None:
    person, say = subscriber
    await cancel(person, say)
    assert [one["state"] for one in await person.subscriptions()] == ["canceled"]
    no_more = {"ru": "Больше не спишем", "en": "No more charges"}[say.language]
    await shop.card(person, no_more)
    assert await forma.scalar(STATUS, id=person.id) == "cancel_scheduled"
    await forma.advance(days=29)
    await shop.card(person, no_more)
    await forma.advance(days=2)
    await person.wait_for(say.ended, timeout_s=WAIT_S, since=0)
    none = {"ru": "Подписки нет", "en": "No subscription"}[say.language]
    await shop.card(person, none)
    free = await shop.card(person, say.free, "/balance")
    assert {"ru": "5000", "en": "5,000"}[say.language] in free
    assert await forma.scalar(STATUS, id=person.id) == "expired"
    assert await person.stars() == 4_400
    await shop.subscribe(person, say)
    assert await person.stars() == 3_800
    assert await forma.violations() == []


async def test_keeping_the_plan_keeps_everything(forma: Forma, subscriber: tuple[Person, Tongue]) -> None:
    person, say = subscriber
    await person.send("/subscription")
    shown = await person.wait_for(lambda seen: say.cancel in seen.labels, timeout_s=WAIT_S)
    await person.press(shown, say.cancel)
    question = await person.wait_for(lambda seen: say.cancel_yes in seen.labels, timeout_s=WAIT_S)
    await person.press(question, 1)
    kept = {"ru": "всё остаётся как есть", "en": "everything stays as it is"}[say.language]
    seen = await person.wait_for(kept, timeout_s=WAIT_S)
    assert seen.labels == []
    assert [one["state"] for one in await person.subscriptions()] == ["active"]
    assert await forma.scalar(STATUS, id=person.id) == "active"


async def test_a_confirmation_pressed_twice_cancels_once(forma: Forma, subscriber: tuple[Person, Tongue]) -> None:
    person, say = subscriber
    question = await cancel(person, say)
    # A press of a button that is gone by now, as from a phone that has not heard of it.
    late = await person.press(question.id, data=question.buttons[0]["callback_data"])
    assert (await person.toast(late, timeout_s=WAIT_S))["text"]
    assert next(seen for seen in person.messages() if seen.id == question.id).labels == []
    await forma.quiet(person)
    assert len(shop.said(person, say.cancelled)) == 1


async def test_what_is_cancelled_and_resumed_in_telegrams_settings_is_followed(
    forma: Forma, subscriber: tuple[Person, Tongue]
) -> None:
    person, say = subscriber
    [own] = await person.subscriptions()
    await person.cancel_subscription(own["id"])
    await person.wait_for(say.cancelled, timeout_s=WAIT_S)
    assert await forma.scalar(STATUS, id=person.id) == "cancel_scheduled"
    await person.resume_subscription(own["id"])
    active = {"ru": "снова активна", "en": "active again"}[say.language]
    await person.wait_for(active, timeout_s=WAIT_S)
    await shop.card(person, {"ru": "дальше продлится за 600 ⭐", "en": "then renews for 600 ⭐"}[say.language])
    assert await forma.scalar(STATUS, id=person.id) == "active"
    await forma.advance(days=30, hours=1)
    await person.wait_for(say.renewed, timeout_s=WAIT_S, since=0)
    assert await person.stars() == 3_800
    assert await forma.violations() == []


async def test_what_was_cancelled_here_is_resumed_with_telegrams_help(
    forma: Forma, subscriber: tuple[Person, Tongue]
) -> None:
    person, say = subscriber
    await cancel(person, say)
    await person.send("/subscription")
    shown = await person.wait_for(lambda seen: say.resume in seen.labels, timeout_s=WAIT_S)
    await person.press(shown, say.resume)
    where = {"ru": "Мои подписки", "en": "My Subscriptions"}[say.language]
    await person.wait_for(where, timeout_s=WAIT_S)
    # Nothing is promised before Telegram says so.
    assert await forma.scalar(STATUS, id=person.id) == "cancel_scheduled"
    [own] = await person.subscriptions()
    await person.resume_subscription(own["id"])
    await person.wait_for({"ru": "снова активна", "en": "active again"}[say.language], timeout_s=WAIT_S)
    assert await forma.scalar(STATUS, id=person.id) == "active"
