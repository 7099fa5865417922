"""What customers do on the checkout page: choose a card or SBP, pass 3-D Secure, let a card be saved or not."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.shop import methods, payments
from sandbox.shop.cards import CARDS, REASONS, TestCard
from sandbox.shop.errors import BadInput, Impossible, Missing, WrongField
from sandbox.shop.state import Json, Method, Payment
from sandbox.shop.world import World

YEARS_AHEAD_MAX = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """How the customer pays; `decline` makes the bank say no whatever the card is."""

    type: str
    card: TestCard | None
    month: str
    year: str
    agrees: bool
    decline: str | None = None


def read_choice(world: World, raw: Json) -> Choice:
    """Reads {"method", "card", "month", "year", "csc", "save", "decline"}. Raises WrongField."""
    decline = raw.get("decline")
    if decline is not None and decline not in REASONS:
        raise BadInput(f"unknown reason {decline!r}")
    agrees = bool(raw.get("save", True))
    kind = raw.get("method", "bank_card")
    if kind == "sbp":
        return Choice("sbp", None, "", "", agrees, decline)
    if kind != "bank_card":
        raise WrongField("method")
    number = re.sub(r"\s", "", str(raw.get("card", "")))
    card = CARDS.get(number)
    if card is None:
        raise WrongField("card")
    today = datetime.fromtimestamp(world.now_ms() / 1000, UTC)
    month, year = str(raw.get("month", "12")), str(raw.get("year", today.year + 3))
    if not re.fullmatch(r"0[1-9]|1[0-2]", month) or not re.fullmatch(r"20[0-9]{2}", year):
        raise WrongField("expiry")
    if not (today.year, today.month) <= (int(year), int(month)) <= (today.year + YEARS_AHEAD_MAX, 12):
        raise WrongField("expiry")
    if not re.fullmatch(r"[0-9]{3}", str(raw.get("csc", "123"))):
        raise WrongField("csc")
    return Choice("bank_card", card, month, year, agrees, decline)


def find(world: World, object_id: str) -> Payment | Method:
    """What a checkout page is for: a payment, or a binding. Raises Missing."""
    found = world.state.payments.get(object_id)
    if found is not None and found.return_url is not None:
        return found
    method = world.state.methods.get(object_id)
    if method is None or method.return_url is None:
        raise Missing("there is nothing to pay at this address")
    return method


def offered(target: Payment | Method) -> list[str]:
    """The types of payment method that the page shows."""
    if isinstance(target, Method):
        return [target.type]
    if target.method_type is not None:
        return [target.method_type]
    return ["bank_card", "sbp"] if target.capture else ["bank_card"]


def pay(world: World, target: Payment | Method, choice: Choice) -> None:
    """Presses Pay. Afterwards `target` is paid, canceled, or asks for 3-D Secure. Raises Impossible, WrongField."""
    if target.status != "pending":
        raise Impossible(f"it is {target.status} already")
    if choice.type not in offered(target):
        raise WrongField("method")
    holder = _holder(world, target, choice)
    if choice.card is not None:
        methods.fill_card(holder, choice.card.number, choice.month, choice.year)
    if choice.card is not None and choice.card.asks_3ds and choice.decline is None:
        target.asks_3ds = True
        world.changed()
        return
    _answer(world, target, holder, choice.decline or (choice.card.decline if choice.card else None))


def _holder(world: World, target: Payment | Method, choice: Choice) -> Method:
    """The method that pays: the binding itself, or one that gets the payment's id, as YooKassa has it."""
    if isinstance(target, Method):
        target.agreed = True
        return target
    holder = Method(target.id, choice.type, world.now_ms(), agreed=target.save and choice.agrees)
    world.state.methods[holder.id] = holder
    target.holder = holder.id
    return holder


def confirm_3ds(world: World, target: Payment | Method, *, agreed: bool) -> None:
    """The customer's answer on the page of the bank. Raises Impossible when no bank asks."""
    if not target.asks_3ds or target.status != "pending":
        raise Impossible("no bank asks for 3-D Secure now")
    holder = target if isinstance(target, Method) else world.state.methods[target.holder or ""]
    card = CARDS[holder.card_number or ""]
    _answer(world, target, holder, card.decline if agreed else "3d_secure_failed", with_3ds=True)


def _answer(
    world: World, target: Payment | Method, holder: Method, decline: str | None, *, with_3ds: bool = False
) -> None:
    if isinstance(target, Method):
        target.asks_3ds = False
        methods.activate(world, target, saved=decline is None)
        if decline is None:
            world.notifier.notify("payment_method.active", target.id, methods.view(world, target))
    elif decline is not None:
        methods.activate(world, holder, saved=False)
        payments.give_up(world, target, decline)
    else:
        methods.activate(world, holder, saved=holder.agreed)
        payments.authorize(world, target, holder, with_3ds=with_3ds)
