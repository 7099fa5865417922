"""Fiscal receipts: made when the money has moved, registered some time later or not at all, apart from the money."""

from sandbox.shop.errors import invalid
from sandbox.shop.state import Json, Payment, Receipt, Refund, new_id, stamp
from sandbox.shop.world import World

FISCAL_STORAGE = "9288000100115785"


def view(_world: World, receipt: Receipt) -> Json:
    """The receipt as the API shows it; fiscal data only once it is registered."""
    body = receipt.body
    shown: Json = {
        "id": receipt.id,
        "type": receipt.type,
        "payment_id": receipt.payment_id,
        "status": receipt.status,
        "items": body["items"],
        "settlements": body.get("settlements", []),
    }
    if receipt.refund_id is not None:
        shown["refund_id"] = receipt.refund_id
    if "tax_system_code" in body:
        shown["tax_system_code"] = body["tax_system_code"]
    return shown | (receipt.fiscal or {})


def register(world: World, payment: Payment, body: Json, refund: Refund | None = None, *, own: bool = False) -> Receipt:
    """Begins to register a receipt of a payment, or of its refund. `own`: the merchant sent it by itself, so that the
    payment's and the refund's receipt_registration do not follow it."""
    now_ms = world.now_ms()
    settings = world.state.settings
    receipt = Receipt(
        id=f"rt-{new_id('0384', now_ms)}",
        serial=world.serial(),
        created_ms=now_ms,
        type="payment" if refund is None else "refund",
        payment_id=payment.id,
        refund_id=None if refund is None else refund.id,
        body=body,
        own=own,
        due_ms=now_ms + int(settings.receipt_after_s * 1000),
        answer="canceled" if settings.receipt_decline else "succeeded",
    )
    world.state.receipts[receipt.id] = receipt
    if not own:
        (payment if refund is None else refund).receipt_registration = "pending"
    world.arm("receipt", receipt.id, receipt.due_ms or now_ms)
    world.changed()
    return receipt


def answer_later(world: World, receipt: Receipt, answer: str, after_s: float) -> None:
    """Has the cash register answer so, that much later by the shop's clock."""
    assert receipt.status == "pending"
    receipt.answer, receipt.due_ms = answer, world.now_ms() + int(after_s * 1000)
    world.arm("receipt", receipt.id, receipt.due_ms)
    world.changed()


def resolve(world: World, receipt: Receipt) -> None:
    """The cash register's answer has come."""
    assert receipt.due_ms is not None
    receipt.status = receipt.answer or "succeeded"
    at_ms, receipt.due_ms = receipt.due_ms, None
    if receipt.status == "succeeded":
        number = str(receipt.serial)
        receipt.fiscal = {
            "fiscal_document_number": number,
            "fiscal_storage_number": FISCAL_STORAGE,
            "fiscal_attribute": number.rjust(10, "0"),
            "fiscal_provider_id": f"simulated-{number}",
            "registered_at": stamp(at_ms),
        }
    if not receipt.own:
        if receipt.refund_id is None:
            world.state.payments[receipt.payment_id].receipt_registration = receipt.status
        else:
            world.state.refunds[receipt.refund_id].receipt_registration = receipt.status
    world.changed()


def create(world: World, asked: Json) -> Receipt:
    """POST receipts: a receipt of the merchant's own for money that has moved. Raises ApiError."""
    refund = None
    payment_id = asked.get("payment_id")
    if asked["type"] == "refund":
        refund = world.state.refunds.get(asked["refund_id"])
        if refund is None or refund.status != "succeeded":
            raise invalid("There is no such refund that succeeded", "refund_id")
        payment_id = refund.payment_id
    payment = world.state.payments.get(payment_id or "")
    if payment is None or payment.status != "succeeded":
        raise invalid("There is no such payment that succeeded", "payment_id")
    body: Json = {
        name: asked[name] for name in ("items", "settlements", "customer", "tax_system_code") if name in asked
    }
    return register(world, payment, body, refund, own=True)
