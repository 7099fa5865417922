"""Gifts put into words: what can be given, what is paid, what became of it, and the link that gives it."""

from datetime import datetime
from urllib.parse import quote

from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    KeyboardButtonRequestUsers,
    ReplyKeyboardMarkup,
)

from billing.catalog import Catalog, Plan
from billing.gifts import Gift, Redeemed
from bot import keyboards
from kit.words import Words

STARS = "XTR"
PAYLOAD_PREFIX = "gift_"
# Telegram's own bound of a request's number, by which its answer is told apart from others.
REQUEST_MAX = 2**31 - 1


def link(username: str, code: str) -> str:
    """Return the deep link that gives a gift to whoever opens it first."""
    return f"https://t.me/{username}?start={PAYLOAD_PREFIX}{code}"


def can_be_given(plan: Plan) -> bool:
    """Whether a plan can be bought for somebody else."""
    return plan.kind != "free" and plan.price(STARS) is not None


def choice(say: Words, catalog: Catalog, given: list[Gift]) -> tuple[str, InlineKeyboardMarkup]:
    """Return what can be given, one button each, and the way to what was given already."""
    lines = [
        [keyboards.press(say.say("button-give", what=what(say, plan), stars=plan.price(STARS)), "gift-buy", plan.id)]
        for plan in catalog.plans
        if can_be_given(plan)
    ]
    mine = [keyboards.press(say.say("button-gifts-given"), "gifts")] if given else []
    return say.say("gift-choose"), keyboards.rows(*lines, mine, [keyboards.press(say.say("button-plans"), "plans")])


def what(say: Words, plan: Plan) -> str:
    """Return what a plan is as a gift: a subscription is given for one month."""
    title = plan.titles[say.language]
    return say.say("gift-month", plan=title) if plan.kind == "subscription" else title


def given(say: Words, gifts: list[Gift]) -> tuple[str, InlineKeyboardMarkup]:
    """Return what a person gave, a button each."""
    rows = [
        [keyboards.press(say.say("button-gift", plan=gift.titles[say.language], day=gift.created_at), "gift", gift.id)]
        for gift in gifts
    ]
    return say.say("gifts-given"), keyboards.rows(*rows)


def card(say: Words, gift: Gift, username: str, *, returnable: bool) -> tuple[str, InlineKeyboardMarkup]:
    """Return what became of a gift, for its giver, and what can be done with it."""
    title = gift.titles[say.language]
    if gift.status == "withdrawn" or gift.refunded:
        return say.say("gift-card-withdrawn", plan=title), keyboards.rows()
    if gift.status == "redeemed":
        return say.say("gift-card-taken", plan=title), keyboards.rows()
    if gift.status == "expired":
        return say.say("gift-card-ended", plan=title), keyboards.rows()
    address = link(username, gift.code)
    back = [keyboards.press(say.say("button-gift-back"), "gift-back", gift.id)] if returnable else []
    return say.say("gift-card", plan=title, link=address, until=gift.expires_at), keyboards.rows(
        *ways_to_give(say, gift.id, gift.code, username),
        [keyboards.press(say.say("button-gift-keep"), "gift-take", gift.code)],
        back,
    )


def ways_to_give(say: Words, gift_id: int, code: str, username: str) -> list[list[InlineKeyboardButton]]:
    """Return the buttons that send a gift: share its link, or choose the person."""
    address = link(username, code)
    shared = f"https://t.me/share/url?url={quote(address, safe='')}&text={quote(say.say('gift-share'), safe='')}"
    return [
        [keyboards.link(say.say("button-gift-share"), shared)],
        [keyboards.press(say.say("button-gift-to"), "gift-to", gift_id)],
    ]


def chooser(say: Words, gift: Gift) -> tuple[str, ReplyKeyboardMarkup]:
    """Return the question whom a gift is for, with Telegram's own list of people."""
    assert gift.id <= REQUEST_MAX
    request = KeyboardButtonRequestUsers(request_id=gift.id, user_is_bot=False, max_quantity=1)
    button = KeyboardButton(text=say.say("button-gift-person"), request_users=request)
    return say.say("gift-whom"), ReplyKeyboardMarkup(keyboard=[[button]], resize_keyboard=True, one_time_keyboard=True)


def received(say: Words, taken: Redeemed, now: datetime) -> str:
    """Return what the receiver reads."""
    gift = taken.gift
    title = gift.titles[say.language]
    if taken.repeated:
        return say.say("gift-received-before", plan=title)
    if taken.starts_at is None:
        return say.say("gift-received-pack", plan=title, tokens=gift.tokens, until=taken.until)
    if taken.starts_at > now:
        return say.say("gift-received-later", plan=title, tokens=gift.tokens, day=taken.starts_at, until=taken.until)
    return say.say("gift-received", plan=title, tokens=gift.tokens, until=taken.until)
