"""Charges of a saved card that failed: whether the card is tried again by itself, when, and when it never may be.

Pure rules, in the groups that YooKassa's reasons fall into. A plan ends with the grace, whatever the reasons were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

Group = Literal["soon", "next_day", "once_more", "stop", "ask"]

# The charge never got as far as the bank, or got lost on the way there.
SOON: Final = timedelta(minutes=10)
SOON_MAX: Final = 3
NEXT_DAY: Final = timedelta(hours=24)
# After these the bank is asked again so many times in a period: more of it looks like guessing, and cards are blocked.
ONCE_MORE_MAX: Final = 1

GROUPS: Final[dict[str, Group]] = {
    "internal_timeout": "soon",
    # Ours: the request was never sent, or is not in YooKassa's list.
    "never_sent": "soon",
    "never_arrived": "soon",
    "issuer_unavailable": "next_day",
    "insufficient_funds": "next_day",
    "payment_method_limit_exceeded": "next_day",
    "general_decline": "once_more",
    "call_issuer": "once_more",
    "permission_revoked": "stop",
    "card_expired": "stop",
    "payment_method_restricted": "stop",
    "fraud_suspected": "stop",
    "country_forbidden": "stop",
    "invalid_card_number": "stop",
    "3d_secure_failed": "ask",
    "invalid_csc": "ask",
    "identification_required": "ask",
    "unsupported_mobile_operator": "ask",
    # No decline of the bank's: somebody decided so, or nobody confirmed. Nothing charges by itself after that.
    "canceled_by_merchant": "ask",
    "expired_on_confirmation": "ask",
    "expired_on_capture": "ask",
    # Ours: YooKassa does not take the request. It would not take the next one either.
    "refused": "ask",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows a failed charge. `next_at`: when the card is tried again, None: never by itself in this period.

    `dead`: the card must not be charged again, in this period or any other. `quiet`: nothing to tell the person of yet,
    since nobody declined anything and the next try is minutes away.
    """

    next_at: datetime | None
    dead: bool = False
    quiet: bool = False


def group(reason: str) -> Group:
    """Return a reason's group; one that we do not know counts as a bank's refusal without a reason."""
    return GROUPS.get(reason, "once_more")


def plan(reasons: Sequence[str], *, now: datetime, grace_until: datetime) -> Plan:
    """Return what follows the failed charges of one period; `reasons` are theirs, the latest last.

    Nothing is planned for `grace_until` or later: no plan is left to renew. Raises ValueError without a reason.
    """
    if not reasons:
        raise ValueError("no charge has failed")
    latest = group(reasons[-1])
    failed_alike = sum(group(reason) == latest for reason in reasons)
    # A reason that ends the card ends it for good, even if a charge under way brought another one after it.
    if any(group(reason) == "stop" for reason in reasons):
        return Plan(None, dead=True)
    # Whoever has to do something themselves is not charged behind their back meanwhile.
    if any(group(reason) == "ask" for reason in reasons):
        return Plan(None)
    if latest == "soon" and failed_alike <= SOON_MAX:
        return _within(Plan(now + SOON, quiet=True), grace_until)
    if latest == "once_more" and failed_alike > ONCE_MORE_MAX:
        return Plan(None)
    return _within(Plan(now + NEXT_DAY), grace_until)


def _within(planned: Plan, grace_until: datetime) -> Plan:
    return planned if planned.next_at is not None and planned.next_at < grace_until else Plan(None)
