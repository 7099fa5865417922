"""Paying in roubles, from the chat's button to the tokens: each charge is credited once, whatever gets lost."""

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
from redis.asyncio import Redis

from billing import promos
from billing.promos import Terms
from tests.support import shop as chat
from tests.support.roubles import EMAIL, PACK, Market, at_once, market

RU = chat.RU
BUTTON = "Пакет токенов · 199 ₽"
MONTH = "Лайт · 399 ₽"
YEAR = "Форма на год · 7990 ₽"
POSTS = "/v3/payments"
BOUGHT = "Пакет ваш: 300 000 токенов"


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


async def test_a_pack_is_bought_from_the_chats_button_to_the_tokens(mall: Market) -> None:
    person = await mall.forma.person("ru")
    sheet = await chat.sheet(person, RU, BUTTON)
    assert "Ссылка только для вас" in sheet.text
    assert not [one for seen in person.messages() for one in seen.buttons if "Другие способы" in one["text"]]
    url = chat.url_of(sheet)
    page = await mall.browser.open(url)
    for words in ("Пакет токенов", "199 ₽", "300 000 токенов, ≈ 300 ответов", "72 ч", "Почта для чека", "Оплатить"):
        assert words in page.text, words
    assert "script" not in page.html
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy

    payment_id = await mall.begin(url)
    [made] = [one for one in await mall.payments() if one["id"] == payment_id]
    assert made["amount"] == {"value": "199.00", "currency": "RUB"}
    assert await mall.status(person) == "pending"
    assert "Ждём оплату: 199 ₽" in (await mall.browser.open(url)).text
    await mall.shop.pay(payment_id)
    told = await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert str((mall.forma.app.clock.now() + timedelta(days=365)).year) in told.text
    assert await mall.granted(person) == PACK
    assert await mall.status(person) == "succeeded"
    assert "Оплачено" in (await mall.browser.open(url)).text
    alerted = "SELECT payload -> 'args' ->> 'kopecks' FROM outbox WHERE dedup_key LIKE 'alert:payment:%'"
    assert await mall.forma.scalar(alerted) == "19900"
    # The receipt went along, and the e-mail is not asked for twice.
    [call] = (await mall.shop.calls(POSTS, method="POST"))[-1:]
    assert call["body"]["receipt"]["customer"] == {"email": EMAIL}
    again = await mall.browser.open(await mall.link(person, RU, BUTTON))
    assert again.fields["email"] == EMAIL


async def test_a_link_leads_to_one_payment_however_often_it_is_used(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    before = len(await mall.payments())
    page = await mall.browser.open(url)
    went = await at_once(*(mall.browser.press(url, page, email=EMAIL) for _ in range(5)))
    assert {one.status for one in went} == {303}
    assert len({one.to for one in went}) == 1
    assert len(await mall.payments()) == before + 1
    # Another link to the same product is the same order, and so the same payment.
    assert (await mall.browser.press(await mall.link(person, RU, BUTTON), page, email=EMAIL)).to == went[0].to
    await mall.shop.pay(went[0].to.rpartition("/")[2])
    await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    done = await mall.browser.press(url, page, email=EMAIL)
    assert (done.status, "Оплачено" in done.text) == (200, True)
    assert len(await mall.payments()) == before + 1
    assert await mall.granted(person) == PACK


async def test_whoever_has_another_persons_link_pays_for_that_person(mall: Market) -> None:
    owner, other = await mall.forma.person("ru"), await mall.forma.person("ru")
    url = await mall.link(owner, RU, BUTTON)
    await mall.link(other, RU, BUTTON)
    await mall.shop.pay(await mall.begin(url))
    await owner.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert (await mall.granted(owner), await mall.granted(other)) == (PACK, 0)


async def test_a_forged_or_old_link_begins_nothing(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    head, _, token = url.rpartition("/")
    nonce, _, signature = token.partition(".")
    before = len(await mall.payments())
    for forged in (nonce, f"{nonce}.{signature[::-1]}", f"{signature}.{nonce}", "x", f"{token}x", "%00", "a" * 5000):
        shown = await mall.browser.open(f"{head}/{forged}")
        assert (shown.status, "Такой ссылки нет" in shown.text) == (404, True), forged[:40]
    page = await mall.browser.open(url)
    await mall.sweep(seconds=31 * 60)
    assert "Ссылка устарела" in (await mall.browser.open(url)).text
    late = await mall.browser.press(url, page, email=EMAIL)
    assert (late.status, "Ссылка устарела" in late.text) == (200, True)
    assert len(await mall.payments()) == before


async def test_what_the_form_says_is_not_believed(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    page = await mall.browser.open(url)
    before = len(await mall.payments())
    cheap = await mall.browser.press(url, page, email=EMAIL, kopecks="1")
    assert "Цена изменилась" in cheap.text
    nobody = await mall.browser.press(url, page, email="<script>alert(1)</script>")
    assert "Укажите почту" in nobody.text
    assert "<script" not in nobody.html
    assert len(await mall.payments()) == before
    other = await mall.begin(url, product="forma")
    [made] = [one for one in await mall.payments() if one["id"] == other]
    assert made["amount"]["value"] == "199.00"


async def test_a_lost_notification_is_made_up_for_by_asking(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    payment_id = await mall.begin(url)
    await mall.shop.fault("drop", event="payment.*")
    await mall.shop.pay(payment_id)
    assert await mall.granted(person) == 0
    await mall.sweep()
    await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert await mall.granted(person) == PACK


async def test_notifications_twice_at_once_and_again_later_credit_once(mall: Market) -> None:
    person = await mall.forma.person("ru")
    payment_id = await mall.begin(await mall.link(person, RU, BUTTON))
    await mall.shop.fault("duplicate", event="payment.*")
    await mall.shop.pay(payment_id)
    body = {"type": "notification", "event": "payment.succeeded", "object": {"id": payment_id, "status": "succeeded"}}
    url = mall.notifications_url
    answers = await at_once(*(mall.browser.post(url, json=body | {"event": f"payment.x{n}"}) for n in range(8)))
    assert answers == [200] * 8
    await mall.heard()
    await mall.shop.control("POST", "notifications", {"event": "payment.succeeded", "id": payment_id})
    await mall.heard()
    assert await mall.granted(person) == PACK
    told = [seen for seen in person.messages() if BOUGHT in seen.text.replace("\u00a0", " ")]
    await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S, since=0)
    assert len(told) <= 1


async def test_a_notification_is_a_hint_and_no_proof(mall: Market) -> None:
    person = await mall.forma.person("ru")
    payment_id = await mall.begin(await mall.link(person, RU, BUTTON))
    lie = {"type": "notification", "event": "payment.succeeded", "object": {"id": payment_id, "status": "succeeded"}}
    url = mall.notifications_url
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.9", 0))) as stranger:
        forwarded = {"X-Forwarded-For": "185.71.76.1", "X-Real-IP": "185.71.76.1"}
        async with stranger.post(url, json=lie, headers=forwarded) as refused:
            assert refused.status == 403
    # From the right address, and not true: nothing but the object at YooKassa counts.
    assert await mall.browser.post(url, json=lie) == 200
    missing = {"event": "payment.succeeded", "object": {"id": "2c5d9d8a-000f-5000-8000-000000000000"}}
    assert await mall.browser.post(url, json=missing) == 200
    wrong = (b'{"event": 1, "object": {"id": "../me"}}', b'{"event": "\\u0000", "object": {"id": "a"}}')
    for junk in (b"", b"[]", b"{}", b'{"event": "x", "object": []}', *wrong):
        assert await mall.browser.post(url, data=junk) == 400
    await mall.heard()
    assert (await mall.status(person), await mall.granted(person)) == ("pending", 0)


async def test_money_that_does_not_fit_the_order_is_kept_apart(mall: Market) -> None:
    person = await mall.forma.person("ru")
    payment_id = await mall.begin(await mall.link(person, RU, BUTTON))
    mall.server.world.state.payments[payment_id].amount = 100
    await mall.shop.pay(payment_id)
    told = await person.wait_for("сверяем её с ЮKassa", timeout_s=chat.WAIT_S)
    assert "Код" in told.text
    assert await mall.granted(person) == 0
    row = "SELECT quarantine_reason || ' ' || amount FROM payments WHERE provider_payment_id = :id"
    assert await mall.forma.scalar(row, id=payment_id) == "wrong_price 100"


@pytest.mark.parametrize("fault", ["http_500_after", "hang_after", "reset_after", "half_after", "html_after"])
async def test_an_answer_that_is_lost_never_makes_a_second_charge(mall: Market, fault: str) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    before = len(await mall.payments())
    page = await mall.browser.open(url)
    await mall.shop.fault(fault, path=POSTS, method="POST", count=1)
    lost = await mall.browser.press(url, page, email=EMAIL)
    assert (lost.status, "Второй раз платить не нужно" in lost.text) == (200, True)
    assert await mall.status(person) == "unknown"
    assert len(await mall.payments()) == before + 1
    # The same link goes on with the same payment.
    payment_id = await mall.begin(url)
    assert len(await mall.payments()) == before + 1
    await mall.shop.pay(payment_id)
    await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert await mall.granted(person) == PACK


@pytest.mark.parametrize("fault", ["http_500", "rate_limit", "reset"])
async def test_a_request_that_was_not_taken_is_sent_again_by_the_schedule(mall: Market, fault: str) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    page = await mall.browser.open(url)
    await mall.shop.fault(fault, path=POSTS, method="POST", count=1)
    assert (await mall.browser.press(url, page, email=EMAIL)).status == 200
    await mall.sweep()
    assert await mall.status(person) == "pending"
    going = await mall.browser.open(url)
    assert f"{mall.shop.base_url}/checkout/" in going.html
    first, second = (await mall.shop.calls(POSTS, method="POST"))[-2:]
    assert first["key"] == second["key"]


async def test_after_a_day_an_unknown_payment_is_looked_for_in_the_list(mall: Market) -> None:
    arrived, lost = await mall.forma.person("ru"), await mall.forma.person("ru")
    for person, fault in ((arrived, "http_500_after"), (lost, "http_500")):
        url = await mall.link(person, RU, BUTTON)
        page = await mall.browser.open(url)
        await mall.shop.fault(fault, path=POSTS, method="POST", count=1)
        await mall.browser.press(url, page, email=EMAIL)
    await mall.shop.fault("drop", event="payment.*")
    await mall.shop.pay((await mall.payments())[-1]["id"])
    posts = len(await mall.shop.calls(POSTS, method="POST"))
    # In the last hour of its key it is neither sent again nor given up, and keeps nobody behind it waiting.
    await mall.sweep(hours=23.5)
    asked = (
        "SELECT min(y.asked_at) FROM yookassa_payments y JOIN payments p ON p.id = y.payment_id WHERE p.payer_id = :id"
    )
    for person in (arrived, lost):
        assert await mall.status(person) == "unknown"
        assert await mall.forma.scalar(asked, id=person.id) > mall.forma.app.clock.now() - timedelta(minutes=1)
    await mall.sweep(hours=1.5)
    await arrived.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert (await mall.status(arrived), await mall.status(lost)) == ("succeeded", "canceled")
    assert len(await mall.shop.calls(POSTS, method="POST")) == posts
    assert await mall.granted(lost) == 0


async def test_a_decline_is_told_and_another_card_pays_by_the_same_link(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    first = await mall.begin(url)
    await mall.shop.pay(first, card="5555555555554600")
    told = await person.wait_for("не хватило денег", timeout_s=chat.WAIT_S)
    assert "Ничего не списано" in told.text
    assert "не хватило денег" in (await mall.browser.open(url)).text
    second = await mall.begin(url)
    assert second != first
    await mall.shop.pay(second)
    await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert await mall.granted(person) == PACK


async def test_whoever_blocked_the_bot_has_what_they_paid_for(mall: Market) -> None:
    person = await mall.forma.person("ru")
    payment_id = await mall.begin(await mall.link(person, RU, BUTTON))
    await person.block()
    await mall.shop.pay(payment_id)
    await mall.forma.quiet_until("SELECT status = 'succeeded' FROM payments WHERE payer_id = :id", id=person.id)
    await mall.sweep()
    assert (await mall.status(person), await mall.granted(person)) == ("succeeded", PACK)


async def test_a_refusal_is_the_operators_matter(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, BUTTON)
    page = await mall.browser.open(url)
    await mall.shop.fault("rate_limit", path=POSTS, method="POST", count=1)
    await mall.browser.press(url, page, email=EMAIL)
    async with mall.forma.app.db.transaction() as tx:
        await tx.exec_driver_sql("UPDATE yookassa_payments SET request = '{}'")
    await mall.sweep()
    assert await mall.status(person) == "canceled"
    assert "Платёж не принят" in (await mall.browser.open(url)).text
    alerted = "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = 'admin-alert-roubles-refused'"
    assert await mall.forma.scalar(alerted) == 1


async def test_a_year_is_paid_once_and_brings_its_first_month(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, YEAR)
    page = await mall.browser.open(url)
    for words in ("Форма на год", "7990 ₽", "Платите один раз за 12 месяцев", "Само не продлится"):
        assert words in page.text, words
    assert "Начнётся" not in page.text
    await mall.shop.pay(await mall.begin(url))
    await person.wait_for("первые уже ваши", timeout_s=chat.WAIT_S)
    months = """
        SELECT count(*) || ' months, ' || count(m.lot_id) || ' granted, ' || s.status || ' ' || s.provider
        FROM subscription_months m JOIN subscriptions s ON s.id = m.subscription_id
        WHERE s.person_id = :id GROUP BY s.id
    """
    assert await mall.forma.scalar(months, id=person.id) == "12 months, 1 granted, cancel_scheduled yookassa"
    assert "Оплачено" in (await mall.browser.open(url)).text
    # Another one follows it, and both the page and the chat say from when.
    again = await mall.link(person, RU, YEAR)
    assert "Начнётся" in (await mall.browser.open(again)).text
    await mall.shop.pay(await mall.begin(again))
    await person.wait_for("Токены будут приходить каждый месяц", timeout_s=chat.WAIT_S)
    assert await mall.forma.scalar("SELECT sum(granted) FROM lots WHERE kind = 'plan'") == 2_000_000


async def test_whoever_has_a_renewal_reads_of_it_before_and_after_paying_a_year(mall: Market) -> None:
    person = await mall.forma.person("ru")
    await chat.subscribe(person, RU)
    url = await mall.link(person, RU, YEAR)
    page = await mall.browser.open(url)
    assert "«Форма» у вас продлевается сама" in page.text
    assert "спишется 600 ⭐" in page.text
    await mall.shop.pay(await mall.begin(url))
    await person.wait_for("Чтобы не платить дважды, отмените продление. Оплаченное", timeout_s=chat.WAIT_S)


async def test_a_percentage_is_shown_on_the_page_and_charged(mall: Market) -> None:
    person = await mall.forma.person("ru")
    terms = Terms(kind="percent", percent=20)
    async with mall.forma.app.db.transaction() as tx:
        await promos.create(tx, code="ROUBLES", terms=terms, created_by=1, now=mall.forma.app.clock.now())
    await person.send("/promo ROUBLES")
    await person.wait_for("20", timeout_s=chat.WAIT_S)
    url = await mall.link(person, RU, BUTTON)
    assert "159,20 ₽" in (await mall.browser.open(url)).text
    payment_id = await mall.begin(url)
    [made] = [one for one in await mall.payments() if one["id"] == payment_id]
    assert made["amount"]["value"] == "159.20"
    await mall.shop.pay(payment_id)
    await person.wait_for(BOUGHT, timeout_s=chat.WAIT_S)
    assert await mall.granted(person) == PACK


async def test_a_month_for_roubles_ends_by_itself_and_the_next_one_follows_it(mall: Market) -> None:
    person = await mall.forma.person("ru")
    url = await mall.link(person, RU, MONTH)
    page = await mall.browser.open(url)
    for words in ("Лайт", "399 ₽", "600 000 токенов, ≈ 600 ответов на месяц", "Само не продлится"):
        assert words in page.text, words
    await mall.shop.pay(await mall.begin(url))
    await person.wait_for("больше ничего не спишет", timeout_s=chat.WAIT_S)
    card = await chat.card(person, "Само не продлится и ничего не спишет")
    assert "Лайт" in card
    again = await mall.link(person, RU, MONTH)
    assert "Начнётся" in (await mall.browser.open(again)).text
    await mall.shop.pay(await mall.begin(again))
    await person.wait_for("Лайт с ", timeout_s=chat.WAIT_S)
    periods = """
        SELECT count(*) || ' ' || bool_and(s.status = 'cancel_scheduled') || ' '
               || (max(p.starts_at) = min(p.ends_at)) || ' '
               || (max(p.ends_at) <= min(p.starts_at) + interval '2 months')
        FROM subscription_periods p JOIN subscriptions s ON s.id = p.subscription_id WHERE p.person_id = :id
    """
    assert await mall.forma.scalar(periods, id=person.id) == "2 true true true"
    [call] = (await mall.shop.calls(POSTS, method="POST"))[-1:]
    assert "save_payment_method" not in call["body"]
