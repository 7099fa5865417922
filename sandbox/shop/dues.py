"""What falls due as the shop's clock goes on, in the order of its time."""

import heapq

from sandbox.shop import idempotence, methods, payments, receipts, refunds
from sandbox.shop.world import World


def settle(world: World) -> None:
    """Does everything whose time has come; called before each answer, so that nothing late is ever seen pending."""
    now_ms = world.now_ms()
    while world.dues and world.dues[0][0] <= now_ms:
        due_ms, _, kind, record_id = heapq.heappop(world.dues)
        _fall_due(world, kind, record_id, due_ms)
    idempotence.forget_old(world)


def _fall_due(world: World, kind: str, record_id: str, due_ms: int) -> None:
    state = world.state
    if kind == "payment":
        payment = state.payments[record_id]
        if payment.due_ms == due_ms:
            payments.fall_due(world, payment)
    elif kind == "refund":
        refund = state.refunds[record_id]
        if refund.due_ms == due_ms:
            refunds.resolve(world, refund)
    elif kind == "receipt":
        receipt = state.receipts[record_id]
        if receipt.due_ms == due_ms:
            receipts.resolve(world, receipt)
    else:
        method = state.methods[record_id]
        if method.due_ms == due_ms:
            methods.expire(world, method)
