"""Notices: what use cases have to tell, put into the person's words with the buttons that go with it.

A notice in the outbox is a locale key with raw arguments. Instants travel as ISO strings in arguments named
`until`, `day` or `..._at`, and names of plans as a mapping from language to title.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiogram.methods import SendMessage
from aiogram.types import InlineKeyboardMarkup

from billing.catalog import Catalog
from bot import keyboards
from kit.errors import InsufficientTokens
from kit.words import Words

Buttons = Callable[[Words, dict[str, Any], int | None], InlineKeyboardMarkup]
STARS = "XTR"
_INSTANTS = frozenset({"until", "day", "since", "seen", "at"})


def message(chat_id: int, words: Words, payload: dict[str, Any], turn_id: int | None, catalog: Catalog) -> SendMessage:
    """Return the message of a notice payload ({"notice": key, "args": {…}}); `catalog` is what is on sale."""
    key = payload["notice"]
    args = {name: _revived(words, name, value) for name, value in payload["args"].items()}
    buttons = _BUTTONS.get(key)
    if key == InsufficientTokens.code:
        keyboard: InlineKeyboardMarkup | None = ways_on(words, catalog)
    else:
        keyboard = buttons(words, args, turn_id) if buttons else None
    return SendMessage(chat_id=chat_id, text=words.say(key, **args), reply_markup=keyboard)


def _revived(words: Words, name: str, value: Any) -> Any:
    if isinstance(value, dict):  # a title in every language
        return value.get(words.language, "")
    if isinstance(value, str) and (name in _INSTANTS or name.endswith("_at")):
        return datetime.fromisoformat(value)
    return value


def _retry(words: Words, args: dict[str, Any], turn_id: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows(
        [keyboards.press(words.say("button-retry"), "redo", turn_id)],
        [keyboards.copy(words.say("button-copy-code", code=args["code"]), args["code"])],
    )


def _redo(words: Words, _: dict[str, Any], turn_id: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows([keyboards.press(words.say("button-redo"), "redo", turn_id)])


def to_plans(words: Words, _: dict[str, Any] | None = None, __: int | None = None) -> InlineKeyboardMarkup:
    """Return the one button that leads to the plans."""
    return keyboards.rows([keyboards.press(words.say("button-plans"), "plans")])


def ways_on(words: Words, catalog: Catalog) -> InlineKeyboardMarkup:
    """Return what a person can do whose tokens have run out: the cheapest pack, if one is sold, and the plans."""
    packs = [plan for plan in catalog.on_sale(STARS) if plan.kind == "pack"]
    pack = min(packs, key=lambda plan: plan.price(STARS) or 0, default=None)
    bought = [keyboards.press(words.say("button-buy-pack", stars=pack.price(STARS)), "buy", pack.id)] if pack else []
    return keyboards.rows([*bought, keyboards.press(words.say("button-plans"), "plans")])


def after_failed_charge(words: Words, args: dict[str, Any], _: int | None = None) -> InlineKeyboardMarkup:
    """Return what can be done while grace runs: buy the plan anew, or go on without it.

    `args`: `product`, the plan's id, and `subscription`, its number.
    """
    return keyboards.rows(
        [keyboards.press(words.say("button-renew"), "buy", args["product"])],
        [keyboards.press(words.say("button-to-free"), "to-free", args["subscription"])],
    )


def of_case(words: Words, args: dict[str, Any], _: int | None = None) -> InlineKeyboardMarkup:
    """Return what the operator can do with a case beside answering it. `args`: `id`, and `payment_id`, 0 for none."""
    close = [keyboards.press(words.say("button-case-close"), "case-close", args["id"])]
    money = [keyboards.press(words.say("button-case-refund"), "case-refund", args["payment_id"])]
    return keyboards.rows(close, money if args["payment_id"] else [])


def _to_case(words: Words, args: dict[str, Any], _: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows([keyboards.press(words.say("button-case-reply"), "case-add", args["id"])])


_BUTTONS: dict[str, Buttons] = {
    "error-failed": _retry,
    "error-unavailable": _retry,
    "stopped-in-queue": _redo,
    "expired": to_plans,
    "renewal-failed": after_failed_charge,
    "case-answer": _to_case,
    "admin-case": of_case,
    "admin-case-more": of_case,
}
