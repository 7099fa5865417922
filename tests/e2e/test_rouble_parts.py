"""Parts of what was paid in roubles go back: by the operator's command, in YooKassa's cabinet, whatever gets lost."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from app import reconcile_roubles, refunding
from tests.support import shop as chat
from tests.support.roubles import PACK, Market, at_once, market
from tests.support.telegram import Group, Person, Seen

RU, EN = chat.RU, chat.EN
LABELS = {"ru": ("Пакет токенов · 199 ₽", "Лайт · 399 ₽"), "en": ("Token pack · 199 ₽", "Lite · 399 ₽")}
POSTS = "/v3/refunds"
GROUP = -5000
LEFT = "SELECT coalesce(sum(remaining), 0)::bigint FROM lots WHERE payment_id = :id"
REFUNDS = (
    "SELECT coalesce(string_agg(status || ' ' || amount, ', ' ORDER BY id), '') FROM refunds WHERE payment_id = :id"
)
STATUS = "SELECT status FROM payments WHERE id = :id"
CHARGE = "SELECT provider_payment_id FROM payments WHERE id = :id"
REQUEST = "SELECT max(id) FROM admin_requests WHERE details ->> 'payment' = :id"
REPLY = """
    SELECT o.payload -> 'data' ->> 'text' FROM inbox i
    JOIN outbox o ON o.dedup_key = concat('update', chr(58), i.id, chr(58), 0)
    WHERE i.body -> 'message' ->> 'message_id' = :sent AND i.body -> 'message' -> 'chat' ->> 'id' = :chat
"""
SAID = "SELECT EXISTS (SELECT FROM outbox WHERE payload -> 'data' ->> 'text' LIKE :words)"
ALERT = """
    SELECT count(*) FROM outbox WHERE payload ->> 'notice' = :notice AND payload -> 'args' ->> 'payment_id' = :id
"""

Room = tuple[Group, Person, Person, Seen]


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    settings = {"yookassa_in_chat": True, "yookassa_receipts": "54fz", "yookassa_vat": "standard"}
    async with market(database_url, redis_url, **settings) as made:
        yield made


@pytest.fixture(scope="module")
async def room(mall: Market) -> Room:
    """The admin group, two operators in it, and a message of the bot's there."""
    first, second = await at_once(
        mall.forma.tg.person(first_name="Оля", language_code="ru"),
        mall.forma.tg.person(first_name="Миша", language_code="ru"),
    )
    both = [first, second]
    group = await mall.forma.tg.group(title="Операторская", id=GROUP, members=both, admins=both, bot="administrator")
    await first.send("/help", chat=group)
    return group, first, second, await first.wait_for("/refund", chat=group, timeout_s=chat.WAIT_S)


@pytest.fixture(autouse=True)
async def good_days(mall: Market) -> AsyncIterator[None]:
    yield
    await mall.shop.clear_faults()
    await mall.shop.settings(refund_after_s=0, refund_decline=None)
    await mall.heard()
    assert await mall.forma.violations() == []


async def bought(mall: Market, what: int = 0, language: str = "ru") -> tuple[Person, int]:
    """A person who has paid for a pack (0) or a month (1), and our number of the payment."""
    person = await mall.forma.person(language)
    say = chat.TONGUES[language]
    await mall.shop.pay(await mall.begin(await mall.link(person, say, LABELS[language][what])))
    await mall.forma.quiet_until("SELECT status = 'succeeded' FROM payments WHERE payer_id = :id", id=person.id)
    return person, await mall.forma.scalar("SELECT id FROM payments WHERE payer_id = :id", id=person.id)


async def ask(mall: Market, room: Room, text: str) -> str:
    """What a command of the group is answered: read from the outbox, a group gets 20 messages a minute."""
    found = {"sent": str(await room[1].send(text, chat=room[0])), "chat": str(GROUP)}
    await mall.forma.quiet_until(f"SELECT ({REPLY}) IS NOT NULL", **found)
    return plain(await mall.forma.scalar(REPLY, **found))


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


async def press(room: Room, data: str, who: int = 1) -> str | None:
    """Press a button of the group; the toast."""
    person = (room[1], room[2])[who - 1]
    text: str | None = (await person.toast(await person.press(room[3], data=data), timeout_s=chat.WAIT_S))["text"]
    return text


async def button(mall: Market, payment: int) -> str:
    """What the button says that the latest `/refund payment part` brought."""
    return f"refund-part:yes:{await mall.forma.scalar(REQUEST, id=str(payment))}"


async def ordered(mall: Market, payment: int, kopecks: int) -> None:
    """A part that was written down by a process which died before it called YooKassa."""
    async with mall.forma.app.db.transaction() as tx:
        now = mall.forma.app.clock.now()
        await refunding.refund_any(tx, payment_id=payment, actor_id=1, reason="test", now=now, amount=kopecks)


async def at_shop(mall: Market, payment: int) -> list[tuple[str, int]]:
    """What the shop gave back of a payment of ours."""
    charge = await mall.forma.scalar(CHARGE, id=payment)
    made = mall.server.world.state.refunds.values()
    return [(one.status, one.amount) for one in made if one.payment_id == charge]


async def in_cabinet(mall: Market, payment: int, kopecks: int, key: str) -> None:
    """Somebody gives a part back at YooKassa, with the receipt that it asks for there."""
    charge = await mall.forma.scalar(CHARGE, id=payment)
    receipt: Any = mall.server.world.state.payments[charge].receipt
    amount = {"value": f"{kopecks // 100}.{kopecks % 100:02}", "currency": "RUB"}
    body = {"payment_id": charge, "amount": amount}
    body["receipt"] = {**receipt, "items": [{**receipt["items"][0], "amount": amount}]}
    shop = mall.forma.app.yookassa
    assert shop is not None
    await shop.create_refund(orjson.dumps(body).decode(), key=key)


def share(kopecks: int, of: int = 19_900, tokens: int = PACK) -> int:
    return tokens * kopecks // of


async def test_the_operator_gives_parts_back_by_a_button_and_then_the_rest(mall: Market, room: Room) -> None:
    forma = mall.forma
    (person, pack), (reader, month) = await at_once(bought(mall), bought(mall, 1, "en"))
    assert f"Вернуть часть: /refund {pack} 50,50" in await ask(mall, room, f"/refund {pack}")
    for hostile in ("0,00", "-5", "50,5", "1e2", "٥٠", "199.01", "9" * 30):
        assert "Сумма не совпадает, ничего не возвращено" in await ask(mall, room, f"/refund {pack} {hostile}"), hostile
    asked = await ask(mall, room, f"/refund {pack} 50,50 за вчерашний сбой")
    assert "Вернуть 50,50 ₽ из 199 ₽? Снимем долю остатка: 76 130 токенов" in asked
    english = await ask(mall, room, f"/refund {month} 100")
    assert "Вернуть 100 ₽ из 399 ₽?" in english
    ours, theirs = await button(mall, pack), await button(mall, month)
    assert "Рано: посмотрите ещё" in plain(await press(room, ours) or "")
    await mall.sweep(seconds=11)
    assert await press(room, ours, who=2) is not None  # another operator has not asked
    assert await press(room, "refund-part:yes:" + "9" * 17) is not None
    assert await forma.scalar("SELECT count(*) FROM refunds") == 0
    toasts = await at_once(press(room, ours), press(room, ours), press(room, ours), press(room, theirs))
    assert toasts.count(None) == 2
    told = await person.wait_for("Вернули 50,50 ₽ из 199 ₽", timeout_s=chat.WAIT_S, since=0)
    assert "Вместе с ними ушло 76 130 токенов" in plain(told.text)
    told = await reader.wait_for("Refunded 100 ₽ of 399 ₽. With it went", timeout_s=chat.WAIT_S, since=0)
    assert "everything else stays yours" in told.text
    assert (await forma.scalar(REFUNDS, id=pack), await at_shop(mall, pack)) == (
        "succeeded 5050",
        [("succeeded", 5_050)],
    )
    assert await forma.scalar(LEFT, id=pack) == PACK - share(5_050)
    # The month goes on.
    lives = "SELECT status || ' ' || (until > now()) FROM subscriptions WHERE person_id = :id"
    assert await forma.scalar(lives, id=reader.id) == "cancel_scheduled true"
    # The receipt is of the part, to the same address, at the sale's rate.
    sent = [one for one in await mall.shop.calls(POSTS, method="POST") if one["body"]["amount"]["value"] == "50.50"]
    assert len({one["key"] for one in sent}) == 1
    [item] = sent[0]["body"]["receipt"]["items"]
    assert (item["amount"]["value"], item["quantity"], item["vat_code"]) == ("50.50", "1", 11)
    # Everybody sees how much went back.
    seen = await chat.card(person, "Ваши оплаты", "/payments")
    assert "199 ₽ · возвращено 50,50 ₽" in seen
    assert "199 ₽ · Пакет токенов · возвращено 50,50 ₽" in await ask(mall, room, f"/user {person.id}")
    assert "199 ₽ · возвращено 50,50 ₽" in await ask(mall, room, f"/payments {person.id}")
    assert "Оплат в рублях: 2 на 598 ₽, возвращено 150,50 ₽" in await ask(mall, room, "/stats")
    page = await person.wait_for("Ваши оплаты", timeout_s=chat.WAIT_S, since=0)
    await person.press(page, "Вернуть деньги")
    await person.wait_for("Часть этой оплаты вам уже вернули", timeout_s=chat.WAIT_S)
    # The whole is what is left now: typed again, as ever.
    card = await ask(mall, room, f"/refund {pack}")
    assert "Вернётся всё, что осталось." in card
    assert card.count(f"/refund {pack} 148.50") == 1
    assert "не совпадает" in await ask(mall, room, f"/refund {pack} 199")
    await mall.sweep(seconds=11)
    assert "Возвращаем 148,50 ₽" in await ask(mall, room, f"/refund {pack} 148.50")
    await person.wait_for("Вернули 148,50 ₽. Токены этой покупки сняты", timeout_s=chat.WAIT_S, since=0)
    assert (await forma.scalar(STATUS, id=pack), await forma.scalar(LEFT, id=pack)) == ("refunded", 0)
    # What the bank takes back after a part is the rest.
    await ask(mall, room, f"/chargeback {await forma.scalar(CHARGE, id=month)}")
    await forma.quiet_until(SAID, words="%Отметить оплату отозванной? 299_₽%")
    assert await press(room, f"chargeback:yes:{await forma.scalar(REQUEST, id=str(month))}") is None
    await reader.wait_for("299 ₽", timeout_s=chat.WAIT_S, since=0)
    assert await forma.scalar(REFUNDS, id=month) == "succeeded 10000, succeeded 29900"
    assert await forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=reader.id) == "revoked"
    audited = "SELECT count(*) FROM audit_log WHERE action = 'refund' AND details ->> 'payment' = :id"
    assert await forma.scalar(audited, id=str(pack)) == 2
    why = "SELECT reason FROM refunds WHERE payment_id = :id ORDER BY id LIMIT 1"
    assert await forma.scalar(why, id=pack) == "за вчерашний сбой"


async def test_two_parts_that_together_exceed_the_payment_are_not_both_made(mall: Market, room: Room) -> None:
    (_, payment), (person, other) = await at_once(bought(mall), bought(mall))
    await ask(mall, room, f"/refund {payment} 150")
    first = await button(mall, payment)
    await ask(mall, room, f"/refund {payment} 120")
    second = await button(mall, payment)
    await ask(mall, room, f"/refund {other} 120")
    stale = await button(mall, other)
    await mall.sweep(seconds=11)
    toasts = await at_once(press(room, first), press(room, second))
    assert toasts.count(None) == 1
    await mall.forma.quiet_until("SELECT status = 'partially_refunded' FROM payments WHERE id = :id", id=payment)
    assert [status for status, _ in await at_shop(mall, payment)] == ["succeeded"]
    # What was asked before something else went back is asked anew.
    await in_cabinet(mall, other, 5_000, "before-the-press")
    await person.wait_for("Вернули 50 ₽ из 199 ₽", timeout_s=chat.WAIT_S, since=0)
    assert await press(room, stale) is not None
    assert await mall.forma.scalar(REFUNDS, id=other) == "succeeded 5000"


async def test_parts_made_in_the_cabinet_are_booked_by_notification_or_by_the_lists(mall: Market) -> None:
    forma = mall.forma
    (told, one), (found, two), (waiting, three), (last, four) = await at_once(*(bought(mall) for _ in range(4)))
    await mall.shop.fault("duplicate", event="refund.*")
    await in_cabinet(mall, one, 4_000, "part-1")
    await in_cabinet(mall, one, 6_000, "part-2")
    await told.wait_for("Вернули 40 ₽ из 199 ₽", timeout_s=chat.WAIT_S, since=0)
    await forma.quiet_until(f"SELECT ({REFUNDS}) = 'succeeded 4000, succeeded 6000'", id=one)
    assert await forma.scalar(LEFT, id=one) in range(PACK - share(10_000), PACK - share(10_000) + 2)
    assert await forma.scalar(ALERT, notice="admin-alert-refunded-part-roubles", id=str(one)) == 2
    made = "SELECT count(*) FROM outbox WHERE payload -> 'args' ->> 'made' = 'there'"
    assert await forma.scalar(made) == await forma.scalar(made + " AND payload ->> 'notice' LIKE '%part%'") >= 2
    # The parts come to the whole: as a refund of the whole.
    await in_cabinet(mall, one, 9_900, "part-3")
    await forma.quiet_until(f"SELECT ({STATUS}) = 'refunded'", id=one)
    assert await forma.scalar(LEFT, id=one) == 0
    assert await forma.scalar(ALERT, notice="admin-alert-refunded-roubles", id=str(one)) == 1
    # A notification that never came; a part of ours that is on its way and gives way to one that was made there.
    await mall.shop.clear_faults()
    await mall.shop.fault("drop", event="refund.*")
    await in_cabinet(mall, two, 5_000, "part-4")
    await ordered(mall, three, 6_000)
    await in_cabinet(mall, three, 15_000, "part-5")
    await ordered(mall, four, 6_000)
    await in_cabinet(mall, four, 7_000, "part-6")
    await forma.advance(seconds=700)
    await mall.shop.control("POST", "clock", {"offset_s": forma.app.clock.offset.total_seconds()})
    summary = await reconcile_roubles.run(forma.app, cause="command")
    assert (summary.followed, summary.new, summary.comparison.classes) == (3, (), {})
    await found.wait_for("Вернули 50 ₽ из 199 ₽", timeout_s=chat.WAIT_S, since=0)
    await waiting.wait_for("Вернули 150 ₽ из 199 ₽", timeout_s=chat.WAIT_S, since=0)
    await last.wait_for("Вернули 70 ₽ из 199 ₽", timeout_s=chat.WAIT_S, since=0)
    assert await forma.scalar(REFUNDS, id=three) == "canceled 6000, succeeded 15000"
    assert await forma.scalar(LEFT, id=three) == PACK - share(15_000)
    assert await forma.scalar(ALERT, notice="admin-alert-refund-failed-roubles", id=str(three)) == 1
    await mall.sweep()
    await forma.quiet_until(f"SELECT ({REFUNDS}) = 'succeeded 6000, succeeded 7000'", id=four)
    assert sorted(await at_shop(mall, four)) == [("succeeded", 6_000), ("succeeded", 7_000)]
    # Again, from the beginning: nothing changes.
    again = await reconcile_roubles.run(forma.app, cause="schedule")
    assert (again.followed, again.new, again.comparison.theirs) == (0, (), again.comparison.ours)


async def test_a_part_whose_answer_is_lost_is_made_once(mall: Market) -> None:
    forma = mall.forma
    bills = await at_once(*(bought(mall) for _ in range(5)))
    await mall.shop.fault("drop", event="refund.*")
    for fault in ("http_500_after", "hang_after", "http_500"):
        await mall.shop.fault(fault, path=POSTS, method="POST", count=1)
    for _, payment in bills[:3]:
        await ordered(mall, payment, 5_000)
    await mall.sweep(seconds=1)
    kept = [await forma.scalar(REFUNDS, id=payment) for _, payment in bills[:3]]
    assert set(kept) == {"unknown 5000"}
    await mall.sweep()
    for person, payment in bills[:3]:
        await person.wait_for("Вернули 50 ₽ из 199 ₽", timeout_s=chat.WAIT_S, since=0)
        assert (await forma.scalar(REFUNDS, id=payment), await at_shop(mall, payment)) == (
            "succeeded 5000",
            [("succeeded", 5_000)],
        )
        assert await forma.scalar(LEFT, id=payment) == PACK - share(5_000)
    # One that YooKassa cancels, and one that it refuses because most went back there meanwhile, unheard.
    (declined, one), (refused, two) = bills[3:]
    await mall.shop.settings(refund_decline="insufficient_funds")
    await ordered(mall, one, 5_000)
    await mall.sweep()
    await mall.shop.settings(refund_decline=None)
    await in_cabinet(mall, two, 19_000, "first-there")
    await ordered(mall, two, 5_000)
    await mall.sweep()
    for person, payment in ((declined, one), (refused, two)):
        told = await person.wait_for("пока не вышло", timeout_s=chat.WAIT_S, since=0)
        assert "Токены этой покупки снова ваши" in told.text
        assert (await forma.scalar(REFUNDS, id=payment), await forma.scalar(LEFT, id=payment)) == (
            "canceled 5000",
            PACK,
        )
        assert await forma.scalar(STATUS, id=payment) == "succeeded"
    # Three workers hear of it at once.
    await forma.advance(seconds=700)
    await mall.shop.control("POST", "clock", {"offset_s": forma.app.clock.offset.total_seconds()})
    ends = await at_once(*(reconcile_roubles.run(forma.app, cause="command") for _ in range(3)))
    assert [end.comparison.theirs - end.comparison.ours for end in ends] == [0, 0, 0]
    assert await forma.scalar(REFUNDS, id=two) == "canceled 5000, succeeded 19000"
