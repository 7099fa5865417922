"""The bot's Stars: its balance, and the list of what moved it, as getStarTransactions gives it."""

import secrets
from typing import Any

from aiogram.types import StarTransaction

from sandbox.telegram.errors import BadInput, Missing
from sandbox.telegram.state import Json, Payment
from sandbox.telegram.world import World

TRANSACTIONS_MAX = 100_000
AMOUNT_MAX = 10**9
NANO = 10**9
_STICKER = {
    "file_id": "SBXgift", "file_unique_id": "gift", "type": "regular",
    "width": 512, "height": 512, "is_animated": False, "is_video": False,
}  # fmt: skip
_GIFT = {"id": "5170145012310081615", "sticker": _STICKER, "star_count": 15}

# What else moves a bot's Stars: the side that the partner stands on, and the partner. Users come in by `person`.
KINDS: dict[str, tuple[str, Json]] = {
    "withdrawal": ("receiver", {"type": "fragment", "withdrawal_state": {"type": "pending"}}),
    "withdrawal_failed": ("source", {"type": "fragment"}),
    "ads": ("receiver", {"type": "telegram_ads"}),
    "api": ("receiver", {"type": "telegram_api", "request_count": 1_000}),
    "affiliate_income": ("source", {"type": "affiliate_program", "commission_per_mille": 100}),
    "gift": ("receiver", {"type": "user", "transaction_type": "gift_purchase", "gift": _GIFT}),
    "premium": (
        "receiver",
        {"type": "user", "transaction_type": "premium_purchase", "premium_subscription_duration": 3},
    ),
    "paid_media": ("source", {"type": "user", "transaction_type": "paid_media_payment"}),
    "business": ("source", {"type": "user", "transaction_type": "business_account_transfer"}),
    "other_in": ("source", {"type": "other"}),
    "other_out": ("receiver", {"type": "other"}),
}


def move(world: World, nanostars: int) -> None:
    """Changes the balance, which chargebacks may take below zero."""
    bot = world.state.bot
    bot.stars, bot.nanostars = divmod(bot.stars * NANO + bot.nanostars + nanostars, NANO)
    world.changed()


def balance(world: World) -> Json:
    """The balance as a StarAmount; a fraction has the sign of the whole."""
    bot = world.state.bot
    return _amount("amount", bot.stars * NANO + bot.nanostars)


def append(world: World, entry: Json, *, known: bool = True) -> Json:
    """Adds a line; `known` ones are checked against the library's own type."""
    if known:
        StarTransaction.model_validate(entry)
    world.state.transactions.append(entry)
    if len(world.state.transactions) > TRANSACTIONS_MAX:
        del world.state.transactions[0]
    world.changed()
    return entry


def _amount(name: str, nanostars: int) -> Json:
    whole, rest = divmod(abs(nanostars), NANO)
    sign = -1 if nanostars < 0 else 1
    return {name: sign * whole} | ({"nanostar_amount": sign * rest} if rest else {})


def sale(world: World, payment: Payment, date: int, side: str) -> None:
    """A payment (side "source") or its refund ("receiver"): the line, and the balance less an affiliate's share."""
    person = world.state.persons[payment.person_id]
    partner: Json = {
        "type": "user",
        "transaction_type": "invoice_payment",
        "user": person.user(),
        "invoice_payload": payment.payload,
    }
    if payment.subscription_id is not None:
        partner["subscription_period"] = world.state.subscriptions[payment.subscription_id].period_s
    sign = 1 if side == "source" else -1
    share = payment.amount * NANO * payment.affiliate_per_mille // 1000
    if share:
        commission: Json = {"commission_per_mille": payment.affiliate_per_mille}
        partner["affiliate"] = commission | _amount("amount", sign * share)
    net = payment.amount * NANO - share
    move(world, sign * net)
    append(world, {"id": payment.charge_id, "date": date, side: partner} | _amount("amount", net))


def chargeback(world: World, charge_id: str, listed: str) -> Payment:
    """The payer takes a payment back through whoever sold the Stars: the balance shrinks, and no update comes.

    `listed`: how the list shows it: "other" (an unknown receiver), "user" (as a refund), "no" (not at all).
    """
    payment = world.state.payments.get(charge_id)
    if payment is None:
        raise Missing(f"no payment {charge_id}")
    if payment.refunded or payment.charged_back:
        raise BadInput("its Stars are gone already")
    if listed not in {"other", "user", "no"}:
        raise BadInput("listed is other, user or no")
    payment.charged_back = True
    now = int(world.now())
    if listed == "user":
        sale(world, payment, now, "receiver")
        return payment
    move(world, -payment.amount * NANO)
    if listed == "other":
        append(world, {"id": charge_id, "amount": payment.amount, "date": now, "receiver": {"type": "other"}})
    return payment


def add(world: World, raw: Json) -> Json:
    """A line of another kind, moving the balance; `raw` is one as a later Bot API might have it, taken as it is."""
    if isinstance(given := raw.get("raw"), dict):
        return append(world, given, known=False)
    kind = KINDS.get(str(raw.get("kind")))
    if kind is None:
        raise BadInput(f"kind is one of {', '.join(KINDS)}")
    amount, nano = int(raw.get("amount", 0)), int(raw.get("nanostar_amount", 0))
    if not 0 <= amount <= AMOUNT_MAX or not 0 <= nano < NANO:
        raise BadInput("amount and nanostar_amount are those of a StarAmount, and positive")
    side, partner = kind
    if partner["type"] == "user":
        person = world.person(int(raw.get("person") or 0))
        if person is None:
            raise Missing(f"no person {raw.get('person')}")
        partner = partner | {"user": person.user()}
    total = amount * NANO + nano
    move(world, total if side == "source" else -total)
    entry: Json = {"id": str(raw.get("id") or f"stx{secrets.token_hex(8)}"), "date": int(world.now()), side: partner}
    return append(world, entry | _amount("amount", total))


def lines(world: World) -> list[Any]:
    """The whole list, oldest first."""
    return world.state.transactions
