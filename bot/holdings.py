"""What a person holds, put into words: the plan, what follows it, what comes when, and what it can be changed to."""

from datetime import datetime

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from billing.balance import Balance
from billing.card_renewals import Standing
from billing.catalog import Catalog, Plan
from billing.house_access import HOUSE
from billing.once import Outlook
from billing.payments import YOOKASSA
from billing.subscriptions import Subscription
from bot import keyboards, offers
from kit.words import Words

STARS = "XTR"
# What comes by itself and soon goes: /balance has it.
_SHORT_LIVED = frozenset({"daily", "welcome"})


def card(
    say: Words,
    held: Balance,
    coming: dict[int, Outlook],
    cards: dict[int, Standing],
    catalog: Catalog,
    now: datetime,
) -> tuple[str, InlineKeyboardMarkup]:
    """Return /subscription: each thing that the person has, until when, what comes next, and what can be done.

    `coming` and `cards` by the subscription's number.
    """
    mine = held.subscription
    # A gift is of the house as well, but somebody bought its months; days that the house gives have none.
    given = mine is not None and mine.provider == HOUSE and mine.id not in coming
    if mine is None or given or not mine.once or mine.status != "cancel_scheduled":
        text, keyboard = offers.subscription(say, held, cards.get(mine.id) if mine else None)
        rows = [*keyboard.inline_keyboard]
    else:
        text = _once(say, mine, held.available, coming.get(mine.id), now)
        rows = [[offers.plans_button(say)]]
    if lapse := next((lot for lot in held.lots if lot.expires_at and lot.kind not in _SHORT_LIVED), None):
        text += "\n" + say.say("subscription-lapse", tokens=lapse.remaining, until=lapse.expires_at)
    others = [one for one in held.subscriptions if mine is None or one.id != mine.id]
    lines = [text, *(_other(say, one, coming.get(one.id), now) for one in others)]
    for one in held.subscriptions:
        if one.renews and one is not mine:
            title = one.titles[say.language]
            rows.append([keyboards.press(say.say("button-cancel-of", plan=title), "cancel", one.id)])
    changeable = next((one for one in held.subscriptions if may_change(one) and _others(catalog, one)), None)
    if changeable:
        rows.append([keyboards.press(say.say("button-change-plan"), "change", changeable.id)])
    return "\n\n".join(lines), keyboards.rows(*rows)


def _once(say: Words, mine: Subscription, tokens: int, coming: Outlook | None, now: datetime) -> str:
    title = mine.titles[say.language]
    if coming and coming.starts_at > now:
        return _other(say, mine, coming, now)
    text = say.say("subscription-once", plan=title, until=mine.until, tokens=tokens)
    if coming and coming.tokens_at:
        text += "\n" + say.say("subscription-once-next", day=coming.tokens_at, tokens=coming.tokens)
    return text


def _other(say: Words, one: Subscription, coming: Outlook | None, now: datetime) -> str:
    title = one.titles[say.language]
    if coming and coming.starts_at > now:
        return say.say("subscription-ahead", plan=title, day=coming.starts_at, until=one.until, tokens=coming.tokens)
    if one.renews:
        sum_of = {"amount": one.amount, "currency": one.currency}
        return say.say("subscription-beside-renews", plan=title, until=one.until, **sum_of)
    return say.say("subscription-beside", plan=title, until=one.until)


def may_change(mine: Subscription) -> bool:
    """Whether a subscription can be changed here: one that is paid every month, renewing or not."""
    return mine.order_kind == "subscription" and mine.status in {"active", "cancel_scheduled"}


def is_better(plan: Plan, mine: Subscription) -> bool:
    """Whether a plan is a step up: it costs more than what the person pays a month."""
    price = plan.price(mine.currency or STARS) or 0
    return price > (mine.amount or 0)


def _others(catalog: Catalog, mine: Subscription) -> list[Plan]:
    on_sale = catalog.on_sale(mine.currency or STARS)
    return [plan for plan in on_sale if plan.kind == "subscription" and plan.id != mine.plan_id]


def changes(say: Words, catalog: Catalog, mine: Subscription) -> tuple[str, InlineKeyboardMarkup]:
    """Return what a subscription can be changed to, and what becomes of it."""
    title = mine.titles[say.language]
    better: list[list[InlineKeyboardButton]] = []
    cheaper: list[list[InlineKeyboardButton]] = []
    for plan in _others(catalog, mine):
        name, price = plan.titles[say.language], plan.price(mine.currency or STARS)
        in_roubles = mine.provider == YOOKASSA
        label = (
            say.say("button-buy-roubles", plan=name, kopecks=price)
            if in_roubles
            else say.say("button-buy-plan", plan=name, stars=price)
        )
        row = [keyboards.press(label, "change-to", mine.id, plan.id)]
        (better if is_better(plan, mine) else cheaper).append(row)
    lines = [say.say("change-plan", plan=title)]
    if better:
        lines.append(say.say("change-plan-up", plan=title, until=mine.until))
    if cheaper:
        lines.append(say.say("change-plan-down", until=mine.until))
    return "\n\n".join(lines), keyboards.rows(*better, *cheaper)
