"""Offers and balances put into words: pure functions from what billing says to texts and keyboards."""

from datetime import datetime

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from billing.balance import Balance
from billing.card_renewals import Standing
from billing.catalog import Catalog, Plan
from billing.crediting import Credit
from billing.gifts import LIFE
from billing.house_access import HOUSE
from billing.orders import Order
from billing.payments import YOOKASSA
from billing.subscriptions import Subscription
from bot import card_view, keyboards
from bot.notices import after_failed_charge
from kit.words import Words

STARS = "XTR"
DAY_S = 86_400
# How the words call a kind of lot, where they call it otherwise.
_LOT_WORDS = {"plan": "subscription", "restored": "pack"}


def plans_button(say: Words) -> InlineKeyboardButton:
    return keyboards.press(say.say("button-plans"), "plans")


def plans(say: Words, catalog: Catalog, held: Balance, rule: dict[str, int]) -> tuple[str, InlineKeyboardMarkup]:
    """Return /plans: a row a plan, what the person has, the refund rule, one button a product."""
    mine = held.entitlement
    current = (
        say.say("plans-current-until", plan=mine.titles[say.language], until=mine.until)
        if mine.until
        else say.say("plans-current", plan=mine.titles[say.language])
    )
    rows = "\n\n".join(_row(say, plan) for plan in catalog.plans if plan.kind == "free" or plan.price(STARS))
    text = "\n\n".join(
        [say.say("plans"), rows, current, f"{say.say('plans-answers-note')} {say.say('plans-refund', **rule)}"]
    )
    buttons = [[_buy_button(say, plan, held)] for plan in catalog.on_sale(STARS)]
    if not buttons:
        return f"{say.say('buying-off')}\n\n{current}", keyboards.rows()
    gift = [keyboards.press(say.say("button-gift-choose"), "give")]
    return text, keyboards.rows(*buttons, gift, [keyboards.press(say.say("button-stars-where"), "stars")])


def _row(say: Words, plan: Plan) -> str:
    title, terms = plan.titles[say.language], plan.terms
    if plan.kind == "free":
        return say.say("plans-row-free", plan=title, tokens=terms.daily_tokens)
    if plan.kind == "pack":
        return say.say(
            "plans-row-pack",
            plan=title,
            stars=plan.price(STARS),
            tokens=terms.tokens,
            lasts_s=(terms.tokens_days or 0) * DAY_S,
        )
    if plan.kind == "once":
        return say.say(
            "plans-row-once",
            plan=title,
            stars=plan.price(STARS),
            tokens=terms.tokens,
            months=terms.period_months or 1,
            stars_month=(plan.price(STARS) or 0) // (terms.period_months or 1),
        )
    return say.say(
        "plans-row",
        plan=title,
        stars=plan.price(STARS),
        tokens=terms.tokens,
        per_minute=terms.requests_per_minute,
        in_flight=terms.in_flight,
    )


def _buy_button(say: Words, plan: Plan, held: Balance) -> InlineKeyboardButton:
    if held.subscription and held.subscription.renews and held.subscription.plan_id == plan.id:
        return keyboards.disabled(say.say("button-connected"))
    if plan.kind == "pack":
        return keyboards.press(say.say("button-buy-pack", stars=plan.price(STARS)), "buy", plan.id)
    text = say.say("button-buy-plan", plan=plan.titles[say.language], stars=plan.price(STARS))
    return keyboards.press(text, "buy", plan.id)


def payment(say: Words, order: Order, link: str, rule: dict[str, int]) -> tuple[str, InlineKeyboardMarkup]:
    """Return the message from which an order is paid."""
    text = say.say("pay-ready", plan=order.titles[say.language], stars=order.amount)
    return f"{text}\n\n{say.say('plans-refund', **rule)}", keyboards.rows(
        [keyboards.link(say.say("button-pay", stars=order.amount), link)],
        [keyboards.press(say.say("button-stars-where"), "stars"), plans_button(say)],
    )


def before_gift(say: Words, rule: dict[str, int]) -> list[str]:
    """Return what is to be known before a gift is paid."""
    return [say.say("gift-before-paying", days=LIFE.days, refund_hours=rule["refund_hours"])]


def before_paying(
    say: Words,
    order: Order,
    owned: list[Subscription],
    replaces: Subscription | None,
    begins: datetime,
    now: datetime,
) -> list[str]:
    """Return what a person must know before paying an order beside what they have: nobody pays twice unawares."""
    lines = []
    if replaces is not None:
        title = replaces.titles[say.language]
        lines.append(say.say("change-before-paying", plan=title, until=replaces.until))
    if order.kind == "once":
        lines.append(say.say("once-before-paying", months=order.months or 1, tokens=order.tokens))
        if begins > now:
            lines.append(say.say("once-begins-later", day=begins))
        renewing = next((one for one in owned if one.renews), None)
        if renewing is not None:
            title = renewing.titles[say.language]
            lines.append(
                say.say(
                    "once-beside-renewal",
                    plan=title,
                    day=renewing.until,
                    amount=renewing.amount,
                    currency=renewing.currency,
                )
            )
    once = next((one for one in owned if one.once and one.status == "cancel_scheduled"), None)
    if order.kind == "subscription" and once is not None:
        lines.append(say.say("renewal-beside-once", plan=once.titles[say.language], until=once.until))
    return lines


def bought(say: Words, credit: Credit) -> tuple[str, InlineKeyboardMarkup]:
    """Return what the payment's message becomes: nothing left to press."""
    assert credit.titles is not None
    label = say.say("button-connected") if credit.subscription_id is not None else say.say("button-paid")
    return f"{credit.titles[say.language]} · {say.stars(credit.amount)}", keyboards.rows([keyboards.disabled(label)])


def already(say: Words, held: Balance) -> str:
    """Return why a second subscription is not sold."""
    mine = held.subscription
    if mine is None:
        return say.say("toast-already")
    return say.say("plan-already", plan=mine.titles[say.language], until=mine.until)


def balance(say: Words, held: Balance, now: datetime) -> str:
    """Return /balance: what there is, where it comes from, when it lapses, what comes next."""
    lines = [
        say.say("balance", tokens=held.available),
        say.say("balance-plan", plan=held.entitlement.titles[say.language]),
    ]
    if held.reserved:
        lines.append(say.say("balance-reserved", tokens=held.reserved))
    if held.owed:
        lines.append(say.say("balance-debt", tokens=held.owed))
    if held.lots:
        lines += ["", say.say("balance-lots")]
    for lot in held.lots:
        kind = _LOT_WORDS.get(lot.kind, lot.kind)
        lines.append(
            say.say("balance-lot", kind=kind, tokens=lot.remaining, until=lot.expires_at)
            if lot.expires_at
            else say.say("balance-lot-forever", kind=kind, tokens=lot.remaining)
        )
    if held.allowance_renews_at:
        next_s = (held.allowance_renews_at - now).total_seconds()
        lines += ["", say.say("balance-next", tokens=held.daily_tokens, next_s=next_s)]
    return "\n".join(lines)


def subscription(say: Words, held: Balance, card: Standing | None = None) -> tuple[str, InlineKeyboardMarkup]:
    """Return /subscription: what the person has, until when, what renews, and the buttons that change it.

    `card`: what pays for it, if a saved card does or did.
    """
    mine = held.subscription
    if mine is None:
        return say.say("subscription-none"), keyboards.rows([plans_button(say)])
    if mine.provider == YOOKASSA and not mine.once:
        return card_view.subscription(say, mine, card, held.available)
    title = mine.titles[say.language]
    match mine.status:
        case "active":
            text = say.say(
                "subscription-active", plan=title, until=mine.until, stars=mine.amount, tokens=held.available
            )
            button = keyboards.press(say.say("button-subscription-cancel"), "cancel", mine.id)
        case "cancel_scheduled" if mine.provider == HOUSE:
            text = say.say("subscription-granted", plan=title, until=mine.until, tokens=held.available)
            button = plans_button(say)
        case "cancel_scheduled":
            text = say.say("subscription-cancelled", plan=title, until=mine.until, tokens=held.available)
            button = keyboards.press(say.say("button-subscription-resume"), "resume", mine.id)
        case "past_due":
            sum_of = {"amount": mine.amount, "currency": mine.currency}
            text = say.say("subscription-past-due", plan=title, until=mine.until, **sum_of)
            return text, after_failed_charge(say, {"product": mine.plan_id, "subscription": mine.id})
        case _:
            text = say.say("subscription-trialing", plan=title, until=mine.until)
            button = plans_button(say)
    return text, keyboards.rows([button])
