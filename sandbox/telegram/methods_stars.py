"""Methods about Stars: invoices, checkout, refunds, subscriptions, transactions."""

import secrets
from typing import Any

from aiogram import methods as m

from sandbox.telegram import chats, star_list, stars
from sandbox.telegram.errors import bad_request
from sandbox.telegram.methods_change import QUERY_TOO_OLD
from sandbox.telegram.methods_send import Handler, Uploads, inline_keyboard, reply_fields
from sandbox.telegram.state import Invoice, Json
from sandbox.telegram.world import World

TITLE_MAX = 32
DESCRIPTION_MAX = 255
PAYLOAD_BYTES_MAX = 128
SUBSCRIPTION_PERIOD_S = 30 * 24 * 3600
SUBSCRIPTION_STARS_MAX = 10_000
INVOICE_STARS_MAX = 100_000
TRANSACTIONS_PAGE_MAX = 100


def _invoice(call: Any, *, is_link: bool) -> Invoice:
    """An invoice from a call; raises 400 where a limit of Stars is not kept."""
    if call.currency != "XTR":
        raise bad_request("the sandbox sells for Stars only: currency must be XTR")
    if call.provider_token:
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    if not 1 <= len(call.title) <= TITLE_MAX:
        raise bad_request("INVOICE_TITLE_INVALID")
    if not 1 <= len(call.description) <= DESCRIPTION_MAX:
        raise bad_request("INVOICE_DESCRIPTION_INVALID")
    if not 1 <= len(call.payload.encode()) <= PAYLOAD_BYTES_MAX:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    if len(call.prices) != 1:
        raise bad_request("STARS_INVOICE_INVALID: exactly one price is needed")
    period = getattr(call, "subscription_period", None)
    if period is not None and period != SUBSCRIPTION_PERIOD_S:
        raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
    amount = call.prices[0].amount
    if not 1 <= amount <= (SUBSCRIPTION_STARS_MAX if period else INVOICE_STARS_MAX):
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
    return Invoice(
        slug=secrets.token_urlsafe(12),
        title=call.title,
        description=call.description,
        payload=call.payload,
        amount=amount,
        subscription_period=period,
        is_link=is_link,
        start_parameter=getattr(call, "start_parameter", None) or "",
    )


def create_invoice_link(world: World, call: m.CreateInvoiceLink, _: Uploads) -> str:
    """createInvoiceLink, the only way to a subscription."""
    invoice = _invoice(call, is_link=True)
    world.state.invoices[invoice.slug] = invoice
    world.changed()
    return f"https://t.me/${invoice.slug}"


def send_invoice(world: World, call: m.SendInvoice, _: Uploads) -> Json:
    """sendInvoice: the first button pays; it is added where there is none."""
    target = chats.writable(world, call.chat_id)
    invoice = _invoice(call, is_link=False)
    markup = inline_keyboard(call.reply_markup)
    if markup is None:
        markup = {"inline_keyboard": [[{"text": f"Pay ⭐️{invoice.amount}", "pay": True}]]}
    elif not markup["inline_keyboard"][0][0].get("pay"):
        raise bad_request("the first button of an invoice's keyboard must be a Pay button")
    content: Json = {
        "invoice": {
            "title": invoice.title,
            "description": invoice.description,
            "start_parameter": invoice.start_parameter,
            "currency": "XTR",
            "total_amount": invoice.amount,
        },
        "reply_markup": markup,
    }
    content |= reply_fields(world, call, target.id)
    world.state.invoices[invoice.slug] = invoice
    return chats.post(world, target, world.state.bot.user(), content, invoice=invoice.slug).body


def answer_pre_checkout_query(world: World, call: m.AnswerPreCheckoutQuery, _: Uploads) -> bool:
    """answerPreCheckoutQuery: within 10 s of real time; a refusal needs words."""
    checkout = world.checkouts.get(call.pre_checkout_query_id)
    if checkout is None or checkout.answer.done():
        raise bad_request(QUERY_TOO_OLD)
    if not call.ok and not call.error_message:
        raise bad_request("ERROR_MESSAGE_EMPTY")
    checkout.answer.set_result((call.ok, call.error_message))
    return True


def refund_star_payment(world: World, call: m.RefundStarPayment, _: Uploads) -> bool:
    """refundStarPayment."""
    stars.refund(world, call.user_id, call.telegram_payment_charge_id)
    return True


def edit_user_star_subscription(world: World, call: m.EditUserStarSubscription, _: Uploads) -> bool:
    """editUserStarSubscription."""
    stars.edit_by_bot(world, call.user_id, call.telegram_payment_charge_id, is_canceled=call.is_canceled)
    return True


def get_star_transactions(world: World, call: m.GetStarTransactions, _: Uploads) -> Json:
    """getStarTransactions: chronological; a refund has the id of its payment."""
    offset = max(call.offset or 0, 0)
    limit = TRANSACTIONS_PAGE_MAX if call.limit is None else call.limit
    if not 1 <= limit <= TRANSACTIONS_PAGE_MAX:
        raise bad_request("LIMIT_INVALID")
    return {"transactions": world.state.transactions[offset : offset + limit]}


def get_my_star_balance(world: World, _call: m.GetMyStarBalance, _: Uploads) -> Json:
    """getMyStarBalance."""
    return star_list.balance(world)


HANDLERS: dict[str, Handler] = {
    "createinvoicelink": create_invoice_link,
    "sendinvoice": send_invoice,
    "answerprecheckoutquery": answer_pre_checkout_query,
    "refundstarpayment": refund_star_payment,
    "edituserstarsubscription": edit_user_star_subscription,
    "getstartransactions": get_star_transactions,
    "getmystarbalance": get_my_star_balance,
}
