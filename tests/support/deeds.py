"""What a person of the crowd may do on a day, each as it is done in the chat, in Telegram's settings or on a page.
What is done with a saved card stands in tests.support.card_deeds.

A deed asserts nothing: whoever may not do it now is told so, and the auditor looks at what the books say afterwards.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sandbox.shop import refunds
from tests.support import shop
from tests.support.roubles import EMAIL
from tests.support.shop import RU
from tests.support.shop_driver import ShopControlError
from tests.support.telegram import ControlError, Person, Seen

if TYPE_CHECKING:
    from tests.support.life import Crowd

WAIT_S = 60.0
PURSE = 2_000
PACK_FOR_ROUBLES = "Пакет токенов · 199 ₽"
TRIAL = "7 дней бесплатно"
GIFTS = ("Форма, месяц · 600 ⭐", "Форма на год · 6000 ⭐", "Пакет токенов · 150 ⭐")
GIFT_LINK = re.compile(r"\?start=(gift_[\w-]+)")
PURSES = (0, PURSE, 4 * PURSE)
# How a card ends on the shop's page: declined, asked by its bank, or simply good.
CARDS: Sequence[tuple[int, dict[str, Any]]] = (
    (12, {"card": "5555555555554444"}),
    (2, {"card": "5555555555554600"}),
    (1, {"card": "5555555555554527"}),
    (3, {"card": "5555555555554477", "confirm_3ds": True}),
    (1, {"card": "5555555555554477", "confirm_3ds": False}),
    (1, {"card": "5555555555554477"}),  # the bank's question stays unanswered
    (1, {"card": "2200990000000014"}),
)
ABANDONED_SHARE = 0.15
PAID = """
    SELECT id, amount, currency, provider_payment_id AS charge FROM payments
    WHERE payer_id = :id AND status IN ('succeeded', 'partially_refunded') AND provider = ANY(:providers)
    ORDER BY id DESC LIMIT 1
"""

Deed = Callable[["Crowd", Person, Random], Awaitable[None]]


async def subscribe(_: "Crowd", person: Person, dice: Random) -> None:
    """Buy a plan, whichever; whoever has one is told so, and whoever has not enough is not charged."""
    await _buy(person, dice.choice([RU.lite, RU.forma, RU.max]))


async def buy_year(_: "Crowd", person: Person, dice: Random) -> None:
    await _buy(person, RU.year)


async def buy_pack(_: "Crowd", person: Person, dice: Random) -> None:
    await _buy(person, RU.pack)


async def _buy(person: Person, button: str) -> None:
    sheet = await pay_link(person, await shop.offer(person, RU), button)
    if sheet:
        await person.pay(sheet)


async def pay_link(person: Person, offer: Seen, button: str) -> str | None:
    """The link that pays, None where the product cannot be bought by this person now."""
    if not any(button in plain(label) for label in offer.labels):
        return None
    if not await taken(person, offer, button=button):
        return None
    seen = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    return shop.url_of(seen)


async def pay_in_roubles(crowd: "Crowd", person: Person, dice: Random) -> None:
    """A pack on the operator's page and the shop's."""
    await pay_on_the_page(crowd, await pay_link(person, await shop.offer(person, RU), PACK_FOR_ROUBLES), dice)


async def pay_on_the_page(crowd: "Crowd", url: str | None, dice: Random, **ticked: str) -> None:
    """What is offered at an address: paid, declined, asked about by the bank, or left. `ticked`: fields of the page."""
    if url is None:
        return
    browser = crowd.market.browser
    page = await browser.open(url)
    if not page.fields:  # an earlier payment goes on
        return
    went = await browser.press(url, page, email=EMAIL, **ticked)
    if went.status != 303 or dice.random() < ABANDONED_SHARE:
        return
    [card] = dice.choices([choice for _, choice in CARDS], [weight for weight, _ in CARDS])
    with suppress(ShopControlError):  # what has lapsed cannot be paid
        await crowd.market.shop.pay(went.to.rpartition("/")[2], **card)


async def cancel(_: "Crowd", person: Person, dice: Random) -> None:
    """In Telegram's own settings."""
    await _in_settings(person, "active", person.cancel_subscription)


async def resume(_: "Crowd", person: Person, dice: Random) -> None:
    await _in_settings(person, "canceled", person.resume_subscription)


async def _in_settings(person: Person, state: str, act: Callable[[str], Awaitable[Any]]) -> None:
    for one in await person.subscriptions():
        if one["state"] == state:
            try:
                await act(one["id"])
            except ControlError:  # what the bot has cancelled cannot be resumed here
                continue
            return


async def change_plan(crowd: "Crowd", person: Person, dice: Random) -> None:
    """To a better plan, which is paid at once, in Stars or on a page, or to a cheaper one, which waits."""
    options = await follow(person, await answer_to(person, "/subscription"), "change:")
    if options is None:
        return
    choices = [button for button in options.buttons if (button.get("callback_data") or "").startswith("change-to:")]
    if not choices or not await taken(person, options, data=dice.choice(choices)["callback_data"]):
        return
    answer = await person.wait_for(lambda seen: seen.buttons, timeout_s=WAIT_S)
    if not any(button.get("url") for button in answer.buttons):
        await follow(person, answer, "change-down:", answered=False)
    elif "/pay/" in (url := shop.url_of(answer)):
        await pay_on_the_page(crowd, url, dice)
    else:
        await person.pay(url)


async def give(crowd: "Crowd", person: Person, dice: Random) -> None:
    choice = await follow(person, await shop.offer(person, RU), "give")
    if choice is not None:
        sheet = await pay_link(person, choice, dice.choice(GIFTS))
        if sheet and (await person.pay(sheet))["state"] == "paid":
            crowd.givers.append(person)


async def open_a_gift(crowd: "Crowd", person: Person, dice: Random) -> None:
    """By the link that a friend sent; the friend may have opened it first."""
    if not crowd.givers:
        return
    giver = crowd.givers.pop(dice.randrange(len(crowd.givers)))
    links = [found[1] for seen in giver.messages() if (found := GIFT_LINK.search(seen.text))]
    if links:
        await person.start(links[-1])
        await person.wait_for(lambda seen: seen.text, timeout_s=WAIT_S)


async def try_for_free(_: "Crowd", person: Person, dice: Random) -> None:
    offer = await shop.offer(person, RU)
    if TRIAL in offer.labels:
        await taken(person, offer, button=TRIAL)


async def enter_a_code(_: "Crowd", person: Person, dice: Random) -> None:
    await answer_to(person, f"/promo {dice.choice(['ЖИЗНЬ', 'СКИДКА', 'НЕДЕЛЯ', 'НЕТТАКОГО'])}")


async def spend_the_purse(_: "Crowd", person: Person, dice: Random) -> None:
    """The next charge fails."""
    await person.change(stars=0)


async def fill_the_purse(_: "Crowd", person: Person, dice: Random) -> None:
    await person.change(stars=dice.choice(PURSES))


async def ask(_: "Crowd", person: Person, dice: Random) -> None:
    """A question, which costs tokens; a person may be out of them."""
    await answer_to(person, "[[tokens: 20]] Сколько белка мне нужно?")


async def ask_the_money_back(_: "Crowd", person: Person, dice: Random) -> None:
    """In /payments: what the rule allows is refunded at once."""
    question = await follow(person, await answer_to(person, "/payments"), "refund:")
    if question is not None:
        await follow(person, question, "refund-yes:", answered=False)


async def ask_roubles_back(crowd: "Crowd", person: Person, dice: Random) -> None:
    """The same for the latest payment in roubles, where it stands on the first page."""
    paid = await _paid(crowd, person, "yookassa")
    if paid is None:
        return
    question = await follow(person, await answer_to(person, "/payments"), f"refund:{paid.id}")
    if question is not None:
        await follow(person, question, "refund-yes:", answered=False)


async def _paid(crowd: "Crowd", person: Person, *providers: str) -> Any:
    """A person's latest payment whose money is here."""
    async with crowd.forma.app.db.read() as connection:
        return (await connection.execute(sa.text(PAID), {"id": person.id, "providers": list(providers)})).one_or_none()


async def complain(crowd: "Crowd", person: Person, dice: Random) -> None:
    """The operator looks at somebody's latest payment, and means to refund it."""
    assert crowd.room is not None
    group, operator = crowd.room
    paid = await _paid(crowd, person, "stars", "yookassa")
    if paid is not None:
        whole, rest = divmod(paid.amount, 100)
        roubles = f"{whole}.{rest:02}" if rest else str(whole)
        crowd.looked.append((paid.id, roubles if paid.currency == "RUB" else str(paid.amount)))
        await operator.send(f"/refund {paid.id}", chat=group)


async def refund_what_was_looked_at(crowd: "Crowd") -> None:
    """The operator types each payment again, with its amount."""
    assert crowd.room is not None
    group, operator = crowd.room
    for number, amount in crowd.looked:
        await operator.send(f"/refund {number} {amount}", chat=group)
    crowd.looked.clear()


async def be_refunded_past_forma(crowd: "Crowd", person: Person, dice: Random) -> None:
    """The operator refunds a payment by hand, past Forma."""
    paid = await _paid(crowd, person, "stars")
    if paid is not None and not crowd.market.telegram.world.state.payments[paid.charge].refunded:
        await shop.as_bot(crowd.forma, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=paid.charge)


async def be_refunded_in_the_cabinet(crowd: "Crowd", person: Person, dice: Random) -> None:
    """Somebody gives a payment back in the shop's cabinet, or a part of it; Forma may not be told of it."""
    paid, world = await _paid(crowd, person, "yookassa"), crowd.market.server.world
    if paid is not None and (left := world.state.payments[paid.charge].refundable):
        back = {"payment_id": paid.charge, "amount": dice.choice([left, dice.randint(1, left)])}
        refunds.create(world, back | {"description": None, "metadata": {}, "receipt": None})


async def answer_to(person: Person, command: str) -> Seen:
    """What comes after a command: its answer, or a notice that came first."""
    await person.send(command)
    return await person.wait_for(lambda seen: seen.text, timeout_s=WAIT_S)


async def taken(person: Person, seen: Seen, *, button: str | None = None, data: str | None = None) -> bool:
    """Press a button; False if a toast refused."""
    pressed = await (person.press(seen, button) if button else person.press(seen, data=data))
    return not (await person.toast(pressed, timeout_s=WAIT_S))["text"]


async def follow(person: Person, seen: Seen, prefix: str, *, answered: bool = True) -> Seen | None:
    """Press the first button of this kind and return what it brought; None if there is none, or it was refused."""
    for button in seen.buttons:
        data = button.get("callback_data") or ""
        if data.startswith(prefix):
            if not await taken(person, seen, data=data) or not answered:
                return None
            return await person.wait_for(lambda seen: seen.text, timeout_s=WAIT_S)
    return None


def plain(label: str) -> str:
    return label.replace("\u00a0", " ")


DEEDS: Sequence[tuple[int, Deed]] = (
    (22, subscribe), (2, buy_year), (8, buy_pack), (14, pay_in_roubles), (7, cancel), (4, resume), (6, change_plan),
    (4, give), (4, open_a_gift), (4, try_for_free), (5, enter_a_code), (5, spend_the_purse), (14, fill_the_purse),
    (20, ask), (3, ask_the_money_back), (3, ask_roubles_back), (3, complain), (2, be_refunded_past_forma),
    (2, be_refunded_in_the_cabinet),
)  # fmt: skip
