"""The cards that can be typed on the checkout page, and who says no in whose name.

Numbers that YooKassa publishes for its test shops are kept, so that the same ones work there; four are the sandbox's
own.
"""

from dataclasses import dataclass

from sandbox.shop.state import Json

CARD_DECLINES = (
    "insufficient_funds",
    "general_decline",
    "call_issuer",
    "card_expired",
    "payment_method_limit_exceeded",
    "payment_method_restricted",
    "fraud_suspected",
    "country_forbidden",
    "invalid_card_number",
    "invalid_csc",
    "issuer_unavailable",
    "internal_timeout",
    "3d_secure_failed",
    "identification_required",
    "permission_revoked",
)
REASONS = frozenset(
    {
        *CARD_DECLINES,
        "expired_on_confirmation",
        "expired_on_capture",
        "canceled_by_merchant",
        "unsupported_mobile_operator",
    }
)
REFUND_REASONS = frozenset({"general_decline", "insufficient_funds", "rejected_by_payee", "rejected_by_timeout"})
_BY_THE_SHOP = frozenset(
    {"country_forbidden", "internal_timeout", "permission_revoked", "expired_on_confirmation", "expired_on_capture"}
)


@dataclass(frozen=True, slots=True)
class TestCard:
    """A number and what it answers: `decline` now, `later` on charges of the saved card; `asks_3ds` asks first."""

    number: str
    decline: str | None = None
    asks_3ds: bool = False
    later: str | None = None
    own: bool = False

    def view(self) -> Json:
        """The card as the page and the control API show it."""
        return {
            "number": self.number,
            "decline": self.decline,
            "asks_3ds": self.asks_3ds,
            "later": self.later,
            "own": self.own,
        }


CARDS = {
    card.number: card
    for card in (
        TestCard("5555555555554444"),
        TestCard("4111111111111111"),
        TestCard("2202474301322987"),
        TestCard("5555555555554477", asks_3ds=True),
        TestCard("2200000000000004", asks_3ds=True),
        TestCard("5555555555554600", "insufficient_funds"),
        TestCard("5555555555554527", "general_decline"),
        TestCard("5555555555554535", "call_issuer"),
        TestCard("5555555555554543", "card_expired"),
        TestCard("5555555555554576", "payment_method_limit_exceeded"),
        TestCard("5555555555554550", "payment_method_restricted"),
        TestCard("5555555555554568", "fraud_suspected"),
        TestCard("5555555555554584", "country_forbidden"),
        TestCard("5555555555554618", "invalid_card_number"),
        TestCard("5555555555554626", "invalid_csc"),
        TestCard("5555555555554501", "issuer_unavailable"),
        TestCard("5555555555554592", "3d_secure_failed", asks_3ds=True),
        TestCard("2200990000000014", "internal_timeout", own=True),
        TestCard("2200990000000022", "identification_required", own=True),
        TestCard("2200990000000030", "permission_revoked", own=True),
        TestCard("2200990000000048", later="insufficient_funds", own=True),
    )
}
CARD_OF = {card.decline: card.number for card in CARDS.values() if card.decline}
"""The number that answers with a reason."""

_NETWORKS = {"2": "MIR", "4": "Visa", "5": "MasterCard"}
ISSUER = "Sandbox Bank (simulated)"


def party_of(reason: str) -> str:
    """Who decided, as cancellation_details.party has it."""
    if reason == "canceled_by_merchant":
        return "merchant"
    return "yoo_money" if reason in _BY_THE_SHOP else "payment_network"


def card_view(number: str, month: str, year: str) -> Json:
    """The card in a payment method: never more of its number than ten digits."""
    return {
        "first6": number[:6],
        "last4": number[-4:],
        "expiry_month": month,
        "expiry_year": year,
        "card_type": _NETWORKS[number[0]],
        "issuer_country": "RU",
        "issuer_name": ISSUER,
    }


def card_title(number: str) -> str:
    """How a saved card is named."""
    return f"Bank card *{number[-4:]}"
