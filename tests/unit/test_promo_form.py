"""What the operator writes after `/promo new` is read to the letter, or the piece that was not understood is named."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing import catalog
from billing.promos import Terms
from bot import promo_form

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
PLANS = catalog.load(Path(__file__).resolve().parents[2] / "plans.toml")


@pytest.mark.parametrize(
    ("raw", "code", "terms"),
    [
        ("весна tokens=50_000 days=30", "ВЕСНА", Terms("tokens", tokens=50_000, days=30)),
        (" X-1_ plan=forma  days=7 uses=100", "X-1_", Terms("days", plan_id="forma", days=7, uses_max=100)),
        (
            "sale percent=20 plans=pack,lite first",
            "SALE",
            Terms("percent", percent=20, plans=("pack", "lite"), first_purchase=True),
        ),
        (
            "day percent=1 from=2026-12-31 until=2026-12-31",
            "DAY",
            Terms(
                "percent",
                percent=1,
                valid_from=datetime(2026, 12, 31, tzinfo=UTC),
                valid_until=datetime(2027, 1, 1, tzinfo=UTC),
            ),
        ),
    ],
)
def test_a_form_is_read_to_the_letter(raw: str, code: str, terms: Terms) -> None:
    assert promo_form.read(raw, PLANS, NOW) == (code, terms)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ("", ""),
        ("AB tokens=5 days=5", "AB"),
        ("X" * 33 + " percent=5", "X" * 33),
        ("GOOD", ""),
        ("GOOD tokens=5", ""),
        ("GOOD days=5", ""),
        ("GOOD percent=10 tokens=5 days=5", ""),
        ("GOOD plan=lite days=5 plans=lite", ""),
        ("GOOD tokens=0 days=5", "tokens=0"),
        ("GOOD tokens=-5 days=5", "tokens=-5"),
        ("GOOD tokens=5.5 days=5", "tokens=5.5"),
        ("GOOD tokens=" + "9" * 3_000, "tokens=" + "9" * 3_000),
        ("GOOD tokens=10_000_001 days=5", "tokens=10_000_001"),
        ("GOOD tokens=٥ days=5", "tokens=٥"),
        ("GOOD tokens=5 days=366", "days=366"),
        ("GOOD percent=100", "percent=100"),
        ("GOOD percent=0", "percent=0"),
        ("GOOD percent=10 percent=20", "percent=20"),
        ("GOOD percent=10 plans=nothing", "plans=nothing"),
        ("GOOD percent=10 plans=free", "plans=free"),
        ("GOOD percent=10 plans=", "plans="),
        ("GOOD plan=pack days=5", "plan=pack"),
        ("GOOD plan=trial days=5", "plan=trial"),
        ("GOOD percent=10 first=1", "first=1"),
        ("GOOD percent=10 uses", "uses"),
        ("GOOD percent=10 color=red", "color=red"),
        ("GOOD percent=10 until=2026-11-23", "until"),
        ("GOOD percent=10 until=2027-02-30", "until=2027-02-30"),
        ("GOOD percent=10 until=9999-12-31", "until=9999-12-31"),
        ("GOOD percent=10 until=20271231", "until=20271231"),
        ("GOOD percent=10 from=2027-01-02 until=2027-01-01", "until"),
    ],
)
def test_what_is_no_form_is_named(raw: str, what: str) -> None:
    with pytest.raises(promo_form.BadForm) as bad:
        promo_form.read(raw, PLANS, NOW)
    assert bad.value.what == what
