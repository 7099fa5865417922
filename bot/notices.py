"""Notices: what use cases have to tell, put into the person's words with the buttons that go with it.

A notice in the outbox is a locale key with raw arguments. Instants travel as ISO strings in arguments named
`until`, `day` or `..._at`, and names of plans as a mapping from language to title.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aiogram.methods import SendMessage
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from billing.catalog import Catalog
from bot import card_view, gift_view, keyboards, links, receipt_cards
from kit.errors import InsufficientTokens
from kit.words import Words

Buttons = Callable[[Words, dict[str, Any], int | None], InlineKeyboardMarkup]
STARS = "XTR"
_INSTANTS = frozenset({"until", "day", "since", "seen", "at"})


def message(
    chat_id: int,
    words: Words,
    payload: dict[str, Any],
    turn_id: int | None,
    catalog: Catalog,
    *,
    username: str = "",
    trial: bool = False,
) -> SendMessage:
    """Return the message of a notice payload ({"notice": key, "args": {…}}); `catalog` is what is on sale.

    `username` is the bot's own: links to it are made of that. `trial`: whether the person may start the trial.
    """
    key = payload["notice"]
    args = revived(words, payload["args"])
    if "gift_code" in args:
        args |= {"bot": username, "link": gift_view.link(username, args["gift_code"])}
    if "name" in args and chat_id > 0:  # of somebody else: an address in it must not become a link
        args["name"] = links.strip_plain(args["name"], frozenset())
    buttons = _BUTTONS.get(key)
    if key == InsufficientTokens.code:
        keyboard: InlineKeyboardMarkup | None = ways_on(words, catalog, trial=trial)
    elif "plan_id" in args and not buttons:
        keyboard = to_lift(words, catalog, args["plan_id"])
    else:
        keyboard = buttons(words, args, turn_id) if buttons else None
    return SendMessage(chat_id=chat_id, text=words.say(key, **args), reply_markup=keyboard)


def revived(words: Words, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw arguments as words take them: titles in the person's language, instants as such."""
    return {name: _revived(words, name, value) for name, value in args.items()}


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


def trial_button(words: Words, days: int) -> InlineKeyboardButton:
    """Return the button that starts the trial."""
    return keyboards.press(words.say("button-trial", days=days), "trial", style="primary")


def ways_on(words: Words, catalog: Catalog, *, trial: bool = False) -> InlineKeyboardMarkup:
    """Return what a person can do whose tokens have run out: the cheapest pack, if one is sold, and the plans.

    Before both the trial, for whoever may start it.
    """
    free = [trial_button(words, catalog.trial.terms.period_days or 0)] if trial and catalog.trial else []
    packs = [plan for plan in catalog.on_sale(STARS) if plan.kind == "pack"]
    pack = min(packs, key=lambda plan: plan.price(STARS) or 0, default=None)
    bought = [keyboards.press(words.say("button-buy-pack", stars=pack.price(STARS)), "buy", pack.id)] if pack else []
    return keyboards.rows(free, [*bought, keyboards.press(words.say("button-plans"), "plans")])


def to_lift(words: Words, catalog: Catalog, plan_id: str) -> InlineKeyboardMarkup | None:
    """Return what leads to the plan that lifts a limit, None where there is none."""
    plan = catalog.plan(plan_id)
    if plan is None:
        return None
    stars, plans = plan.price(STARS), keyboards.press(words.say("button-plans"), "plans")
    if stars is None:
        return keyboards.rows([plans])
    text = words.say("button-buy-plan", plan=plan.titles[words.language], stars=stars)
    return keyboards.rows([keyboards.press(text, "buy", plan.id), plans])


def after_failed_charge(words: Words, args: dict[str, Any], _: int | None = None) -> InlineKeyboardMarkup:
    """Return what can be done while grace runs: buy the plan anew, or go on without it.

    `args`: `product`, the plan's id, and `subscription`, its number.
    """
    return keyboards.rows(
        [keyboards.press(words.say("button-renew"), "buy", args["product"])],
        [keyboards.press(words.say("button-to-free"), "to-free", args["subscription"])],
    )


def _give(words: Words, args: dict[str, Any], _: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows(*gift_view.ways_to_give(words, args["gift"], args["gift_code"], args["bot"]))


def _look_at_gift(words: Words, args: dict[str, Any], _: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows([keyboards.press(words.say("button-gift-show"), "gift", args["gift"])])


def _take(words: Words, args: dict[str, Any], _: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows([keyboards.press(words.say("button-gift-take"), "gift-take", args["gift_code"])])


def _stop_renewal(words: Words, args: dict[str, Any], _: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows(
        [keyboards.press(words.say("button-cancel-of", plan=args["plan"]), "cancel", args["subscription"])]
    )


def _next_plan(words: Words, args: dict[str, Any], _: int | None) -> InlineKeyboardMarkup:
    text = words.say("button-buy-plan", plan=args["next_plan"], stars=args["stars"])
    return keyboards.rows(
        [keyboards.press(text, "buy", args["product"])], [keyboards.press(words.say("button-plans"), "plans")]
    )


def _to_site(words: Words, _: dict[str, Any], __: int | None) -> InlineKeyboardMarkup:
    return keyboards.rows(
        [keyboards.press(words.say("button-site-open"), "site")], [keyboards.press(words.say("button-plans"), "plans")]
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
    "error-only-thoughts": _retry,
    "stopped-in-queue": _redo,
    "expired": to_plans,
    "expired-next-plan": _next_plan,
    "expired-next-plan-roubles": _to_site,
    "gift-ready": _give,
    "gift-ends-soon": _look_at_gift,
    "gift-for-you": _take,
    "renews-beside": _stop_renewal,
    "renewal-failed": after_failed_charge,
    "card-charge-soon": card_view.before_charge,
    "card-charge-failed": card_view.after_failed,
    "card-charge-given-up": card_view.after_failed,
    "card-needs-email": card_view.after_failed,
    "trial-ending": to_plans,
    "trial-ended": to_plans,
    "granted-ending": to_plans,
    "granted-ended": to_plans,
    "case-answer": _to_case,
    "admin-case": of_case,
    "admin-case-more": of_case,
    "admin-alert-receipt-missing": receipt_cards.of_alert,
}
