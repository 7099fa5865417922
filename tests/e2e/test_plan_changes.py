"""Changing plans in the chat: up at once and never paid twice, down when the paid time ends."""

import pytest

from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S, Tongue
from tests.support.telegram import Person, Seen

CHANGE = {"ru": "Сменить план", "en": "Change plan"}
NO_MORE = {"ru": "больше не продлится. Её токены", "en": "no longer renews. You keep"}


def language_of(request: pytest.FixtureRequest) -> str:
    """Each story is lived in one language: the words of the other are checked by cli.check_locales."""
    return str(getattr(request, "param", "ru"))


@pytest.fixture
async def subscriber(request: pytest.FixtureRequest, forma: Forma) -> tuple[Person, Tongue]:
    person, say = await forma.person(language_of(request), stars=10_000), TONGUES[language_of(request)]
    await shop.subscribe(person, say)
    return person, say


async def options(person: Person, say: Tongue) -> Seen:
    """What the plan can be changed to."""
    await person.send("/subscription")
    card = await person.wait_for(lambda m: CHANGE[say.language] in m.labels, timeout_s=WAIT_S)
    await person.press(card, CHANGE[say.language])
    return await person.wait_for(lambda m: say.max in [one.replace("\u00a0", " ") for one in m.labels], WAIT_S)


def states(rows: list[dict[str, str]]) -> list[str]:
    return sorted(row["state"] for row in rows)


async def test_a_better_plan_starts_at_once_and_the_old_one_stops_renewing(
    forma: Forma, subscriber: tuple[Person, Tongue]
) -> None:
    person, say = subscriber
    await forma.advance(days=10)
    choice = await options(person, say)
    assert [label.replace("\u00a0", " ") for label in choice.labels] == [say.max, say.lite]
    await person.press(choice, say.max)
    sheet = await person.wait_for(lambda m: any(b.get("url") for b in m.buttons), timeout_s=WAIT_S)
    assert {"ru": "Не оплатите — ничего не изменится", "en": "If you don't pay, nothing changes"}[
        say.language
    ] in sheet.text
    assert states(await person.subscriptions()) == ["active"]
    assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"
    await person.wait_for(NO_MORE[say.language], timeout_s=WAIT_S)
    await shop.settled(forma)
    assert states(await person.subscriptions()) == ["active", "canceled"]
    card = await shop.card(person, {"ru": "Макс", "en": "Max"}[say.language])
    assert {"ru": "Ещё Форма", "en": "Also Forma"}[say.language] in card
    # The old one cannot be brought back beside the new one.
    old = await forma.scalar("SELECT min(id) FROM subscriptions WHERE person_id = :id", id=person.id)
    pressed = await person.press(choice.id, data=f"resume:{old}")
    assert (await person.toast(pressed, timeout_s=WAIT_S))["show_alert"]
    await forma.advance(days=21)
    goes_on = {"ru": "закончился. Дальше у вас «Макс»", "en": "has ended. Now you have Max"}[say.language]
    await person.wait_for(goes_on, timeout_s=WAIT_S, since=0)
    await forma.advance(days=10)
    await person.wait_for({"ru": "Списано 1500", "en": "Charged 1,500"}[say.language], timeout_s=WAIT_S, since=0)
    assert await person.stars() == 10_000 - 600 - 2 * 1_500
    assert await forma.violations() == []


@pytest.mark.parametrize("subscriber", ["en"], indirect=True)
async def test_whoever_closes_the_sheet_has_what_they_had(forma: Forma, subscriber: tuple[Person, Tongue]) -> None:
    person, say = subscriber
    await person.press(await options(person, say), say.max)
    sheet = await person.wait_for(lambda m: any(b.get("url") for b in m.buttons), timeout_s=WAIT_S)
    await person.pay(shop.url_of(sheet), cancel=True)
    await forma.advance(days=30, hours=1)
    await person.wait_for(say.renewed, timeout_s=WAIT_S, since=0)
    assert states(await person.subscriptions()) == ["active"]
    # The sheet still changes the plan, weeks later or never.
    assert (await person.pay(shop.url_of(sheet)))["state"] == "refused"


async def test_a_cheaper_plan_is_offered_when_the_paid_time_ends(
    forma: Forma, subscriber: tuple[Person, Tongue]
) -> None:
    person, say = subscriber
    await person.press(await options(person, say), say.lite)
    question = await person.wait_for(lambda m: len(m.labels) == 2 and m.buttons[0].get("callback_data"), WAIT_S)
    await person.press(question, 0)
    then = {"ru": "тогда предложим «Лайт»", "en": "then Lite is offered"}[say.language]
    await person.wait_for(then, timeout_s=WAIT_S)
    assert states(await person.subscriptions()) == ["canceled"]
    assert await person.stars() == 9_400
    await forma.advance(days=31)
    wanted = {"ru": "Вы хотели дальше «Лайт»", "en": "You wanted Lite next"}[say.language]
    offer = await person.wait_for(wanted, timeout_s=WAIT_S, since=0)
    await person.press(offer, 0)
    sheet = await person.wait_for(lambda m: any(b.get("url") for b in m.buttons), timeout_s=WAIT_S)
    assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"
    await person.wait_for({"ru": "Отмена: /subscription", "en": "Cancel: /subscription"}[say.language], WAIT_S)
    assert await person.stars() == 9_100
    assert await forma.violations() == []


@pytest.mark.parametrize(
    "data", ["change:", "change:x", "change-to:1:max", "change-down:1", "change-to:²:", "change:9:9"]
)
async def test_a_change_of_what_one_does_not_have_does_nothing(forma: Forma, data: str) -> None:
    person = await forma.person("ru")
    await person.send("/plans")
    offer = await person.wait_for("Планы", timeout_s=WAIT_S)
    pressed = await person.press(offer.id, data=data)
    assert (await person.toast(pressed, timeout_s=WAIT_S))["text"]
    assert await forma.scalar("SELECT count(*) FROM orders WHERE person_id = :id", id=person.id) == 0
