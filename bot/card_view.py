"""What a saved card pays for, put into words, with what can be done about it."""

from typing import Any

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from billing.card_renewals import Standing
from billing.subscriptions import Subscription
from bot import keyboards
from kit.words import Words


def subscription(
    say: Words, mine: Subscription, stands: Standing | None, tokens: int
) -> tuple[str, InlineKeyboardMarkup]:
    """Return /subscription for what is paid by card; `tokens`: what the person has. No `stands`: no card was kept."""
    if stands is None:
        text = say.say("subscription-cancelled", plan=mine.titles[say.language], until=mine.until, tokens=tokens)
        return text, keyboards.rows([_pay(say, mine, "resume")])
    card = stands.method
    known: dict[str, Any] = {
        "plan": mine.titles[say.language],
        "until": mine.until,
        "amount": mine.amount,
        "currency": mine.currency,
        "card": card.ending,
        "tokens": tokens,
    }
    cancel = keyboards.press(say.say("button-subscription-cancel"), "cancel", mine.id)
    remove = keyboards.press(say.say("button-card-remove", card=card.ending), "card-remove", mine.id)
    removal = [remove] if card.status != "removed" else []
    match mine.status:
        case "active" if card.active:
            text, rows = say.say("subscription-by-card", **known), [[cancel], [_pay(say, mine, "other")], removal]
        case "past_due" if stands.under_way or not stands.failed:
            text = say.say("subscription-charging", **_only(known, "plan", "until", "amount", "currency", "card"))
            rows = [[keyboards.press(say.say("button-to-free"), "to-free", mine.id)], removal]
        case "past_due":
            text = say.say("subscription-past-due", **_only(known, "plan", "until", "amount", "currency"))
            rows = [*after_failed(say, {"subscription": mine.id}).inline_keyboard, removal]
        case _ if card.active:
            text = say.say("subscription-cancelled", **_only(known, "plan", "until", "tokens"))
            resume = keyboards.press(say.say("button-subscription-resume"), "resume", mine.id)
            rows = [[resume], removal]
        case _:
            text = say.say("subscription-cancelled", **_only(known, "plan", "until", "tokens"))
            rows = [[_pay(say, mine, "resume")]]
    return text, keyboards.rows(*rows)


def before_charge(say: Words, args: dict[str, Any], _: int | None = None) -> InlineKeyboardMarkup:
    """Return what can be done before a charge. `args`: `subscription`, its number."""
    return keyboards.rows(
        [keyboards.press(say.say("button-subscription-cancel"), "cancel", args["subscription"])],
        [keyboards.press(say.say("button-card-other"), "card-pay", args["subscription"])],
    )


def after_failed(say: Words, args: dict[str, Any], _: int | None = None) -> InlineKeyboardMarkup:
    """Return what can be done while grace runs. `args`: `subscription`, its number."""
    return keyboards.rows(
        [keyboards.press(say.say("button-card-pay"), "card-pay", args["subscription"])],
        [keyboards.press(say.say("button-to-free"), "to-free", args["subscription"])],
    )


def _pay(say: Words, mine: Subscription, why: str) -> InlineKeyboardButton:
    label = say.say("button-card-other") if why == "other" else say.say("button-card-resume")
    return keyboards.press(label, "card-pay", mine.id)


def _only(known: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: known[name] for name in names}
