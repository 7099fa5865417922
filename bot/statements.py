"""Statements: purchases, refunds and cases put into words and keyboards, for their person and for the operator."""

from datetime import datetime
from typing import Any

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from app.persons import Person
from app.refunding import Wish
from billing.cases import TEXT_UNITS_MAX, Case
from billing.history import Purchase
from billing.quarantine import CREDITABLE
from billing.refund_policy import CASES, Rule
from billing.rouble_receipts import State
from bot import keyboards, receipt_cards
from kit.words import Words

PAGE = 5
PAYMENTS_OFFERED = 3


def title(say: Words, purchase: Purchase) -> str:
    """Return what was bought, in a word where no order says."""
    return purchase.titles.get(say.language) or say.say("payment-other")


def _sum(purchase: Purchase) -> dict[str, Any]:
    return {"amount": purchase.amount, "currency": purchase.currency}


def _state(purchase: Purchase) -> dict[str, Any]:
    return {"state": purchase.state, "returned": purchase.returned}


def history(
    say: Words, shown: list[Purchase], page: int, *, more: bool, receipts: dict[int, tuple[State, bool]]
) -> tuple[str, InlineKeyboardMarkup]:
    """Return a page of /payments: a line a payment, a button for each that can go back, and the way to other pages.

    `receipts`: how that of a payment stands, by its number (billing.rouble_receipts).
    """
    if not shown:
        return say.say("payments-none"), keyboards.rows()
    lines = [
        say.say("payments-line", at=one.at, what=title(say, one), **_state(one), **_sum(one))
        + receipt_cards.seen(say, receipts.get(one.id))
        for one in shown
    ]
    buttons = [
        [keyboards.press(say.say("button-refund", what=title(say, one)), "refund", one.id)]
        for one in shown
        if one.state in {"paid", "partly_refunded"}
    ]
    ways: list[InlineKeyboardButton] = []
    if page > 0:
        ways.append(keyboards.press(say.say("button-payments-newer"), "payments", page - 1))
    if more:
        ways.append(keyboards.press(say.say("button-payments-older"), "payments", page + 1))
    return "\n".join([say.say("payments"), "", *lines]), keyboards.rows(*buttons, ways)


def refund_question(say: Words, wish: Wish, rule: Rule) -> tuple[str, InlineKeyboardMarkup]:
    """Return the rules and what they mean for this payment, with the one confirmation or the way to a case."""
    paid = wish.purchase
    told = {"what": title(say, paid), "at": paid.at, "refund_hours": rule.hours, "refund_percent": rule.percent}
    if wish.verdict == "at_once":
        return say.say("refund-ask", **told, **_sum(paid)), keyboards.rows(
            [
                keyboards.press(say.say("button-refund-yes"), "refund-yes", paid.id),
                keyboards.press(say.say("button-refund-no"), "refund-no"),
            ]
        )
    assert wish.verdict in CASES
    text = say.say("refund-by-case", why=wish.verdict, spent=paid.spent_percent, **told, **_sum(paid))
    return text, keyboards.rows([keyboards.press(say.say("button-case-open"), "case", paid.id)])


def refund_begun(say: Words, purchase: Purchase) -> str:
    """Return what the question becomes once it was confirmed."""
    return say.say("refund-begun", what=title(say, purchase), **_sum(purchase))


def paysupport(
    say: Words, rule: Rule, contact: str, latest: list[Purchase], mine: list[Case]
) -> tuple[str, InlineKeyboardMarkup]:
    """Return /paysupport: how it works, the person's cases, and a button for each thing a new one may be about."""
    lines = [
        say.say("paysupport-cases", contact=contact or "none", refund_hours=rule.hours, refund_percent=rule.percent)
    ]
    lines += [say.say("case-line", id=one.id, status=one.status, due_at=one.due_at or one.created_at) for one in mine]
    about = [
        [keyboards.press(say.say("button-case-payment", at=one.at, what=title(say, one), **_sum(one)), "case", one.id)]
        for one in latest
    ]
    add = [[keyboards.press(say.say("button-case-add", id=one.id), "case-add", one.id)] for one in mine]
    other = [keyboards.press(say.say("button-case-other"), "case", 0)]
    return "\n\n".join(lines), keyboards.rows(*add, *about, other)


def case_prompt(say: Words, about: Purchase | None) -> tuple[str, InlineKeyboardMarkup]:
    """Return the words that a person's next message follows."""
    drop = keyboards.rows([keyboards.press(say.say("button-case-drop"), "case-drop")])
    text = say.say("case-prompt", chars_max=TEXT_UNITS_MAX)
    if about is not None:
        head = say.say("case-prompt-payment", at=about.at, what=title(say, about), **_sum(about))
        text = f"{head}\n\n{text}"
    return text, drop


def operators_line(say: Words, purchase: Purchase) -> str:
    """Return a payment's line for the operator: its number leads to /refund and /quarantine."""
    return say.say(
        "admin-payment-line",
        payment_id=purchase.id,
        at=purchase.at,
        what=title(say, purchase),
        reason=purchase.quarantined or "none",
        **_state(purchase),
        **_sum(purchase),
    )


def refund_card(say: Words, wish: Wish, rule: Rule) -> str:
    """Return what the operator looks at before a refund: the payment, its tokens' fate, what the rule says."""
    paid = wish.purchase
    return "\n".join(
        [
            operators_line(say, paid),
            say.say("admin-refund-person", person_id=paid.payer_id),
            say.say("admin-refund-tokens", tokens=paid.tokens, left=paid.tokens_left, percent=paid.spent_percent)
            if paid.tokens
            else say.say("admin-refund-no-tokens"),
            say.say("admin-refund-rule", verdict=wish.verdict, refund_hours=rule.hours, refund_percent=rule.percent),
        ]
    )


def not_now(say: Words, purchase: Purchase) -> str:
    """Return why a payment cannot be refunded as it stands."""
    return say.say("admin-refund-not-now", payment_id=purchase.id, **_state(purchase))


def typed(purchase: Purchase) -> str:
    """Return what is left of an amount as the operator types it: 600, 399, 399.50."""
    if purchase.currency != "RUB":
        return str(purchase.rest)
    whole, rest = divmod(purchase.rest, 100)
    return f"{whole}.{rest:02}" if rest else str(whole)


def quarantine(say: Words, waiting: list[Purchase], now: datetime) -> str:
    """Return /quarantine: what stands there, why, for how long, and what can be done."""
    if not waiting:
        return say.say("admin-quarantine-none")
    lines = [
        say.say(
            "admin-quarantine-line",
            payment_id=one.id,
            person_id=one.payer_id,
            age_s=int((now - one.at).total_seconds()),
            reason=one.quarantined,
            way="refunding" if one.refunding else "both" if _creditable(one) else "refund",
            **_sum(one),
        )
        for one in waiting
    ]
    return "\n".join([say.say("admin-quarantine"), *lines, "", say.say("admin-quarantine-usage")])


def _creditable(purchase: Purchase) -> bool:
    return purchase.quarantined in CREDITABLE and not purchase.returned


def cases_line(say: Words, case: Case, person: Person | None, now: datetime) -> str:
    """Return a case's line of /cases."""
    left_s = int((case.due_at - now).total_seconds()) if case.due_at else 0
    return say.say(
        "admin-cases-line",
        id=case.id,
        name=person.first_name if person else "?",
        person_id=case.person_id,
        age_s=int((now - case.created_at).total_seconds()),
        left_s=abs(left_s),
        urgency="answered" if case.due_at is None else "waits" if left_s > 0 else "late",
    )


def case_card(say: Words, args: dict[str, Any], said: str) -> str:
    """Return a case's card again, with what was said in it; `args` are those of its notice (app.cases.card_args)."""
    what = args["what"]
    shown = what.get(say.language, "unknown") if isinstance(what, dict) else what
    instants = {name: datetime.fromisoformat(args[name]) if args[name] else None for name in ("paid_at", "due_at")}
    return say.say("admin-case", **{**args, **instants, "what": shown, "text": said})
