"""The shop's own books: what came in, what went back, what the shop kept, to the kopeck."""

from collections import Counter

from sandbox.shop.payments import fee_of
from sandbox.shop.state import Json
from sandbox.shop.world import World


def totals(world: World) -> Json:
    """Kopecks over all time: `held` waits for a capture, `refunding` for a bank; counts by status."""
    payments, refunds = world.state.payments.values(), world.state.refunds.values()
    succeeded = [payment for payment in payments if payment.status == "succeeded"]
    return {
        "paid": sum(payment.amount for payment in succeeded),
        "refunded": sum(refund.amount for refund in refunds if refund.status == "succeeded"),
        "refunding": sum(refund.amount for refund in refunds if refund.status == "pending"),
        "held": sum(payment.amount for payment in payments if payment.status == "waiting_for_capture"),
        "fees": sum(fee_of(payment.amount) for payment in succeeded),
        "payments": dict(Counter(payment.status for payment in payments)),
        "refunds": dict(Counter(refund.status for refund in refunds)),
        "receipts": dict(Counter(receipt.status for receipt in world.state.receipts.values())),
        "saved_methods": sum(1 for method in world.state.methods.values() if method.saved and not method.revoked),
    }
