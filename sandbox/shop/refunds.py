"""Refunds: of succeeded payments, in part or whole, never more than was paid; pending, then succeeded or canceled."""

from sandbox.shop import receipts
from sandbox.shop.errors import invalid
from sandbox.shop.state import Json, Payment, Refund, money, new_id, stamp
from sandbox.shop.world import World

REFUNDABLE_MS = 3 * 365 * 24 * 3600 * 1000


def view(_world: World, refund: Refund) -> Json:
    """The refund as the API shows it."""
    shown: Json = {
        "id": refund.id,
        "payment_id": refund.payment_id,
        "status": refund.status,
        "created_at": stamp(refund.created_ms),
        "amount": money(refund.amount),
        "metadata": refund.metadata,
    }
    if refund.description is not None:
        shown["description"] = refund.description
    if refund.reason is not None:
        shown["cancellation_details"] = {"party": "refund_network", "reason": refund.reason}
    if refund.receipt_registration is not None:
        shown["receipt_registration"] = refund.receipt_registration
    return shown


def create(world: World, asked: Json) -> Refund:
    """POST refunds. Raises ApiError."""
    payment = world.state.payments.get(asked["payment_id"])
    if payment is None:
        raise invalid("There is no such payment", "payment_id")
    if payment.status != "succeeded" or payment.captured_ms is None:
        raise invalid(f"Only a payment that succeeded can be refunded, this one is {payment.status}", "payment_id")
    now_ms = world.now_ms()
    if now_ms - payment.captured_ms > REFUNDABLE_MS:
        raise invalid("The payment is older than three years", "payment_id")
    if asked["amount"] > payment.refundable:
        left = money(payment.refundable)["value"]
        raise invalid(f"More than is left of the payment cannot be refunded: {left}", "amount")
    settings = world.state.settings
    refund = Refund(
        id=new_id("0015", now_ms),
        serial=world.serial(),
        created_ms=now_ms,
        payment_id=payment.id,
        amount=asked["amount"],
        description=asked["description"],
        metadata=asked["metadata"],
        receipt=_receipt_of(payment, asked),
        due_ms=now_ms + int(settings.refund_after_s * 1000),
        answer=settings.refund_decline,
    )
    if refund.receipt is not None:
        refund.receipt_registration = "pending"
    world.state.refunds[refund.id] = refund
    payment.reserved += refund.amount
    if settings.refund_after_s <= 0:
        resolve(world, refund)
    else:
        world.arm("refund", refund.id, refund.due_ms or now_ms)
    world.changed()
    return refund


def _receipt_of(payment: Payment, asked: Json) -> Json | None:
    """The whole needs none, since the shop has that of the payment; a part cannot be guessed."""
    if asked["receipt"] is not None or payment.receipt is None:
        return asked["receipt"]  # type: ignore[no-any-return]
    if asked["amount"] != payment.amount:
        raise invalid("A part of a payment with a receipt needs a receipt of its own", "receipt")
    return payment.receipt


def resolve(world: World, refund: Refund) -> None:
    """The bank's answer has come."""
    payment = world.state.payments[refund.payment_id]
    refund.due_ms = None
    payment.reserved -= refund.amount
    if refund.answer is not None:
        refund.status, refund.reason = "canceled", refund.answer
        if refund.receipt_registration is not None:
            refund.receipt_registration = "canceled"
    else:
        refund.status = "succeeded"
        payment.refunded += refund.amount
        if refund.receipt is not None:
            settlement = {"type": "cashless", "amount": money(refund.amount)}
            receipts.register(world, payment, refund.receipt | {"settlements": [settlement]}, refund)
        world.notifier.notify("refund.succeeded", refund.id, view(world, refund))
    world.changed()
