"""A year in the chat: what is said before paying, what comes each month, and how a month renews beside it."""

import pytest

from app import housekeeping
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S, Tongue
from tests.support.telegram import Person

GRANTED = """
    SELECT count(*) FROM subscription_months m JOIN subscriptions s ON s.id = m.subscription_id
    WHERE s.person_id = :id AND m.status = 'granted'
"""
BOUGHT = {"ru": "первые уже ваши", "en": "the first are yours already"}
NEVER = {"ru": "Само не продлится", "en": "It never renews"}
LAPSE = {"ru": "Раньше всего сгорят 2 000 000 токенов", "en": "First to lapse: 2,000,000 tokens"}
NEXT = {"ru": "Следующие токены", "en": "The next tokens come"}


def language_of(request: pytest.FixtureRequest) -> str:
    """Each story is lived in one language: the words of the other are checked by cli.check_locales."""
    return str(getattr(request, "param", "ru"))


@pytest.fixture
async def buyer(request: pytest.FixtureRequest, forma: Forma) -> tuple[Person, Tongue]:
    return await forma.person(language_of(request), stars=20_000), TONGUES[language_of(request)]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


async def test_a_year_is_compared_bought_and_shown_with_its_next_tokens(
    forma: Forma, buyer: tuple[Person, Tongue]
) -> None:
    person, say = buyer
    offer = await shop.offer(person, say)
    row = {"ru": "каждый месяц, 12 месяцев. Выходит 500 ⭐", "en": "every month, 12 months. That is 500 ⭐"}
    assert row[say.language] in plain(offer.text)
    await person.press(offer, say.year)
    sheet = await person.wait_for(NEVER[say.language], timeout_s=WAIT_S)
    assert "72" in sheet.text
    invoice = await person.act("invoice", {"link": shop.url_of(sheet)})
    assert (invoice["amount"], invoice["subscription_period"]) == (6_000, None)
    assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"
    told = await person.wait_for(BOUGHT[say.language], timeout_s=WAIT_S)
    assert (ends := shop.next_year(forma)) in told.text
    card = await shop.card(person, NEVER[say.language])
    assert ends in card
    assert NEXT[say.language] in card
    assert LAPSE[say.language] in card
    await person.send("/subscription")
    shown = await person.wait_for(NEVER[say.language], timeout_s=WAIT_S)
    assert not any(say.resume in label or say.cancel in label for label in shown.labels)
    assert await person.subscriptions() == []
    assert await forma.scalar(GRANTED, id=person.id) == 1
    assert await forma.violations() == []


@pytest.mark.parametrize("buyer", ["en"], indirect=True)
async def test_a_month_that_renews_beside_a_year_is_told_before_and_after_paying_and_can_be_stopped(
    forma: Forma, buyer: tuple[Person, Tongue]
) -> None:
    person, say = buyer
    await shop.subscribe(person, say)
    sheet = await shop.sheet(person, say, say.year)
    twice = {"ru": "Чтобы не платить дважды", "en": "To avoid paying twice"}[say.language]
    assert twice in sheet.text
    begins = {"ru": "Начнётся", "en": "It begins on"}[say.language]
    assert begins in sheet.text
    await person.pay(shop.url_of(sheet))
    warning = await person.wait_for(lambda m: twice in m.text and m.id != sheet.id, timeout_s=WAIT_S)
    ahead = await shop.card(person, {"ru": "Дальше", "en": "Then Forma"}[say.language])
    assert {"ru": "дальше продлится за 600", "en": "then renews for 600"}[say.language] in ahead
    await person.press(warning, 0)
    question = await person.wait_for(lambda m: say.cancel_yes in m.labels, timeout_s=WAIT_S)
    await person.press(question, say.cancel_yes)
    await person.wait_for(say.cancelled, timeout_s=WAIT_S)
    assert [one["state"] for one in await person.subscriptions()] == ["canceled"]
    assert await forma.scalar(GRANTED, id=person.id) == 0
    assert await forma.violations() == []


async def test_each_month_of_a_year_comes_by_itself_and_its_end_is_told(forma: Forma) -> None:
    people = [(await forma.person(language, stars=20_000), TONGUES[language]) for language in ("ru", "en")]
    ends = shop.next_year(forma)
    for person, say in people:
        assert (await shop.buy(person, say, say.year))["state"] == "paid"
        await person.wait_for(BOUGHT[say.language], timeout_s=WAIT_S)
    await forma.advance(days=31)
    for person, say in people:
        month = {"ru": "новый месяц", "en": "a new month"}[say.language]
        seen = await person.wait_for(month, timeout_s=WAIT_S, since=0)
        assert {"ru": "≈ 2000 ответов", "en": "≈ 2,000 answers"}[say.language] in plain(seen.text)
        assert await forma.scalar(GRANTED, id=person.id) == 2
        assert ends in await shop.card(person, NEVER[say.language])
        for _ in range(2):
            await housekeeping.minute(forma.app)
        assert await forma.scalar(GRANTED, id=person.id) == 2
    await forma.advance(days=340)
    for person, say in people:
        await person.wait_for(say.ended, timeout_s=WAIT_S, since=0)
        assert await person.stars() == 14_000
    assert await forma.violations() == []


async def test_a_year_that_has_not_begun_goes_back_at_once_like_any_other_purchase(forma: Forma) -> None:
    person, say = await forma.person("ru", stars=20_000), TONGUES["ru"]
    for told in (BOUGHT["ru"], "Токены будут приходить каждый месяц"):
        assert (await shop.buy(person, say, say.year))["state"] == "paid"
        await person.wait_for(told, timeout_s=WAIT_S)
    await person.send("/payments")
    listed = await person.wait_for("Ваши оплаты", timeout_s=WAIT_S)
    await person.press(listed, listed.labels[0])  # the latest: by mistake, say
    asked = await person.wait_for(lambda seen: "Да, вернуть" in seen.labels, timeout_s=WAIT_S)
    await person.press(asked, "Да, вернуть")
    await person.wait_for("Вернули 6", timeout_s=WAIT_S)
    assert (await person.stars(), await forma.scalar(GRANTED, id=person.id)) == (14_000, 1)
    assert await forma.violations() == []
