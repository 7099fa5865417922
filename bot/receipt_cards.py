"""Receipts put into words: whether the person's was issued, and what is missing, for the operator."""

from typing import Any

from aiogram.types import InlineKeyboardMarkup

from app.rouble_receipts import card_args
from billing.rouble_receipts import Receipt, State
from bot import keyboards
from kit.words import Words

MADE = "receipt-made"


def seen(say: Words, receipt: tuple[State, bool] | None) -> str:
    """Return the end of a payment's line of /payments, empty where no receipt belongs to it."""
    if receipt is None:
        return ""
    state, of_refund = receipt
    return " · " + (say.say("receipt-of-refund", state=state) if of_refund else say.say("receipt", state=state))


def missing(say: Words, shown: list[Receipt], count: int) -> tuple[str, InlineKeyboardMarkup]:
    """Return /receipts: what is missing, the oldest first, with a button for each; `count` is how many there are."""
    if not shown:
        return say.say("admin-receipts-none"), keyboards.rows()
    lines = [say.say("admin-receipts-line", at=one.created_at, **card_args(one)) for one in shown]
    if count > len(shown):
        lines.append(say.say("admin-receipts-more", count=count - len(shown)))
    buttons = [
        [keyboards.press(say.say("button-receipt-made", payment_id=one.payment_id), MADE, one.id, "list")]
        for one in shown
    ]
    return "\n".join([say.say("admin-receipts"), *lines, "", say.say("admin-receipts-usage")]), keyboards.rows(*buttons)


def of_alert(say: Words, args: dict[str, Any], _: int | None = None) -> InlineKeyboardMarkup:
    """Return the button under an alert of a missing receipt. `args`: `receipt` and `payment_id`."""
    return keyboards.rows(
        [keyboards.press(say.say("button-receipt-made", payment_id=args["payment_id"]), MADE, args["receipt"])]
    )
