"""The cash register by the control API: its receipts, and its answer to one of them."""

from aiohttp import web

from sandbox.shop import dues, receipts
from sandbox.shop.api import WORLD, reply
from sandbox.shop.control import ADVANCE_S_MAX, body_of
from sandbox.shop.errors import BadInput, Impossible, Missing
from sandbox.shop.state import Receipt
from sandbox.shop.world import World

ANSWERS = ("succeeded", "canceled")


async def list_receipts(request: web.Request) -> web.Response:
    """GET receipts: all of them, oldest first, optionally those of a status."""
    world = request.app[WORLD]
    dues.settle(world)
    status = request.query.get("status")
    found = [one for one in world.state.receipts.values() if status in (None, one.status)]
    return reply({"receipts": [receipts.view(world, one) for one in found]})


async def answer(request: web.Request) -> web.Response:
    """POST receipts/{id}/answer: what the register says of a pending receipt, at once or `after_s` of the clock."""
    raw = await body_of(request)
    world = request.app[WORLD]
    dues.settle(world)
    receipt = _find(world, request.match_info["id"])
    said, after_s = raw.get("status", "succeeded"), raw.get("after_s", 0)
    if said not in ANSWERS:
        raise BadInput(f"status is one of {', '.join(ANSWERS)}")
    if isinstance(after_s, bool) or not isinstance(after_s, int | float) or not 0 <= after_s <= ADVANCE_S_MAX:
        raise BadInput("after_s is a number of seconds")
    if receipt.status != "pending":
        raise Impossible(f"the receipt is {receipt.status}")
    receipts.answer_later(world, receipt, said, after_s)
    dues.settle(world)
    return reply(receipts.view(world, receipt))


def _find(world: World, wanted: str) -> Receipt:
    """A receipt by its id, or the one that came with a payment or a refund, by the id of that. Raises Missing."""
    known = world.state.receipts
    if wanted in known:
        return known[wanted]
    for one in reversed(known.values()):
        if not one.own and wanted == (one.payment_id if one.refund_id is None else one.refund_id):
            return one
    raise Missing("no such receipt")


def add_routes(app: web.Application) -> None:
    """Adds the routes."""
    at = "/_control/receipts"
    app.add_routes([web.get(at, list_receipts), web.post(f"{at}/{{id}}/answer", answer)])
