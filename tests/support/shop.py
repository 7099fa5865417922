"""How a person buys in the chat, in either language: the labels they press and the steps they take."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

from billing import months
from tests.support.forma import Forma
from tests.support.stack import Stack
from tests.support.telegram import Person, Seen

WAIT_S = 30.0
PACK_TOKENS = """
    SELECT coalesce(sum(l.granted), 0) FROM lots l JOIN accounts a ON a.id = l.account_id
    WHERE a.person_id = :id AND l.kind = 'pack'
"""

CHECKOUT = "pre_checkout_query"


@dataclass(frozen=True)
class Tongue:
    """What a person of a language reads."""

    language: str
    plans: str
    free: str
    lite: str
    forma: str
    max: str
    year: str
    pack: str
    give: str
    pay: str
    connected: str
    paid: str
    bought: str
    pack_bought: str
    cancel: str
    cancel_yes: str
    cancelled: str
    resume: str
    renewed: str
    ended: str
    refunded: str


RU = Tongue(
    language="ru",
    plans="Планы на 30 дней",
    free="Бесплатный",
    lite="Лайт · 300 ⭐",
    forma="Форма · 600 ⭐",
    max="Макс · 1500 ⭐",
    year="Форма на год · 6000 ⭐",
    pack="Пакет 150 ⭐",
    give="🎁 Подарить",
    pay="Оплатить",
    connected="✓ Подключено",
    paid="✓ Оплачено",
    bought="≈ 2000 ответов. Отмена: /subscription",
    pack_bought="Пакет ваш: 300 000 токенов, ≈ 300 ответов",
    cancel="Отменить подписку",
    cancel_yes="Да, отменить",
    cancelled="Больше не спишем. Доступ до",
    resume="Возобновить",
    renewed="Списано 600 ⭐",
    ended="закончилась",
    refunded="Вернули",
)
EN = Tongue(
    language="en",
    plans="Plans for 30 days",
    free="Free",
    lite="Lite · 300 ⭐",
    forma="Forma · 600 ⭐",
    max="Max · 1,500 ⭐",
    year="Forma for a year · 6,000 ⭐",
    pack="Pack 150 ⭐",
    give="🎁 Give a gift",
    pay="Pay",
    connected="✓ Active",
    paid="✓ Paid",
    bought="≈ 2,000 answers. Cancel: /subscription",
    pack_bought="300,000 tokens, ≈ 300 answers",
    cancel="Cancel subscription",
    cancel_yes="Yes, cancel",
    cancelled="No more charges. Access until",
    resume="Resume",
    renewed="Charged 600 ⭐",
    ended="has ended",
    refunded="refunded",
)
TONGUES = {"ru": RU, "en": EN}


def url_of(sheet: Seen) -> str:
    """The invoice link that the payment's button opens."""
    return next(button["url"] for button in sheet.buttons if button.get("url"))


async def offer(person: Person, say: Tongue, command: str = "/plans") -> Seen:
    """Ask for what there is to buy."""
    await person.send(command)
    return await person.wait_for(say.plans, timeout_s=WAIT_S)


async def sheet(person: Person, say: Tongue, button: str) -> Seen:
    """Choose a product; the message with the button that pays."""
    await person.press(await offer(person, say), button)
    return await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)


async def buy(person: Person, say: Tongue, button: str) -> dict[str, Any]:
    """Choose and pay; the sheet's outcome."""
    return await person.pay(url_of(await sheet(person, say, button)))


async def subscribe(person: Person, say: Tongue) -> dict[str, Any]:
    """Buy the plan Forma and wait until it is there."""
    outcome = await buy(person, say, say.forma)
    assert outcome["state"] == "paid", outcome
    await person.wait_for(say.bought, timeout_s=WAIT_S)
    return outcome


async def card(person: Person, words: str, command: str = "/subscription") -> str:
    """What a command answers, with ordinary spaces; the words name which message is the answer."""
    await person.send(command)
    seen = await person.wait_for(words, timeout_s=WAIT_S)
    return seen.text.replace("\u00a0", " ").replace("\u202f", " ")


async def settled(forma: Forma) -> None:
    """Wait until every update is fetched and handled, and every person has got what there is; groups may lag."""
    sql = """
        SELECT NOT EXISTS (SELECT FROM inbox WHERE handled_at IS NULL)
           AND NOT EXISTS (SELECT FROM outbox WHERE chat_id > 0 AND status IN ('pending', 'sending'))
    """
    while (await forma.tg.state())["pending_updates"]:
        await forma.tg.wait_event("call", since=forma.tg.seq, timeout_s=WAIT_S)
    await forma.quiet_until(sql)


async def as_bot(forma: Forma | Stack, method: str, **body: Any) -> Any:
    """A call of the Bot API with the bot's own token, as its owner may make one by hand."""
    url = f"{forma.tg.base_url}/bot{forma.tg.token}/{method}"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        answer = await response.json()
    assert answer["ok"], answer
    return answer["result"]


async def pay_past_checkout(forma: Forma, payer: Person, link: str) -> dict[str, Any]:
    """Pay what Forma would refuse: the bot is down, and the checkout was let through before it went.

    Afterwards the bot is up again and finds the checkout and the payment among its updates.
    """
    await forma.stop("bot")
    try:
        since = forma.tg.seq
        paying = asyncio.create_task(payer.pay(link))
        await forma.tg.wait_event("update", lambda e: e["kind"] == CHECKOUT, since=since, timeout_s=WAIT_S)
        updates = await as_bot(forma, "getUpdates", timeout=0)
        [query] = [update[CHECKOUT] for update in updates if CHECKOUT in update]
        await as_bot(forma, "answerPreCheckoutQuery", pre_checkout_query_id=query["id"], ok=True)
        return await paying
    finally:
        await forma.start("bot")


def next_year(forma: Forma) -> str:
    """The year in which what is bought now for twelve months ends."""
    now = forma.app.clock.now()
    return str(months.later(now, months=12, anchor_day=now.day).year)


def said(person: Person, words: str) -> list[Seen]:
    """The bot's messages to a person that hold these words."""
    return [seen for seen in person.messages() if words in seen.text.replace("\u00a0", " ")]
