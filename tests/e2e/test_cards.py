"""A saved card's life, in the chat and the books: kept by a tick, announced, charged every month, declined, removed."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from app import card_renewals
from tests.support import shop as chat
from tests.support.roubles import Market, at_once, market
from tests.support.shop import EN, RU, Tongue
from tests.support.telegram import Person, Seen

MONTH = "Лайт · 399 ₽"
POSTS = "/v3/payments"
KEPT = "напомним за 3 дня"
METHOD = "SELECT provider_method_id FROM payment_methods WHERE person_id = :id ORDER BY id DESC LIMIT 1"
STATUS = "SELECT status FROM subscriptions WHERE person_id = :id ORDER BY id DESC LIMIT 1"
PAID_UNTIL = "SELECT max(ends_at) FROM subscription_periods WHERE person_id = :id AND kind = 'paid'"
NEXT_AT = """
    SELECT c.next_at FROM card_renewals c JOIN subscriptions s ON s.id = c.subscription_id WHERE s.person_id = :id
"""
CHARGES = """
    SELECT count(*) FROM payments WHERE payer_id = :id AND status = 'succeeded' AND quarantine_reason IS NULL
"""


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    async with market(database_url, redis_url, yookassa_in_chat=True, yookassa_receipts="54fz") as made:
        yield made


@pytest.fixture(autouse=True)
async def good_days(mall: Market) -> AsyncIterator[None]:
    yield
    await mall.shop.clear_faults()
    await mall.heard()
    assert await mall.forma.violations() == []


async def subscribed(mall: Market, say: Tongue = RU, **card: Any) -> Person:
    """A person whose card pays a plan every month."""
    person = await mall.forma.person(say.language)
    label = MONTH if say is RU else "Lite · 399 ₽"
    payment_id = await mall.begin(await mall.link(person, say, label), keep="yes")
    await mall.shop.pay(payment_id, **card)
    await person.wait_for(KEPT if say is RU else "reminder 3 days before", timeout_s=chat.WAIT_S)
    return person


async def at_the_end(mall: Market, *persons: Person) -> None:
    """Let the announcement be made, and then the paid time of all end."""
    until = max([await mall.forma.scalar(PAID_UNTIL, id=person.id) for person in persons])
    left = until - mall.forma.app.clock.now()
    await mall.sweep(seconds=(left - timedelta(days=2, hours=12)).total_seconds())
    await mall.sweep(seconds=timedelta(days=2, hours=12, minutes=1).total_seconds())
    await mall.heard()


async def my_subscription(person: Person, words: str) -> Seen:
    """The answer to /subscription, with its buttons."""
    await person.send("/subscription")
    return await person.wait_for(words, timeout_s=chat.WAIT_S)


async def cancel(person: Person) -> None:
    await person.press(await my_subscription(person, "с карты *4444"), RU.cancel)
    await person.press(await person.wait_for("Отменить подписку «Лайт»", timeout_s=chat.WAIT_S), RU.cancel_yes)


async def posts(mall: Market, person: Person) -> list[dict[str, Any]]:
    """The requests for charges of a person's card that YooKassa saw, repetitions too."""
    sql = """
        SELECT coalesce(string_agg(p.idempotency_key, ' '), '')
        FROM renewal_tries t JOIN payments p ON p.id = t.payment_id
        WHERE p.payer_id = :id AND t.method_id IS NOT NULL
    """
    keys = set(str(await mall.forma.scalar(sql, id=person.id)).split())
    return [call for call in await mall.shop.calls(POSTS, method="POST") if call["key"] in keys]


async def test_a_card_is_kept_only_where_it_was_agreed_to_and_pays_every_month(mall: Market) -> None:
    person, never = await mall.forma.person("ru"), await mall.forma.person("ru")
    url = await mall.link(person, RU, MONTH)
    page = await mall.browser.open(url)
    assert "Запомнить карту и списывать 399 ₽ каждый месяц" in page.text
    assert " checked" not in page.html
    await mall.shop.pay(await mall.begin(url, keep="yes"))
    told = await person.wait_for(KEPT, timeout_s=chat.WAIT_S)
    assert "*4444" in told.text
    await mall.shop.pay(await mall.begin(await mall.link(never, RU, MONTH)))
    await never.wait_for("больше ничего не спишет", timeout_s=chat.WAIT_S)
    assert await mall.forma.scalar("SELECT count(*) FROM payment_methods WHERE person_id = :id", id=never.id) == 0

    assert "дальше 399 ₽" in await chat.card(person, "с карты *4444")
    # A second one that renews is not sold beside it.
    beside = await mall.browser.open(await mall.link(person, RU, MONTH))
    assert "Запомнить карту" not in beside.text

    first_end = await mall.forma.scalar(PAID_UNTIL, id=person.id)
    await mall.sweep(seconds=(first_end - mall.forma.app.clock.now() - timedelta(days=2)).total_seconds())
    soon = await person.wait_for("спишется 399 ₽", timeout_s=chat.WAIT_S)
    assert "с карты *4444" in soon.text
    assert [one["text"] for one in soon.buttons] == ["Отменить подписку", "Заплатить другой картой"]
    assert await posts(mall, person) == []
    # Two schedulers at once charge once.
    await mall.forma.advance(days=2, seconds=30)
    await mall.shop.control("POST", "clock", {"offset_s": mall.forma.app.clock.offset.total_seconds()})
    await at_once(*(card_renewals.sweep(mall.forma.app) for _ in range(4)))
    renewed = await person.wait_for("Списано 399 ₽ с карты *4444", timeout_s=chat.WAIT_S)
    assert "≈\u00a0600 ответов" in renewed.text
    [charge] = await posts(mall, person)
    assert charge["body"]["receipt"]["customer"]["email"]
    assert "confirmation" not in charge["body"]
    second_end = await mall.forma.scalar(PAID_UNTIL, id=person.id)
    assert timedelta(days=28) <= second_end - first_end <= timedelta(days=31)
    assert await mall.forma.scalar(CHARGES, id=person.id) == 2
    assert await mall.forma.scalar(STATUS, id=person.id) == "active"
    assert not [one for one in never.messages() if "спишется" in one.text]


async def test_each_decline_is_told_and_tried_again_as_its_reason_allows(mall: Market) -> None:
    poor, expired, refused, flaky, other = await at_once(*(subscribed(mall) for _ in range(4)), subscribed(mall, EN))
    for person, reason, times in (
        (poor, "insufficient_funds", 1),
        (expired, "card_expired", None),
        (refused, "general_decline", None),
        (flaky, "internal_timeout", 1),
        (other, "insufficient_funds", None),
    ):
        await mall.shop.declines(await mall.forma.scalar(METHOD, id=person.id), reason, times)
    await at_the_end(mall, poor, expired, refused, flaky, other)
    told = await poor.wait_for("не хватило 399 ₽", timeout_s=chat.WAIT_S)
    assert "Попробуем ещё раз" in told.text
    assert [one["text"] for one in told.buttons] == ["Оплатить сейчас", "На бесплатный"]
    assert "Срок карты *4444 истёк" in (await expired.wait_for("больше не спишем", timeout_s=chat.WAIT_S)).text
    assert "Попробуем ещё раз" in (await refused.wait_for("отказал в списании", timeout_s=chat.WAIT_S)).text
    assert "We will try again" in (await other.wait_for("did not have 399 ₽", timeout_s=chat.WAIT_S)).text
    # Nothing of the bank's: tried again soon, and nobody is bothered.
    await mall.sweep(seconds=11 * 60)
    await flaky.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)
    assert not [one for one in flaky.messages() if "Попробуем" in one.text]
    assert {await mall.forma.scalar(STATUS, id=one.id) for one in (poor, expired, refused)} == {"past_due"}

    await mall.sweep(hours=24)
    await poor.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)
    last = await refused.wait_for("Сами больше не попробуем", timeout_s=chat.WAIT_S)
    assert len(await posts(mall, refused)) == 2
    assert len(await posts(mall, expired)) == 1
    # The new month begins where the old one ended, however late it was paid.
    starts = (
        "SELECT count(*) FROM subscription_periods WHERE person_id = :id AND kind = 'grace' AND ends_at > starts_at"
    )
    assert await mall.forma.scalar(starts, id=poor.id) == 0

    # By hand, with another card, which is kept for the months to come.
    await refused.press(last, "Оплатить сейчас")
    url = chat.url_of(await refused.wait_for("оплачивается на нашей странице", timeout_s=chat.WAIT_S))
    page = await mall.browser.open(url)
    assert "Следующий месяц" in page.text
    assert "а не с *4444" in page.text
    await mall.shop.pay(await mall.begin(url, keep="yes"), card="4111111111111111")
    assert "с карты *1111" in (await refused.wait_for(KEPT, timeout_s=chat.WAIT_S)).text
    assert "Оплачено" in (await mall.browser.open(url)).text
    await mall.sweep(hours=24)
    await mall.sweep(days=2)
    await expired.wait_for("закончилась", timeout_s=chat.WAIT_S)
    await other.wait_for("has ended", timeout_s=chat.WAIT_S)
    assert len(await posts(mall, other)) == 3
    await at_the_end(mall, refused)
    await refused.wait_for("с карты *1111", timeout_s=chat.WAIT_S)
    assert await mall.forma.scalar(CHARGES, id=refused.id) == 3


async def test_a_card_without_an_address_for_its_receipt_is_not_charged_and_stops_no_other(mall: Market) -> None:
    silent, other = await subscribed(mall), await subscribed(mall)
    # Whoever began while no receipts were sent was never asked for one.
    async with mall.forma.app.db.transaction() as tx:
        await tx.execute(sa.text("DELETE FROM receipt_emails WHERE person_id = :id"), {"id": silent.id})
    await at_the_end(mall, silent, other)
    told = await silent.wait_for("чек некуда отправить", timeout_s=chat.WAIT_S)
    assert [one["text"] for one in told.buttons] == ["Оплатить сейчас", "На бесплатный"]
    await other.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)
    assert (await mall.forma.scalar(STATUS, id=silent.id), await posts(mall, silent)) == ("past_due", [])
    assert "Оплатить сейчас" in (await my_subscription(silent, "не прошл")).labels
    await silent.press(told, "Оплатить сейчас")
    url = chat.url_of(await silent.wait_for("оплачивается на нашей странице", timeout_s=chat.WAIT_S))
    await mall.shop.pay(await mall.begin(url))
    await silent.wait_for("напомним за 3 дня", timeout_s=chat.WAIT_S)
    await at_the_end(mall, silent)
    await silent.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)


async def test_what_was_cancelled_or_removed_is_not_charged(mall: Market) -> None:
    left, back, removed = await at_once(*(subscribed(mall) for _ in range(3)))
    for person in (left, back):
        await cancel(person)
        await person.wait_for(RU.cancelled, timeout_s=chat.WAIT_S)
    await back.press(await my_subscription(back, "Осталось"), RU.resume)
    await back.wait_for("Подписка снова активна", timeout_s=chat.WAIT_S)
    await removed.press(await my_subscription(removed, "с карты *4444"), "Удалить карту *4444")
    sure = await removed.wait_for("Удалить карту *4444?", timeout_s=chat.WAIT_S)
    await at_once(removed.press(sure, "Да, удалить"), removed.press(sure, "Да, удалить"))
    await removed.wait_for("удалена, с неё больше не спишем", timeout_s=chat.WAIT_S)
    # Somebody else's button does nothing.
    number = await mall.forma.scalar("SELECT max(id) FROM subscriptions WHERE person_id = :id", id=back.id)
    await left.press(left.messages()[-1], data=f"card-remove-yes:{number}")
    await left.press(left.messages()[-1], data=f"card-pay:{number}")
    await at_the_end(mall, left, back, removed)
    await back.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)
    for person in (left, removed):
        await person.wait_for("закончилась", timeout_s=chat.WAIT_S)
        assert await posts(mall, person) == []
        assert not [one for one in person.messages() if "спишется" in one.text]


async def test_an_unknown_result_is_asked_about_and_never_charged_twice(mall: Market) -> None:
    taken, not_taken, gone = await at_once(*(subscribed(mall) for _ in range(3)))
    until = max([await mall.forma.scalar(PAID_UNTIL, id=one.id) for one in (taken, not_taken, gone)])
    left: timedelta = until - mall.forma.app.clock.now()
    await mall.sweep(seconds=(left - timedelta(days=2)).total_seconds())
    await mall.shop.fault("drop", event="payment.*")
    await mall.shop.fault("http_500", path=POSTS, method="POST")
    await mall.sweep(days=2, seconds=60)
    unknown = "SELECT count(*) FROM payments WHERE payer_id = :id AND status = 'unknown'"
    for _ in range(12):  # each sweep stops at the first that YooKassa does not answer
        if [await mall.forma.scalar(unknown, id=one.id) for one in (taken, not_taken, gone)] == [1, 1, 1]:
            break
        await mall.sweep()
    sent = len(await posts(mall, gone))
    assert sent
    # Whoever goes without now hears that one charge cannot be called back; it is not sent again.
    await gone.press(await my_subscription(gone, "продлеваем, 399 ₽ с карты *4444"), "На бесплатный")
    await gone.wait_for("Одно списание уже идёт", timeout_s=chat.WAIT_S)
    await mall.shop.clear_faults()
    await mall.shop.fault("http_500_after", path=POSTS, method="POST", count=1)
    await mall.sweep()
    await mall.sweep()
    await mall.sweep(seconds=15 * 60)
    for person in (taken, not_taken):
        await person.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)
        assert len({call["key"] for call in await posts(mall, person)}) == 1
        assert await mall.forma.scalar(CHARGES, id=person.id) == 2
    assert len(await posts(mall, gone)) == sent
    assert await mall.forma.scalar(CHARGES, id=gone.id) == 1
    assert await mall.forma.scalar(STATUS, id=gone.id) == "expired"


async def test_nobody_is_charged_unannounced_after_the_schedule_stood_still(mall: Market) -> None:
    person = await subscribed(mall)
    until: datetime = await mall.forma.scalar(PAID_UNTIL, id=person.id)
    await mall.sweep(seconds=(until - mall.forma.app.clock.now()).total_seconds() + 3600)
    await person.wait_for("спишется 399 ₽", timeout_s=chat.WAIT_S)
    assert await posts(mall, person) == []
    assert await mall.forma.scalar(NEXT_AT, id=person.id) >= until + timedelta(hours=24)
    await mall.sweep(hours=24, seconds=60)
    await person.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)


async def test_a_better_plan_takes_the_place_of_the_old_one_and_a_cheaper_one_follows_it(mall: Market) -> None:
    up, down = await subscribed(mall), await mall.forma.person("ru")
    await mall.shop.pay(await mall.begin(await mall.link(down, RU, "Форма · 799 ₽"), keep="yes"))
    await down.wait_for(KEPT, timeout_s=chat.WAIT_S)
    await up.press(await my_subscription(up, "с карты *4444"), "Сменить план")
    choice = await up.wait_for("На что сменить", timeout_s=chat.WAIT_S)
    assert [label.replace("\u00a0", " ") for label in choice.labels] == ["Форма · 799 ₽", "Макс · 1990 ₽"]
    await up.press(choice, "Форма · 799 ₽")
    lead = await up.wait_for("Не оплатите — ничего не изменится", timeout_s=chat.WAIT_S)
    await mall.shop.pay(await mall.begin(chat.url_of(lead), keep="yes"))
    await up.wait_for(KEPT, timeout_s=chat.WAIT_S)
    await up.wait_for(lambda m: m.text.startswith("«Лайт» больше не продлится"), timeout_s=chat.WAIT_S)
    plans = """
        SELECT string_agg(v.plan_id || ' ' || s.status, ', ' ORDER BY s.id)
        FROM subscriptions s JOIN plan_versions v ON v.id = s.plan_version_id WHERE s.person_id = :id
    """
    assert await mall.forma.scalar(plans, id=up.id) == "lite cancel_scheduled, forma active"
    shown = await chat.card(up, "Форма: до")
    assert "дальше 799 ₽ с карты *4444" in shown
    assert "Ещё Лайт" in shown

    await down.press(await my_subscription(down, "с карты *4444"), "Сменить план")
    choice = await down.wait_for("На что сменить", timeout_s=chat.WAIT_S)
    await down.press(choice, MONTH)
    await down.press(await down.wait_for("Перейти с «Форма» на «Лайт»", timeout_s=chat.WAIT_S), "Да, перейти")
    await down.wait_for("тогда предложим «Лайт»", timeout_s=chat.WAIT_S)
    await at_the_end(mall, up, down)
    await up.wait_for("Списано 799 ₽", timeout_s=chat.WAIT_S)
    ended = await down.wait_for("Вы хотели дальше «Лайт»: 399 ₽ в месяц", timeout_s=chat.WAIT_S)
    assert ended.labels[0] == "Открыть страницу"
    assert await mall.forma.scalar(CHARGES, id=down.id) == 1


async def test_money_back_ends_the_renewal_and_sbp_renews_as_well(mall: Market) -> None:
    back, sbp, unsaved = await subscribed(mall), await mall.forma.person("ru"), await mall.forma.person("ru")
    await mall.shop.pay(await mall.begin(await mall.link(sbp, RU, MONTH), keep="yes"), method="sbp")
    assert "с SBP" in (await sbp.wait_for(KEPT, timeout_s=chat.WAIT_S)).text.replace("карты ", "")
    # The bank may not let it be kept, whatever was ticked.
    await mall.shop.pay(await mall.begin(await mall.link(unsaved, RU, MONTH), keep="yes"), save=False)
    await unsaved.wait_for("больше ничего не спишет", timeout_s=chat.WAIT_S)
    assert (await my_subscription(unsaved, "Больше не спишем")).labels[0] == "Продлить картой"
    # Two plans that renew were begun on two pages and both paid: the second one's money goes back by itself.
    twice = await mall.forma.person("ru")
    one = await mall.begin(await mall.link(twice, RU, MONTH), keep="yes")
    two = await mall.begin(await mall.link(twice, RU, "Форма · 799 ₽"), keep="yes")
    await mall.shop.pay(one)
    await twice.wait_for(KEPT, timeout_s=chat.WAIT_S)
    await mall.shop.pay(two)
    await twice.wait_for("уже оплачено, поэтому возвращаем 799 ₽", timeout_s=chat.WAIT_S)
    await mall.sweep()
    await twice.wait_for("Вернули 799 ₽", timeout_s=chat.WAIT_S)
    assert await mall.forma.scalar(STATUS, id=twice.id) == "active"
    await back.send("/payments")
    listed = await back.wait_for("Лайт", timeout_s=chat.WAIT_S)
    await back.press(listed, listed.labels[0])
    await back.press(await back.wait_for("Вернуть", timeout_s=chat.WAIT_S), 0)
    await back.wait_for("Вернули 399 ₽", timeout_s=chat.WAIT_S)
    assert await mall.forma.scalar(STATUS, id=back.id) == "revoked"
    await at_the_end(mall, sbp, unsaved)
    await sbp.wait_for("Списано 399 ₽", timeout_s=chat.WAIT_S)
    assert (await posts(mall, back), await posts(mall, unsaved)) == ([], [])
