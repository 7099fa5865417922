"""Roubles go back, from the button in /payments to the shop's books: once each, whatever gets lost."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from app import housekeeping, reconcile_roubles, refunding
from billing import refunds, rouble_refunds
from billing.yookassa import requests
from kit.errors import Unavailable
from tests.support import shop as chat
from tests.support.roubles import EMAIL, PACK, Market, at_once, market
from tests.support.telegram import Person

RU = chat.RU
PACK_BUTTON = "Пакет токенов · 199 ₽"
MONTH_BUTTON = "Лайт · 399 ₽"
YEAR_BUTTON = "Форма на год · 7990 ₽"
POSTS = "/v3/refunds"
GROUP = -5000
# What a payment's refunds are now, the latest last.
REFUNDS = """
    SELECT string_agg(r.status, ' ' ORDER BY r.id) FROM refunds r JOIN payments p ON p.id = r.payment_id
    WHERE p.payer_id = :id
"""
# Read from the outbox: a group gets 20 messages a minute.
SAID = "SELECT EXISTS (SELECT FROM outbox WHERE payload -> 'data' ->> 'text' LIKE :words)"
LEFT = "SELECT coalesce(sum(posted), 0)::bigint FROM accounts WHERE person_id = :id AND kind = 'wallet'"
PAYMENT = "SELECT max(id) FROM payments WHERE payer_id = :id"
CHARGE = "SELECT provider_payment_id FROM payments WHERE id = :id"


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    async with market(database_url, redis_url, yookassa_in_chat=True, yookassa_receipts="54fz") as made:
        yield made


@pytest.fixture(autouse=True)
async def good_days(mall: Market) -> AsyncIterator[None]:
    yield
    await mall.shop.clear_faults()
    await mall.shop.settings(refund_after_s=0, refund_decline=None)
    await mall.heard()
    assert await mall.forma.violations() == []


async def bought(mall: Market, button: str = PACK_BUTTON, person: Person | None = None) -> tuple[Person, int]:
    """A person who has paid, and our number of the payment."""
    person = person or await mall.forma.person("ru")
    await mall.shop.pay(await mall.begin(await mall.link(person, RU, button)))
    await mall.forma.quiet_until("SELECT status = 'succeeded' FROM payments WHERE payer_id = :id", id=person.id)
    return person, await mall.forma.scalar(PAYMENT, id=person.id)


async def press_refund(mall: Market, person: Person, *, times: int = 1) -> None:
    """As a person who wants their money back."""
    await person.send("/payments")
    page = await person.wait_for("оплачено", timeout_s=chat.WAIT_S)
    await person.press(page, "Вернуть деньги")
    question = await person.wait_for("не больше 72 ч и потрачено не больше 20 %", timeout_s=chat.WAIT_S)
    await at_once(*(person.press(question, data=question.buttons[0]["callback_data"]) for _ in range(times)))


async def ordered(mall: Market, person: Person, payment_id: int) -> None:
    """A refund that was written down by a process which died before it called YooKassa."""
    async with mall.forma.app.db.transaction() as tx:
        now = mall.forma.app.clock.now()
        await refunding.refund_own(mall.forma.app, tx, person_id=person.id, payment_id=payment_id, now=now)


async def at_shop(mall: Market, payment_id: int) -> list[dict[str, Any]]:
    """What the shop gave back of a payment of ours."""
    charge = await mall.forma.scalar(CHARGE, id=payment_id)
    made = mall.server.world.state.refunds.values()
    return [{"status": one.status, "amount": one.amount, "id": one.id} for one in made if one.payment_id == charge]


async def refunds_of(mall: Market, person: Person) -> str:
    return str(await mall.forma.scalar(REFUNDS, id=person.id))


async def test_the_operator_refunds_roubles_in_two_steps_also_from_quarantine(mall: Market) -> None:
    forma = mall.forma
    operator = await forma.tg.person(first_name="Оля", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    await operator.send("/help", chat=group)
    seen = await operator.wait_for("/refund", chat=group, timeout_s=chat.WAIT_S)
    person, payment = await bought(mall)
    odd = await forma.person("ru")
    charge = await mall.begin(await mall.link(odd, RU, PACK_BUTTON))
    mall.server.world.state.payments[charge].amount = 100
    mall.server.world.state.payments[charge].receipt = None
    await mall.shop.pay(charge)
    await odd.wait_for("сверяем её с ЮKassa", timeout_s=chat.WAIT_S)
    unclear = await forma.scalar(PAYMENT, id=odd.id)
    await mall.sweep(hours=80)  # past what the rule gives back at once
    for number in (payment, unclear):
        await operator.send(f"/refund {number}", chat=group)
        await mall.forma.quiet_until(SAID, words=f"%/refund {number} %")
    await mall.sweep(seconds=11)
    for number, sums in ((payment, "199"), (unclear, "1.00")):
        await operator.send(f"/refund {number} {sums}", chat=group)
        await mall.forma.quiet_until(SAID, words=f"%платёж #{number}%")
    await person.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S, since=0)
    await odd.wait_for("Вернули 1 ₽", timeout_s=chat.WAIT_S, since=0)
    resolved = "SELECT status || ' ' || (resolved_at IS NOT NULL) FROM payments WHERE id = :id"
    assert await forma.scalar(resolved, id=unclear) == "refunded true"
    # While a refund is under way, nobody books in place of YooKassa's word.
    waiting, ordered_back = await bought(mall)
    await ordered(mall, waiting, ordered_back)
    await operator.send(f"/chargeback {await forma.scalar(CHARGE, id=ordered_back)}", chat=group)
    await forma.quiet_until(SAID, words="%По этому платежу уже идёт возврат%")
    async with forma.app.db.transaction() as tx:
        now = forma.app.clock.now()
        assert await refunds.charge_back(tx, payment_id=ordered_back, reason="provider", now=now) is None
    await mall.sweep()
    await waiting.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S, since=0)
    # What a payer's bank took back without us: the month ends, what was spent is owed.
    reader, month = await bought(mall, MONTH_BUTTON)
    await operator.send(f"/chargeback {await forma.scalar(CHARGE, id=month)}", chat=group)
    await forma.quiet_until(SAID, words="%Отметить оплату отозванной? 399_₽%")
    asked = await forma.scalar("SELECT max(id) FROM admin_requests WHERE action = 'chargeback'")
    await operator.press(seen, data=f"chargeback:yes:{asked}")
    await reader.wait_for("399 ₽ за вашу покупку отозвали", timeout_s=chat.WAIT_S, since=0)
    assert await forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=reader.id) == "revoked"
    await operator.send("/stats", chat=group)
    await forma.quiet_until(SAID, words="%Оплат в рублях: 4 на 798_₽, возвращено 798_₽%")
    await operator.send("/reconcile", chat=group)
    await forma.quiet_until(SAID, words="%Сверка рублей с%Разницы нет.%")


async def test_what_was_bought_for_roubles_goes_back_at_the_press_of_a_button(mall: Market) -> None:
    (buyer, pack), (reader, month), (planner, year) = await at_once(
        bought(mall), bought(mall, MONTH_BUTTON), bought(mall, YEAR_BUTTON)
    )
    before = (await mall.shop.totals())["refunded"]
    await at_once(press_refund(mall, buyer, times=3), press_refund(mall, reader), press_refund(mall, planner))
    for person, sums, payment in ((buyer, "199 ₽", pack), (reader, "399 ₽", month), (planner, "7990 ₽", year)):
        await person.wait_for(f"Вернули {sums}", timeout_s=chat.WAIT_S, since=0)
        assert await refunds_of(mall, person) == "succeeded"
        assert await mall.forma.scalar("SELECT status FROM payments WHERE id = :id", id=payment) == "refunded"
        assert await mall.forma.scalar(LEFT, id=person.id) == await mall.forma.scalar(
            "SELECT coalesce(sum(remaining), 0)::bigint FROM lots l JOIN accounts a ON a.id = l.account_id "
            "WHERE a.person_id = :id AND l.payment_id IS NULL",
            id=person.id,
        )
        [made] = await at_shop(mall, payment)
        assert made["status"] == "succeeded"
    assert (await mall.shop.totals())["refunded"] - before == 19_900 + 39_900 + 799_000
    for person in (reader, planner):
        assert await mall.forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=person.id) == (
            "revoked"
        )
    due = "SELECT count(*) FROM subscription_months WHERE payment_id = :id AND status = 'due'"
    assert await mall.forma.scalar(due, id=year) == 0
    # The receipt of what goes back names what was sold, to the same address.
    call = (await mall.shop.calls(POSTS, method="POST"))[-1]
    assert call["body"]["receipt"]["customer"] == {"email": EMAIL}
    assert call["body"]["receipt"]["items"][0]["amount"] == call["body"]["amount"]
    told = "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = :notice AND payload -> 'args' ->> 'id' = :id"
    for person in (buyer, reader, planner):
        assert await mall.forma.scalar(told, notice="admin-alert-refunded-roubles", id=str(person.id)) == 1


async def test_a_process_that_died_before_or_after_the_call_refunds_once(mall: Market) -> None:
    (early, one), (late, two) = await at_once(bought(mall), bought(mall))
    await at_once(ordered(mall, early, one), ordered(mall, late, two))
    assert await mall.forma.scalar(LEFT, id=early.id) < PACK  # the tokens went with the intent
    # The second one was sent, and what YooKassa answered was never read.
    refund_id = await mall.forma.scalar("SELECT id FROM refunds WHERE payment_id = :id", id=two)
    async with mall.forma.app.db.transaction() as tx:
        going = await rouble_refunds.take_to_post(tx, refund_id, now=mall.forma.app.clock.now())
    assert going is not None
    await mall.shop.fault("drop", event="refund.*")
    assert mall.forma.app.yookassa is not None
    await mall.forma.app.yookassa.create_refund(going.request, key=going.key)
    await mall.sweep()
    for person, payment in ((early, one), (late, two)):
        await person.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)
        assert await refunds_of(mall, person) == "succeeded"
        assert len(await at_shop(mall, payment)) == 1


async def test_an_answer_that_is_lost_never_makes_a_second_refund(mall: Market) -> None:
    bills = await at_once(*(bought(mall) for _ in range(5)))
    await mall.shop.fault("drop", event="refund.*")
    before = len(await mall.shop.calls(POSTS, method="POST"))
    for fault in ("http_500_after", "reset_after", "html_after", "http_500"):
        await mall.shop.fault(fault, path=POSTS, method="POST", count=1)
    await at_once(*(ordered(mall, person, payment) for person, payment in bills[:4]))
    await mall.sweep()
    assert {await refunds_of(mall, person) for person, _ in bills[:4]} == {"unknown"}
    await mall.shop.fault("rate_limit", path=POSTS, method="POST", count=1)
    await ordered(mall, *bills[4])
    await mall.sweep()
    await mall.sweep()
    for person, payment in bills:
        assert (await refunds_of(mall, person), len(await at_shop(mall, payment))) == ("succeeded", 1)
        await person.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)
    calls = (await mall.shop.calls(POSTS, method="POST"))[before:]
    bodies = {str(call["body"]) for call in calls if call["body"]}
    assert (len({call["key"] for call in calls}), len(bodies)) == (5, 5)
    assert len(calls) >= 10


async def test_after_a_day_an_unknown_refund_is_looked_for_in_the_list(mall: Market) -> None:
    (arrived, one), (lost, two) = await at_once(bought(mall), bought(mall))
    await mall.shop.fault("drop", event="refund.*")
    await mall.shop.fault("http_500", path=POSTS, method="POST", count=1)
    await ordered(mall, lost, two)
    await mall.sweep(seconds=30)
    await mall.shop.fault("http_500_after", path=POSTS, method="POST", count=1)
    await ordered(mall, arrived, one)
    await mall.sweep(seconds=15)
    assert (await refunds_of(mall, arrived), await refunds_of(mall, lost)) == ("unknown", "unknown")
    posts = len(await mall.shop.calls(POSTS, method="POST"))
    # In the last hour of its key it is neither sent again nor given up, and keeps nobody behind it waiting.
    await mall.sweep(hours=23.5)
    asked = "SELECT y.asked_at FROM yookassa_refunds y JOIN refunds r ON r.id = y.refund_id WHERE r.payment_id = :id"
    for payment in (one, two):
        assert await mall.forma.scalar(asked, id=payment) > mall.forma.app.clock.now() - timedelta(minutes=1)
    assert (await refunds_of(mall, arrived), await refunds_of(mall, lost)) == ("unknown", "unknown")
    await mall.sweep(hours=1.5)
    await arrived.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)
    told = await lost.wait_for("пока не вышло", timeout_s=chat.WAIT_S)
    assert "Токены этой покупки снова ваши" in told.text
    assert len(await mall.shop.calls(POSTS, method="POST")) == posts
    assert (await refunds_of(mall, arrived), await refunds_of(mall, lost)) == ("succeeded", "canceled")
    assert (len(await at_shop(mall, one)), len(await at_shop(mall, two))) == (1, 0)
    assert (await mall.status(lost), await mall.forma.scalar(LEFT, id=lost.id) >= PACK) == ("succeeded", True)


async def test_a_refund_that_yookassa_cancels_or_refuses_gives_the_tokens_back(mall: Market) -> None:
    (canceled, one), (refused, two) = await at_once(bought(mall), bought(mall))
    await mall.shop.settings(refund_after_s=60, refund_decline="insufficient_funds")
    await ordered(mall, canceled, one)
    await mall.sweep(seconds=1)
    assert await refunds_of(mall, canceled) == "pending"
    assert await mall.forma.scalar(LEFT, id=canceled.id) < PACK
    await mall.sweep()
    await canceled.wait_for("пока не вышло", timeout_s=chat.WAIT_S)
    await ordered(mall, refused, two)
    async with mall.forma.app.db.transaction() as tx:
        await tx.exec_driver_sql("UPDATE yookassa_refunds SET request = '{\"amount\": 1}' WHERE sent_at IS NULL")
    await mall.sweep()
    await refused.wait_for("пока не вышло", timeout_s=chat.WAIT_S)
    reasons = "SELECT y.reason FROM yookassa_refunds y JOIN refunds r ON r.id = y.refund_id WHERE r.payment_id = :id"
    assert await mall.forma.scalar(reasons, id=one) == "insufficient_funds"
    assert str(await mall.forma.scalar(reasons, id=two)).startswith("400 invalid_request")
    for person in (canceled, refused):
        assert (await refunds_of(mall, person), await mall.status(person)) == ("canceled", "succeeded")
        assert await mall.forma.scalar(LEFT, id=person.id) >= PACK
    alerted = "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = 'admin-alert-refund-failed-roubles'"
    assert await mall.forma.scalar(alerted) >= 2
    # It can be asked for again, with another key.
    await mall.shop.settings(refund_after_s=0, refund_decline=None)
    await ordered(mall, refused, two)
    await mall.sweep()
    assert await refunds_of(mall, refused) == "canceled succeeded"


async def test_notifications_of_one_refund_book_it_once_and_prove_nothing(mall: Market) -> None:
    person, payment = await bought(mall)
    await mall.shop.settings(refund_after_s=60)
    await ordered(mall, person, payment)
    await mall.sweep(seconds=1)
    [made] = await at_shop(mall, payment)
    lie = {"type": "notification", "event": "refund.succeeded", "object": {"id": made["id"], "status": "succeeded"}}
    nothing = {"event": "refund.succeeded", "object": {"id": "2c5d9d8a-0015-5000-8000-000000000000"}}
    for body in (lie, nothing):
        assert await mall.browser.post(mall.notifications_url, json=body) == 200
    await mall.heard()
    assert await refunds_of(mall, person) == "pending"
    await mall.shop.fault("duplicate", event="refund.*")
    offset_s = mall.server.world.state.clock_offset_s + 61
    await mall.shop.control("POST", "clock", {"offset_s": offset_s})
    posts = (mall.browser.post(mall.notifications_url, json=lie | {"event": f"refund.x{n}"}) for n in range(6))
    assert await at_once(*posts) == [200] * 6
    await mall.heard()
    await person.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)
    assert await refunds_of(mall, person) == "succeeded"
    assert len(chat.said(person, "Вернули")) == 1
    await mall.forma.advance(seconds=120)


async def test_a_refund_made_in_yookassas_cabinet_is_booked_even_if_its_payment_was_never_told(mall: Market) -> None:
    known, payment = await bought(mall)
    unknown = await mall.forma.person("ru")
    charge = await mall.begin(await mall.link(unknown, RU, PACK_BUTTON))
    await mall.shop.fault("drop", event="payment.*")
    await mall.shop.pay(charge)
    shop = mall.forma.app.yookassa
    assert shop is not None
    for number, target in enumerate((await mall.forma.scalar(CHARGE, id=payment), charge)):
        body = f'{{"payment_id": "{target}", "amount": {{"value": "199.00", "currency": "RUB"}}}}'
        await shop.create_refund(body, key=f"cabinet-{number}")
    await mall.heard()
    for person in (known, unknown):
        await person.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)
        assert (await refunds_of(mall, person), await mall.status(person)) == ("succeeded", "refunded")
        assert await mall.forma.scalar(LEFT, id=person.id) < PACK


async def test_a_refund_that_takes_long_is_the_operators_matter(mall: Market) -> None:
    person, payment = await bought(mall)
    await mall.shop.settings(refund_after_s=8 * 3600)
    await ordered(mall, person, payment)
    await mall.sweep(seconds=1)
    assert await refunds_of(mall, person) == "pending"
    await mall.sweep(hours=2)
    for _ in range(2):
        await housekeeping.hour(mall.forma.app)
    overdue = "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = 'admin-alert-refund-overdue-roubles'"
    assert await mall.forma.scalar(overdue) == 1
    calls = "SELECT count(*) FROM outbox WHERE payload ->> 'method' = 'refundStarPayment'"
    assert await mall.forma.scalar(calls) == 0
    await mall.sweep(hours=7)
    await person.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)


async def test_yookassas_lists_are_compared_both_ways_and_what_is_behind_is_followed(
    mall: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    forma, shop = mall.forma, mall.forma.app.yookassa
    assert shop is not None
    (person, payment), (other, second), (third, kept) = await at_once(bought(mall), bought(mall), bought(mall))
    late = await forma.person("ru")
    await mall.shop.fault("drop", event="*")
    charge = await mall.begin(await mall.link(late, RU, PACK_BUTTON))
    await mall.shop.pay(charge)
    body = '{{"payment_id": "{}", "amount": {{"value": "{}", "currency": "RUB"}}, "receipt": {}}}'
    receipt = mall.server.world.state.payments[await forma.scalar(CHARGE, id=kept)].receipt
    assert receipt is not None
    part = orjson.dumps(
        {**receipt, "items": [{**receipt["items"][0], "amount": {"value": "50.00", "currency": "RUB"}}]}
    )
    whole = body.format(await forma.scalar(CHARGE, id=payment), "199.00", "null")
    await shop.create_refund(whole, key="cabinet-whole")
    await shop.create_refund(
        body.format(await forma.scalar(CHARGE, id=kept), "50.00", part.decode()), key="cabinet-part"
    )
    mall.server.world.state.payments[await forma.scalar(CHARGE, id=second)].amount = 19_800
    foreign = requests.NewPayment(12_300, "Футболка", "https://example.org", {}, receipt=None)
    stranger = await shop.create_payment(requests.payment(foreign), key="another-program")
    await mall.shop.pay(stranger.id)
    await forma.advance(seconds=700)
    await mall.shop.control("POST", "clock", {"offset_s": forma.app.clock.offset.total_seconds()})
    found = await reconcile_roubles.run(forma.app, cause="command")
    assert found.followed >= 3
    assert (await mall.status(late), await refunds_of(mall, person)) == ("succeeded", "succeeded")
    classes = found.comparison.classes
    assert classes["not_ours"] == (1, 12_300)
    assert await mall.status(third) == "partially_refunded"
    assert {f"payment:{second}"} <= {one.subject for one in found.new if one.class_ == "amount_differs"}
    assert found.comparison.theirs - found.comparison.ours == sum(kopecks for _, kopecks in classes.values())
    # Told once, and closed once both sides are the same again.
    mall.server.world.state.payments[await forma.scalar(CHARGE, id=second)].amount = 19_900
    again = await reconcile_roubles.run(forma.app, cause="schedule")
    assert (again.new, again.followed) == ((), 0)
    closed = "SELECT closed_at IS NOT NULL FROM rouble_differences WHERE subject = :id"
    assert await forma.scalar(closed, id=f"payment:{second}")
    # What is ours and not there.
    gone = mall.server.world.state.payments.pop(await forma.scalar(CHARGE, id=second))
    lacking = await reconcile_roubles.run(forma.app, cause="schedule")
    assert [(one.class_, one.kopecks) for one in lacking.new] == [("missing", -19_900)]
    mall.server.world.state.payments[gone.id] = gone
    # A list that lacks nearly all of ours is another shop's: nothing is concluded from it.
    known, mall.server.world.state.payments = mall.server.world.state.payments, {}
    monkeypatch.setattr(reconcile_roubles, "ASKED_MAX", 2)
    with pytest.raises(reconcile_roubles.ListUnread, match="are not in it"):
        await reconcile_roubles.scheduled(forma.app)
    mall.server.world.state.payments = known
    alerted = "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = 'admin-alert-roubles-differ'"
    assert await forma.scalar(alerted) == len(found.new) + 1
    # A stranger's money that goes back long after it came is no more ours than it was.
    await forma.advance(days=9)
    await mall.shop.control("POST", "clock", {"offset_s": forma.app.clock.offset.total_seconds()})
    await shop.create_refund(body.format(stranger.id, "123.00", "null"), key="another-program-back")
    await forma.advance(seconds=700)
    long_after = await reconcile_roubles.run(forma.app, cause="schedule")
    assert (long_after.comparison.classes, long_after.new) == ({"not_ours": (1, -12_300)}, ())
    await mall.shop.fault("http_500", path="/v3/payments", method="GET", count=1)
    with pytest.raises(Unavailable):
        await reconcile_roubles.scheduled(forma.app)
    await mall.shop.fault("forbidden", path="/v3/payments", method="GET", count=1)
    with pytest.raises(reconcile_roubles.ListUnread, match="403"):
        await reconcile_roubles.scheduled(forma.app)
    assert {await mall.status(other), await mall.status(third)} == {"succeeded", "partially_refunded"}
