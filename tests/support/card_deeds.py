"""What a person of the crowd may do about a card that pays for a plan every month; see tests.support.deeds."""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from tests.support import shop
from tests.support.deeds import Deed, answer_to, follow, pay_link, pay_on_the_page
from tests.support.shop import RU
from tests.support.telegram import Person

if TYPE_CHECKING:
    from tests.support.life import Crowd

MONTHS_FOR_ROUBLES = ("Лайт · 399 ₽", "Форма · 799 ₽")
KEPT_SHARE = 0.8
# What the next charges of a card get, and how many of them: None is all, until somebody tops the card up.
DECLINES: Sequence[tuple[str | None, int | None]] = (
    ("insufficient_funds", 1), ("insufficient_funds", None), ("card_expired", None), ("general_decline", 1),
    ("internal_timeout", 1), ("permission_revoked", None), (None, None), (None, None),
)  # fmt: skip
METHOD = "SELECT max(provider_method_id) FROM payment_methods WHERE person_id = :id AND status = 'active'"


async def subscribe_by_card(crowd: "Crowd", person: Person, dice: Random) -> None:
    """A month for roubles; most let their card be charged for the next ones."""
    url = await pay_link(person, await shop.offer(person, RU), dice.choice(MONTHS_FOR_ROUBLES))
    await pay_on_the_page(crowd, url, dice, **({"keep": "yes"} if dice.random() < KEPT_SHARE else {}))


async def cancel_in_the_chat(_: "Crowd", person: Person, dice: Random) -> None:
    """Whatever pays for it."""
    question = await follow(person, await answer_to(person, "/subscription"), "cancel:")
    if question is not None:
        await follow(person, question, "cancel-yes:", answered=False)


async def resume_in_the_chat(_: "Crowd", person: Person, dice: Random) -> None:
    await follow(person, await answer_to(person, "/subscription"), "resume:", answered=False)


async def remove_the_card(_: "Crowd", person: Person, dice: Random) -> None:
    question = await follow(person, await answer_to(person, "/subscription"), "card-remove:")
    if question is not None:
        await follow(person, question, "card-remove-yes:", answered=False)


async def pay_the_next_month(crowd: "Crowd", person: Person, dice: Random) -> None:
    """With another card, before or after a charge failed, or again after the card was removed."""
    lead = await follow(person, await answer_to(person, "/subscription"), "card-pay:")
    if lead is not None and any(button.get("url") for button in lead.buttons):
        await pay_on_the_page(crowd, shop.url_of(lead), dice, **({"keep": "yes"} if dice.random() < KEPT_SHARE else {}))


async def change_the_cards_luck(crowd: "Crowd", person: Person, dice: Random) -> None:
    """The card is emptied, runs out, is stopped at its bank, or is topped up."""
    method = await crowd.forma.scalar(METHOD, id=person.id)
    if method is not None:
        reason, times = dice.choice(DECLINES)
        await crowd.market.shop.declines(method, reason, times)


DEEDS: Sequence[tuple[int, Deed]] = (
    (12, subscribe_by_card), (3, cancel_in_the_chat), (3, resume_in_the_chat), (2, remove_the_card),
    (4, pay_the_next_month), (8, change_the_cards_luck),
)  # fmt: skip
