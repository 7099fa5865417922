"""Promo codes from both sides: the operator makes, lists and ends them; people use them by command, link or answer."""

import asyncio

import pytest

from app import admin_requests
from app.promo import TRIES_MAX
from billing import promos
from billing.promos import Terms
from tests.e2e.conftest import ADMIN_GROUP
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S, Tongue
from tests.support.telegram import Group, Person, Seen

Room = tuple[Group, Person]
ASK = {"ru": "Пришлите промокод ответом", "en": "Send your promo code as a reply"}
LOT = """
    SELECT coalesce(sum(l.remaining), 0) FROM lots l JOIN accounts a ON a.id = l.account_id
    WHERE a.person_id = :id AND l.kind = 'promo'
"""


@pytest.fixture(scope="module")
async def room(forma: Forma) -> Room:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    return group, operator


async def ask(room: Room, text: str, words: str) -> Seen:
    """What a command is answered in the admin group."""
    group, operator = room
    await operator.send(text, chat=group)
    return await operator.wait_for(words, chat=group, timeout_s=90)


async def make(forma: Forma, name: str, terms: Terms) -> None:
    """A code that the operator has made."""
    async with forma.app.db.transaction() as tx:
        await promos.create(tx, code=name, terms=terms, created_by=1, now=forma.app.clock.now())


async def test_a_code_is_made_used_listed_and_ended(forma: Forma, room: Room) -> None:
    group, operator = room
    person = await forma.person("ru")
    assert "Есть промокод" not in (await shop.offer(person, shop.RU)).labels  # nobody is asked for what there is not
    question = await ask(room, "/promo new Весна tokens=50_000 days=30 uses=1 until=2099-12-31", "Завести промокод")
    assert "ВЕСНА? 50 000 токенов, ≈ 50 ответов на 30 дней, по 31 дек. 2099, использований не больше 1." in plain(
        question
    )
    other = await forma.tg.person(first_name="Второй", language_code="ru")
    await group.set_member(other.id, "administrator")
    toast = await other.toast(await other.press(question, "Завести"), timeout_s=WAIT_S)
    assert "кто отправил" in toast["text"]
    async with forma.app.db.transaction() as tx:
        grant = {"tokens": 10, "reason": "проверка"}
        number = await admin_requests.ask(
            tx, actor_id=operator.id, action="grant", subject_id=0, details=grant, now=forma.app.clock.now()
        )
    for made_up in (f"promo:yes:{number}", "promo:yes:x", "promo:", f"promo:yes:{'9' * 40}"):
        pressed = await operator.press(question, data=made_up)
        assert "устарело" in (await operator.toast(pressed, timeout_s=WAIT_S))["text"]
    assert await forma.scalar("SELECT count(*) FROM promo_codes") == 0
    await operator.press(question, "Завести")
    await operator.wait_for("Завёл Оператор", chat=group, timeout_s=WAIT_S)
    toast = await operator.toast(await operator.press(question, data=question.buttons[0]["callback_data"]))
    assert "устарело" in toast["text"]
    offer = await shop.offer(person, shop.RU)
    await person.press(offer, "Есть промокод")
    asked = await person.wait_for(ASK["ru"], timeout_s=WAIT_S)
    await person.send("весна", reply_to_message_id=asked.id)
    await person.wait_for("Промокод принят: 50 000 токенов, ≈ 50 ответов", timeout_s=WAIT_S)
    assert await forma.scalar(LOT, id=person.id) == 50_000
    await person.send("/balance")
    await person.wait_for("по промокоду: 50 000", timeout_s=WAIT_S)
    await person.send("/promo ВЕСНА")
    await person.wait_for("Промокод ВЕСНА вы уже использовали", timeout_s=WAIT_S)
    row = await ask(room, "/promo list", "Промокоды")
    assert "использован 1 из 1 · исчерпан" in plain(row)
    ending = await ask(room, "/promo end весна", "Закончить промокод ВЕСНА?")
    await operator.press(ending, "Закончить")
    await operator.wait_for("Промокод ВЕСНА закончен", chat=group, timeout_s=WAIT_S)
    audit = "SELECT array_agg(action || ':' || actor_id ORDER BY id) FROM audit_log WHERE details ->> 'code' = 'ВЕСНА'"
    assert await forma.scalar(audit) == [
        f"promo_new:{operator.id}",
        f"promo:{person.id}",
        f"promo_end:{operator.id}",
    ]
    assert await forma.violations() == []


def plain(seen: Seen) -> str:
    return seen.text.replace("\u00a0", " ").replace("\u202f", " ")


async def test_a_percentage_by_link_makes_a_pack_cheaper_and_a_plan_richer(forma: Forma) -> None:
    await make(forma, "SUMMER", Terms("percent", percent=20))
    await asyncio.gather(*(_percentage(forma, TONGUES[language], "promo_SUMMER") for language in TONGUES))
    assert await forma.scalar("SELECT uses FROM promo_codes WHERE code = 'SUMMER'") == 2
    assert await forma.violations() == []


async def _percentage(forma: Forma, say: Tongue, link: str) -> None:
    """A newcomer by the link: greeted, given the percentage, buys a pack (ru) or a plan (en)."""
    person = await forma.tg.person(first_name="Тест", language_code=say.language, stars=5_000)
    await person.start(link)
    await person.wait_for("/terms", timeout_s=WAIT_S, since=0)
    words = {"ru": "станет дешевле на 20 %", "en": "costs 20 % less"}[say.language]
    assert "SUMMER" in (await person.wait_for(words, timeout_s=WAIT_S, since=0)).text
    offer = await shop.offer(person, say)
    assert {"ru": "Ваш промокод SUMMER", "en": "Your promo code SUMMER"}[say.language] in offer.text
    await person.press(offer, {"ru": say.pack, "en": say.forma}[say.language])
    sheet = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    if say.language == "ru":
        assert "По промокоду: 120 ⭐ вместо 150 ⭐" in plain(sheet)
        assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"
        await person.wait_for(say.pack_bought, timeout_s=WAIT_S)
        assert await person.stars() == 4_880
    else:
        assert "By promo code the first payment brings 400,000 tokens" in sheet.text
        assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"
        await person.wait_for("And by promo code: 400,000 tokens", timeout_s=WAIT_S)
        assert (await person.stars(), await forma.scalar(LOT, id=person.id)) == (4_400, 400_000)


async def test_days_are_shown_as_they_are_and_wait_for_a_plan_that_is_as_good(forma: Forma) -> None:
    await make(forma, "WEEK", Terms("days", days=7, plan_id="forma", uses_max=5))
    await make(forma, "BEST", Terms("days", days=3, plan_id="max"))
    guest, payer, both = await forma.person("en"), await forma.person("ru"), await forma.person("en")
    await asyncio.gather(_days_begin(guest), _days_wait(payer), _days_beside(both))
    await forma.advance(days=6, hours=1)
    await guest.wait_for("Your free days of Forma end on", timeout_s=WAIT_S, since=0)
    await forma.advance(days=1)
    await guest.wait_for("your free days have ended", timeout_s=WAIT_S, since=0)
    await forma.advance(days=24)
    await payer.wait_for("Начались ваши дни по промокоду: Форма", timeout_s=WAIT_S, since=0)
    assert await forma.scalar(LOT, id=payer.id) == 466_667
    assert (await payer.stars(), await guest.stars()) == (4_400, 5_000)
    assert await forma.violations() == []


async def _days_begin(guest: Person) -> None:
    await guest.send("/promo week")
    await guest.wait_for("Promo code accepted: Forma until", timeout_s=WAIT_S)
    await guest.send("/subscription")
    await guest.wait_for("nothing to pay. It ends by itself and charges nothing", timeout_s=WAIT_S)


async def _days_beside(both: Person) -> None:
    """Whoever has better days beside a plan that renews sees both, and can cancel what charges."""
    await shop.subscribe(both, shop.EN)
    await both.send("/promo best")
    await both.wait_for("Promo code accepted: Max until", timeout_s=WAIT_S)
    await both.send("/subscription")
    card = await both.wait_for("Max: until", timeout_s=WAIT_S)
    assert "then renews for 600 ⭐" in plain(card)
    assert "Cancel Forma" in card.labels


async def _days_wait(payer: Person) -> None:
    await shop.subscribe(payer, shop.RU)
    await payer.send("/promo Week")
    await payer.wait_for("поэтому дни начнутся, когда он закончится", timeout_s=WAIT_S)
    await payer.send("/subscription")
    await payer.wait_for("Ждут своей очереди: 7 дней «Форма», ≈ 466 ответов", timeout_s=WAIT_S)
    await payer.cancel_subscription((await payer.subscriptions())[0]["id"])
    await payer.wait_for("Больше не спишем. Доступ до", timeout_s=WAIT_S)


async def test_guessing_is_bounded_and_hostile_codes_change_nothing(forma: Forma) -> None:
    person = await forma.person("en")
    hostile = (
        "'; DROP TABLE promo_codes; --",
        "X" * 4_000,
        "😀😀😀",
        "{ $promo }",
        "<b>CODE</b>",
        "%",
        "ÀÉÎ",
        "-_-_-",
    )
    for text in (*hostile, "GUESS9", "GUESS10")[:TRIES_MAX]:
        await person.send(f"/promo {text}")
    await person.send("/promo GUESS11")
    await person.start("promo_WEEK")
    answered = """
        SELECT count(*) = :times FROM outbox
        WHERE chat_id = :id AND payload -> 'data' ->> 'text' LIKE :words || '%'
    """
    words = {"There is no such promo code": TRIES_MAX, "Too many tries. You can enter a promo code in 1": 2}
    for begins, times in words.items():
        await forma.quiet_until(answered, id=person.id, words=begins, times=times)
    assert await forma.scalar("SELECT count(*) FROM promo_redemptions WHERE person_id = :id", id=person.id) == 0
    assert await forma.scalar("SELECT count(*) FROM inbox WHERE error IS NOT NULL") == 0
