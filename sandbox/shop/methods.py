"""Payment methods: cards and SBP accounts, those that were saved, and what they answer to later charges."""

from sandbox.shop.cards import CARDS, card_title, card_view
from sandbox.shop.errors import BadInput
from sandbox.shop.state import Json, Method, new_id
from sandbox.shop.world import World

CONFIRMATION_MS = 3600 * 1000
SBP_TITLE = "SBP, Sandbox Bank (simulated)"
SBP_BANK = {"bank_id": "100000000000", "bic": "044525000"}


def in_payment(method: Method) -> Json:
    """The method inside a payment."""
    shown: Json = {"type": method.type, "id": method.id, "saved": method.saved}
    if method.title is not None:
        shown["title"] = method.title
    if method.card is not None:
        shown["card"] = method.card
    if method.type == "sbp":
        shown["payer_bank_details"] = SBP_BANK
        shown["sbp_operation_id"] = method.id.replace("-", "").upper()
    return shown


def view(world: World, method: Method) -> Json:
    """The method by itself, as payment_methods shows it."""
    shown = in_payment(method)
    shown.pop("sbp_operation_id", None)
    if method.status != "active":
        shown.pop("payer_bank_details", None)
    shown |= {
        "status": method.status,
        "holder": {"account_id": world.state.shop_id, "gateway_id": "100700"},
        "metadata": method.metadata,
    }
    if method.status == "pending" and method.return_url is not None:
        shown["confirmation"] = {
            "type": "redirect",
            "return_url": method.return_url,
            "confirmation_url": f"{world.base_url}/checkout/{method.id}",
        }
    return shown


def create_binding(world: World, asked: Json) -> Method:
    """POST payment_methods: a method that is saved without a payment once its owner has confirmed it."""
    now_ms = world.now_ms()
    method = Method(
        id=new_id("000e", now_ms),
        type=asked["type"],
        created_ms=now_ms,
        return_url=asked["return_url"],
        metadata=asked["metadata"],
        due_ms=now_ms + CONFIRMATION_MS,
    )
    world.state.methods[method.id] = method
    world.arm("method", method.id, now_ms + CONFIRMATION_MS)
    world.changed()
    return method


def fill_card(method: Method, number: str, month: str, year: str) -> None:
    """Writes down which card it is; of its number the ten digits that YooKassa shows, and which test card it was."""
    method.card = card_view(number, month, year)
    method.title = card_title(number)
    method.card_number = number
    method.decline = CARDS[number].later


def activate(world: World, method: Method, *, saved: bool) -> None:
    """The bank has agreed: from now on the method is what it is."""
    method.status = "active" if saved else "inactive"
    method.saved = saved
    method.due_ms = None
    if method.type == "sbp":
        method.title = SBP_TITLE
    world.changed()


def expire(world: World, method: Method) -> None:
    """Nobody confirmed the binding in time."""
    method.due_ms = None
    if method.status == "pending":
        method.status = "inactive"
    world.changed()


def answer_of(method: Method) -> str | None:
    """What a charge of the saved method gets: the reason of a decline, counted, or None when it goes through."""
    if method.revoked:
        return "permission_revoked"
    if method.decline is None or method.declines_left == 0:
        return None
    if method.declines_left is not None:
        method.declines_left -= 1
    return method.decline


def change(world: World, method: Method, raw: Json, reasons: frozenset[str]) -> None:
    """What the control API makes of it: `decline` and `times`, `answer_after_s`, `revoked`. Raises BadInput."""
    for name in raw:
        if name not in {"decline", "times", "answer_after_s", "revoked"}:
            raise BadInput(f"a method has no {name}")
    if raw.get("decline") is not None and raw["decline"] not in reasons:
        raise BadInput(f"unknown reason {raw['decline']!r}")
    if "decline" in raw:
        method.decline = raw["decline"]
        method.declines_left = None if raw.get("times") is None else int(raw["times"])
    if "answer_after_s" in raw:
        method.answer_after_s = float(raw["answer_after_s"])
    if "revoked" in raw:
        method.revoked = bool(raw["revoked"])
    world.changed()


def control_view(world: World, method: Method) -> Json:
    """The method with what a merchant does not see."""
    return view(world, method) | {
        "decline": method.decline,
        "times": method.declines_left,
        "answer_after_s": method.answer_after_s,
        "revoked": method.revoked,
    }
