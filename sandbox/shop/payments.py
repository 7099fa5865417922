"""Payments: pending, then waiting_for_capture or at once succeeded, or canceled with who and why."""

import secrets

from sandbox.shop import methods, receipts
from sandbox.shop.cards import party_of
from sandbox.shop.errors import invalid
from sandbox.shop.receipt_rules import check_receipt
from sandbox.shop.state import GATEWAY_ID, Json, Method, Payment, money, new_id, stamp
from sandbox.shop.world import World

CAPTURE_MS = 7 * 24 * 3600 * 1000
FEE_PER_MILLE = 35


def fee_of(amount: int) -> int:
    """What the shop keeps of a payment, in kopecks; half a kopeck goes to the shop."""
    return (amount * FEE_PER_MILLE + 500) // 1000


def view(world: World, payment: Payment) -> Json:
    """The payment as the API shows it now."""
    shown: Json = {
        "id": payment.id,
        "status": payment.status,
        "amount": money(payment.amount),
        "recipient": {"account_id": world.state.shop_id, "gateway_id": GATEWAY_ID},
        "created_at": stamp(payment.created_ms),
        "test": True,
        "paid": payment.status in {"waiting_for_capture", "succeeded"},
        "refundable": payment.refundable > 0,
        "metadata": payment.metadata,
    }
    if payment.description is not None:
        shown["description"] = payment.description
    if payment.merchant_customer_id is not None:
        shown["merchant_customer_id"] = payment.merchant_customer_id
    holder = world.state.methods.get(payment.holder or "")
    if holder is not None:
        shown["payment_method"] = methods.in_payment(holder)
    elif payment.method_type is not None:
        shown["payment_method"] = {"type": payment.method_type, "id": payment.id, "saved": False}
    if payment.status == "pending" and payment.return_url is not None:
        shown["confirmation"] = {
            "type": "redirect",
            "return_url": payment.return_url,
            "confirmation_url": f"{world.base_url}/checkout/{payment.id}",
        }
    if payment.status == "waiting_for_capture" and payment.due_ms is not None:
        shown["expires_at"] = stamp(payment.due_ms)
    if payment.captured_ms is not None:
        shown["captured_at"] = stamp(payment.captured_ms)
        shown["income_amount"] = money(payment.amount - fee_of(payment.amount))
        shown["refunded_amount"] = money(payment.refunded)
    if payment.reason is not None:
        shown["cancellation_details"] = {"party": payment.party, "reason": payment.reason}
    if payment.auth is not None:
        shown["authorization_details"] = payment.auth
    if payment.receipt_registration is not None:
        shown["receipt_registration"] = payment.receipt_registration
    return shown


def create(world: World, asked: Json) -> Payment:
    """POST payments: waits for its customer, or charges a saved method at once. Raises ApiError."""
    method = _saved_method(world, asked) if asked["method_id"] is not None else None
    now_ms = world.now_ms()
    payment = Payment(
        id=new_id("000f", now_ms),
        serial=world.serial(),
        created_ms=now_ms,
        amount=asked["amount"],
        capture=asked["capture"],
        save=asked["save"],
        method_type=asked["method_type"] if method is None else method.type,
        holder=None if method is None else method.id,
        return_url=asked["return_url"],
        description=asked["description"],
        metadata=asked["metadata"],
        merchant_customer_id=asked["merchant_customer_id"],
        receipt=asked["receipt"],
        receipt_registration=None if asked["receipt"] is None else "pending",
    )
    world.state.payments[payment.id] = payment
    if method is None:
        _wait_until(world, payment, now_ms + methods.CONFIRMATION_MS)
    else:
        payment.answer = methods.answer_of(method) or "paid"
        _wait_until(world, payment, now_ms + int(method.answer_after_s * 1000))
        if method.answer_after_s <= 0:
            fall_due(world, payment)
    world.changed()
    return payment


def _saved_method(world: World, asked: Json) -> Method:
    method = world.state.methods.get(asked["method_id"])
    if method is None or not method.saved:
        raise invalid("There is no such saved payment method", "payment_method_id")
    if method.type == "sbp" and not asked["capture"]:
        raise invalid("SBP has no two-stage payments: capture must be true", "capture")
    return method


def _wait_until(world: World, payment: Payment, due_ms: int) -> None:
    payment.due_ms = due_ms
    world.arm("payment", payment.id, due_ms)


def authorize(world: World, payment: Payment, holder: Method, *, with_3ds: bool = False) -> None:
    """The bank has agreed: the money is taken, or held until it is captured."""
    assert payment.status == "pending"
    now_ms = world.now_ms()
    payment.holder, payment.method_type = holder.id, holder.type
    if holder.type == "bank_card":
        number = secrets.randbelow(10**12)
        payment.auth = {
            "rrn": f"{number:012d}",
            "auth_code": f"{number % 10**6:06d}",
            "three_d_secure": {"applied": with_3ds},
        }
    payment.asks_3ds = False
    if payment.capture:
        _succeed(world, payment, now_ms)
        return
    payment.status = "waiting_for_capture"
    _wait_until(world, payment, now_ms + CAPTURE_MS)
    _notify(world, payment)


def _succeed(world: World, payment: Payment, now_ms: int) -> None:
    payment.status, payment.due_ms, payment.captured_ms = "succeeded", None, now_ms
    if payment.receipt is not None:
        settlement = {"type": "cashless", "amount": money(payment.amount)}
        receipts.register(world, payment, payment.receipt | {"settlements": [settlement]})
    _notify(world, payment)


def give_up(world: World, payment: Payment, reason: str, at_ms: int | None = None) -> None:
    """Cancels a payment that is pending or waiting for its capture; whatever was held is free again."""
    assert payment.status in {"pending", "waiting_for_capture"}
    payment.status, payment.due_ms = "canceled", None
    payment.party, payment.reason = party_of(reason), reason
    payment.asks_3ds = False
    if payment.receipt_registration is not None:
        payment.receipt_registration = "canceled"
    _notify(world, payment, at_ms)


def _notify(world: World, payment: Payment, at_ms: int | None = None) -> None:
    world.notifier.notify(f"payment.{payment.status}", payment.id, view(world, payment), at_ms)
    world.changed()


def fall_due(world: World, payment: Payment) -> None:
    """Its time has come: the bank's answer to a charge, or nobody confirmed or captured it."""
    due_ms, answer = payment.due_ms, payment.answer
    payment.answer = None
    if payment.status == "waiting_for_capture":
        give_up(world, payment, "expired_on_capture", due_ms)
    elif answer is None:
        give_up(world, payment, "expired_on_confirmation", due_ms)
    elif answer == "paid":
        authorize(world, payment, world.state.methods[payment.holder or ""])
    else:
        give_up(world, payment, answer)


def capture(world: World, payment: Payment, asked: Json) -> None:
    """POST capture: takes what is held, or a part of it, the rest going back to the customer. Raises ApiError."""
    if payment.status != "waiting_for_capture":
        raise invalid(f"Only a payment that is waiting_for_capture can be captured, this one is {payment.status}")
    amount = payment.amount if asked["amount"] is None else asked["amount"]
    if amount > payment.amount:
        raise invalid("More than is held cannot be captured", "amount")
    if asked["receipt"] is not None:
        check_receipt(asked["receipt"], amount)
        payment.receipt, payment.receipt_registration = asked["receipt"], "pending"
    elif payment.receipt is not None and amount != payment.amount:
        raise invalid("A part needs a receipt of its own", "receipt")
    payment.amount = amount
    _succeed(world, payment, world.now_ms())


def cancel(world: World, payment: Payment) -> None:
    """POST cancel: the merchant lets go of what is held. Raises ApiError."""
    if payment.status != "waiting_for_capture":
        raise invalid(f"Only a payment that is waiting_for_capture can be canceled, this one is {payment.status}")
    give_up(world, payment, "canceled_by_merchant")
