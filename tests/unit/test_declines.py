"""What follows a failed charge of a saved card."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import declines
from billing.declines import Plan
from sandbox.shop.cards import REASONS

NOW = datetime(2027, 2, 28, 12, tzinfo=UTC)
GRACE_UNTIL = NOW + timedelta(days=3)
DAY = timedelta(days=1)


def _plan(*reasons: str, at: datetime = NOW) -> Plan:
    return declines.plan(reasons, now=at, grace_until=GRACE_UNTIL)


def test_every_reason_of_the_shop_is_sorted_on_purpose() -> None:
    assert set(declines.GROUPS) >= REASONS


@pytest.mark.parametrize("reason", ["insufficient_funds", "issuer_unavailable", "payment_method_limit_exceeded"])
def test_what_may_pass_is_tried_daily_until_the_grace_ends(reason: str) -> None:
    assert _plan(reason) == Plan(NOW + DAY)
    assert _plan(reason, reason, at=NOW + DAY) == Plan(NOW + 2 * DAY)
    # The next try would come as the grace ends: no plan would be left to renew.
    assert _plan(reason, reason, reason, at=NOW + 2 * DAY) == Plan(None)


@pytest.mark.parametrize("reason", ["general_decline", "call_issuer", "a_reason_of_tomorrow"])
def test_a_refusal_without_a_reason_is_tried_once_more(reason: str) -> None:
    assert _plan(reason) == Plan(NOW + DAY)
    assert _plan(reason, reason, at=NOW + DAY) == Plan(None)
    assert _plan(reason, "general_decline", at=NOW + DAY) == Plan(None)


@pytest.mark.parametrize(
    "reason",
    [
        "permission_revoked",
        "card_expired",
        "payment_method_restricted",
        "fraud_suspected",
        "country_forbidden",
        "invalid_card_number",
    ],
)
def test_a_dead_card_is_dead_whatever_is_heard_after_it(reason: str) -> None:
    assert _plan(reason) == Plan(None, dead=True)
    assert _plan(reason, "insufficient_funds") == Plan(None, dead=True)
    assert _plan("internal_timeout", reason) == Plan(None, dead=True)


@pytest.mark.parametrize("reason", ["3d_secure_failed", "invalid_csc", "canceled_by_merchant", "refused"])
def test_what_waits_for_somebody_is_not_tried_behind_their_back(reason: str) -> None:
    assert _plan(reason) == Plan(None)
    assert _plan(reason, "internal_timeout") == Plan(None)


@pytest.mark.parametrize("reason", ["internal_timeout", "never_sent", "never_arrived"])
def test_what_never_reached_the_bank_is_tried_soon_and_quietly_but_not_for_ever(reason: str) -> None:
    soon = Plan(NOW + timedelta(minutes=10), quiet=True)
    assert [_plan(*[reason] * n) for n in (1, 2, 3)] == [soon] * 3
    assert _plan(*[reason] * 4) == Plan(NOW + DAY)


def test_nothing_is_planned_past_the_grace() -> None:
    for reason in sorted(REASONS):
        assert _plan(reason, at=GRACE_UNTIL).next_at is None, reason


def test_no_plan_without_a_failure() -> None:
    with pytest.raises(ValueError, match="no charge has failed"):
        _plan()
