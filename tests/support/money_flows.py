"""Flows of money as a person lives them who tries again when nothing happens: what the kill points are set in.

Each runs on Forma's real processes, any of which may be gone at any moment and be started again. A flow ends when the
person was told.
"""

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp

from app import card_renewals, rouble_payments, rouble_refunds
from app.context import App
from billing import promos
from billing.promos import Terms
from tests.support import shop as chat
from tests.support.roubles import EMAIL, Browser
from tests.support.shop_driver import SandboxShop
from tests.support.stack import Stack
from tests.support.telegram import Group, Person, Seen

WAIT_S = 40.0
# The schedules run once a minute; the one that was killed runs again in the next.
SCHEDULE_S = 150.0
TRIES_MAX = 5
# How long one waits before trying again what may have been lost.
PATIENCE_S = 4.0
PACK, PLAN, BETTER = "Пакет 150 ⭐", "Форма · 600 ⭐", "max"
ROUBLE_PACK = "Пакет токенов · 199 ₽"
TOLD = {PACK: "Пакет ваш", PLAN: "≈ 2000 ответов"}
GIFT_LINK = re.compile(r"\?start=(gift_[\w-]+)")
PAID = "SELECT max(id) FROM payments WHERE payer_id = :id"

_codes = itertools.count(1)


@dataclass
class Scene:
    """Forma's processes, the group of its operator, and the shop with a browser and one more process's sweep."""

    stack: Stack
    shop: SandboxShop
    browser: Browser
    sweeper: App
    group: Group
    operator: Person
    friends: dict[int, Person] = field(default_factory=dict)
    codes: dict[int, str] = field(default_factory=dict)

    async def pass_time(self, **by: float) -> None:
        """Move the one clock of Telegram, the shop and Forma."""
        await self.stack.advance(**by)
        clock = await self.stack.tg.control("GET", "clock")
        await self.shop.control("POST", "clock", {"offset_s": float(clock["offset_s"])})
        self.sweeper.clock.offset = timedelta(seconds=int(clock["offset_s"]))

    async def sweep(self) -> None:
        """Two minutes pass, and somebody else's schedule looks after payments and refunds in roubles."""
        await self.pass_time(seconds=120)
        await rouble_payments.sweep(self.sweeper)
        await card_renewals.sweep(self.sweeper)
        await rouble_refunds.sweep(self.sweeper)


Flow = Callable[[Scene, Person], Awaitable[None]]


async def nothing(_: Scene, person: Person) -> None:
    """What comes before the flow: nothing."""


async def button(person: Person, prefix: str, **wait: Any) -> tuple[Seen, str]:
    """Wait for a message with a button of this kind; the message, and what the button sends."""

    def has(seen: Seen) -> bool:
        return any((button.get("callback_data") or "").startswith(prefix) for button in seen.buttons)

    seen = await person.wait_for(has, timeout_s=WAIT_S, **wait)
    data = [button.get("callback_data") or "" for button in seen.buttons]
    return seen, next(one for one in data if one.startswith(prefix))


async def press(person: Person, prefix: str) -> None:
    """Press the first button of this kind that comes."""
    seen, data = await button(person, prefix)
    await person.press(seen, data=data)


async def _pay(person: Person, words: str) -> None:
    """Pay the sheet that comes, by its link as often as needed, until told."""
    sheet = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    for _ in range(TRIES_MAX):
        outcome = await person.pay(chat.url_of(sheet))
        if outcome["state"] == "paid":
            break
        assert outcome["state"] in {"timeout", "refused"}, outcome
    else:
        raise AssertionError("nobody let this person pay")
    await person.wait_for(words, timeout_s=WAIT_S)


async def buy(person: Person, product: str) -> None:
    await person.send("/plans")
    offer = await person.wait_for("Планы", timeout_s=WAIT_S)
    await person.press(offer, product)
    await _pay(person, TOLD[product])


async def buy_pack(_: Scene, person: Person) -> None:
    await buy(person, PACK)


async def buy_plan(_: Scene, person: Person) -> None:
    await buy(person, PLAN)


async def renew(scene: Scene, person: Person) -> None:
    """Telegram charges for the next month."""
    mark = scene.stack.tg.seq
    await scene.stack.advance(days=30, hours=1)
    await person.wait_for("Списано 600 ⭐", timeout_s=WAIT_S, since=mark)


async def reminded(scene: Scene, person: Person) -> None:
    """A charge is three days away, and the worker says so."""
    mark = scene.stack.tg.seq
    await scene.stack.advance(days=27, hours=1)
    await person.wait_for("спишется 600 ⭐", timeout_s=SCHEDULE_S, since=mark)


async def want_back(person: Person) -> None:
    """Press what gives the latest payment back."""
    await person.send("/payments")
    await press(person, "refund:")
    await press(person, "refund-yes:")


async def refund_own(_: Scene, person: Person) -> None:
    """By the rule, in /payments."""
    await want_back(person)
    await person.wait_for("Вернули 150 ⭐", timeout_s=WAIT_S)


async def refund_by_operator(scene: Scene, person: Person) -> None:
    """The operator's /refund, looked at and typed again until the person was told."""
    mark, number = scene.stack.tg.seq, await scene.stack.scalar(PAID, id=person.id)
    await look_at(scene, person, number)
    await insist(scene, person, f"/refund {number} 150", "Вернули 150 ⭐", mark)


async def look_at(scene: Scene, person: Person, number: int) -> None:
    """The operator's first step of a refund, and the delay before the second."""
    await scene.operator.send(f"/refund {number}", chat=scene.group)
    await scene.stack.until("SELECT count(*) FROM admin_requests WHERE subject_id = :id", WAIT_S, id=person.id)
    await scene.pass_time(seconds=15)


async def insist(scene: Scene, person: Person, command: str, words: str, mark: int) -> None:
    """The operator repeats a command until the person was told; a repetition changes nothing."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_S:
        await scene.operator.send(command, chat=scene.group)
        with contextlib.suppress(TimeoutError):
            await person.wait_for(words, timeout_s=PATIENCE_S, since=mark)
            return
    raise AssertionError(f"{command} led to no word for {person.id}")


async def refund_by_provider(scene: Scene, person: Person) -> None:
    """Past Forma, by the bot's own token."""
    charge = await scene.stack.scalar("SELECT provider_payment_id FROM payments WHERE payer_id = :id", id=person.id)
    mark = scene.stack.tg.seq
    await chat.as_bot(scene.stack, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=charge)
    await person.wait_for("Вернули 150 ⭐", timeout_s=WAIT_S, since=mark)


async def change_up(_: Scene, person: Person) -> None:
    """A better plan is paid at once, and the old one stops renewing, here and at Telegram."""
    await person.send("/subscription")
    await press(person, "change:")
    seen, data = await button(person, "change-to:")
    await person.press(seen, data=f"{data.rpartition(':')[0]}:{BETTER}")
    await _pay(person, "больше не продлится")


async def change_down(_: Scene, person: Person) -> None:
    await person.send("/subscription")
    await press(person, "change:")
    seen, data = await button(person, "change-to:")
    await person.press(seen, data=f"{data.rpartition(':')[0]}:lite")
    await press(person, "change-down:")
    await person.wait_for("тогда предложим «Лайт»", timeout_s=WAIT_S)
    assert [one["state"] for one in await person.subscriptions()] == ["canceled"]


async def pay_unheard(scene: Scene, person: Person) -> None:
    """Telegram's word of a payment is lost, and two hours pass."""
    await scene.stack.tg.fault("successful_payment", "lose", chat_id=person.id, count=1)
    await person.send("/plans")
    await person.press(await person.wait_for("Планы", timeout_s=WAIT_S), PACK)
    sheet = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    assert (await person.pay(chat.url_of(sheet)))["state"] == "paid"
    await scene.stack.tg.clear_faults()
    await scene.stack.advance(hours=2)


async def reconcile(scene: Scene, person: Person) -> None:
    """The operator has the lists compared: what was lost is found and credited."""
    await insist(scene, person, "/reconcile", TOLD[PACK], scene.stack.tg.seq)


async def give(scene: Scene, person: Person) -> None:
    await person.send("/plans")
    await press(person, "give")
    seen, _ = await button(person, "gift-buy:")
    await person.press(seen, data="gift-buy:pack")
    await _pay(person, "в подарок оплачен")


async def give_to_a_friend(scene: Scene, person: Person) -> None:
    await give(scene, person)
    [scene.friends[person.id]] = await scene.stack.persons(1, "ru")


async def take_gift(scene: Scene, person: Person) -> None:
    """A friend opens the link of a gift; both are told."""
    friend = scene.friends[person.id]
    links = [found[1] for seen in person.messages() if (found := GIFT_LINK.search(seen.text))]
    mark = scene.stack.tg.seq
    await friend.start(links[-1])
    await friend.wait_for("» ваш", timeout_s=WAIT_S)
    await person.wait_for("уже с подарком", timeout_s=WAIT_S, since=mark)


async def take_gift_back(scene: Scene, person: Person) -> None:
    """The giver withdraws what nobody opened, and gets the Stars back."""
    gift = await scene.stack.scalar("SELECT max(id) FROM gifts WHERE giver_id = :id", id=person.id)
    seen = next(seen for seen in reversed(person.messages()) if seen.buttons)
    await person.press(seen, data=f"gift-back:{gift}")
    await press(person, "gift-back-yes:")
    await person.wait_for("Вернули 150 ⭐", timeout_s=WAIT_S)


async def try_for_free(_: Scene, person: Person) -> None:
    await person.send("/plans")
    await press(person, "trial")
    await person.wait_for("Форма на пробу: до", timeout_s=WAIT_S)


async def code_is_made(scene: Scene, person: Person) -> None:
    """A promo code with one use for this person."""
    scene.codes[person.id] = code = f"КОД{next(_codes)}"
    terms = Terms("tokens", tokens=50_000, days=30, uses_max=1)
    async with scene.stack.db.transaction() as tx:
        await promos.create(tx, code=code, terms=terms, created_by=1, now=scene.sweeper.clock.now())


async def redeem_code(scene: Scene, person: Person) -> None:
    await person.send(f"/promo {scene.codes[person.id]}")
    await person.wait_for("Промокод принят", timeout_s=WAIT_S)


async def pay_roubles(scene: Scene, person: Person) -> None:
    """A pack by YooKassa: the page, its button, the shop's page, and the word in the chat."""
    mark = await pay_at_the_shop(scene, person)
    await told(scene, person, TOLD[PACK], mark)


async def pay_at_the_shop(scene: Scene, person: Person, product: str = ROUBLE_PACK, **ticked: str) -> int:
    """Buy for roubles as far as the shop's own page; what Telegram saw last before it was paid. `ticked`: fields."""
    await person.send("/plans")
    await person.press(await person.wait_for("Планы", timeout_s=WAIT_S), product)
    return await pay_the_sheet(scene, person, **ticked)


async def pay_the_sheet(scene: Scene, person: Person, **ticked: str) -> int:
    """Pay at the shop what comes; as above."""
    sheet = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    mark = scene.stack.tg.seq
    await scene.shop.pay(await _checkout(scene, chat.url_of(sheet), **ticked))
    return mark


async def told(scene: Scene, person: Person, words: str, since: int) -> None:
    """Wait until the person hears; each time they have waited long enough, a schedule looks after the payment."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_S:
        with contextlib.suppress(TimeoutError):
            await person.wait_for(words, timeout_s=PATIENCE_S, since=since)
            return
        await scene.sweep()
    raise AssertionError(f"nobody told {person.id}: {words}")


async def _checkout(scene: Scene, url: str, **ticked: str) -> str:
    """Press the page's button, again where the page was away or knows of no outcome; the shop's number."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_S:
        try:
            page = await scene.browser.open(url)
            went = await scene.browser.press(url, page, email=EMAIL, **ticked)
        except (aiohttp.ClientError, OSError):
            await asyncio.sleep(0.2)
            continue
        if went.status == 303:
            return went.to.rpartition("/")[2]
        await asyncio.sleep(0.2)
    raise AssertionError(f"no way to the shop's page: {went.text}")
