"""Receipts that the payer's law asks for, as YooKassa takes them with a payment or a refund.

    54fz   an online cash register prints them: VAT is said, the customer's e-mail is needed
    npd    YooKassa registers the income of a self-employed person: no VAT, the e-mail is needed
    none   receipts are made elsewhere

The codes: https://yookassa.ru/developers/payment-acceptance/receipts/54fz/yoomoney/parameters-values
"""

import re
from datetime import UTC, datetime
from typing import Any, Final, Literal

from billing.yookassa.objects import rendered

Mode = Literal["54fz", "npd", "none"]
Vat = Literal["none", "0", "5", "7", "10", "standard"]

DESCRIPTION_LENGTH_MAX: Final = 128
EMAIL_LENGTH_MAX: Final = 254
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# What registries and mail servers take: https://www.rfc-editor.org/rfc/rfc5321#section-4.1.2, without quoted names.
_EMAIL: Final = re.compile(
    rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[A-Za-z][A-Za-z0-9-]{{0,61}}[A-Za-z0-9]"
)
_VAT_CODES: Final[dict[Vat, int]] = {"none": 1, "0": 2, "5": 7, "7": 8, "10": 3}
# The general rate by the day from which it holds, the latest first: 22 % since 2026, 20 % before.
_STANDARD_CODES: Final = ((datetime(2026, 1, 1, tzinfo=UTC), 11), (datetime.min.replace(tzinfo=UTC), 4))


def needs_email(mode: Mode) -> bool:
    """Tell whether a payment needs the payer's e-mail."""
    return mode != "none"


def is_email(value: str) -> bool:
    """Tell whether a text can be an e-mail address; whether somebody reads there only a letter would show."""
    return len(value) <= EMAIL_LENGTH_MAX and _EMAIL.fullmatch(value) is not None


def vat_code(vat: Vat, at: datetime) -> int:
    """Return YooKassa's code of a VAT rate on a day; "standard" is the general rate of that day."""
    if vat != "standard":
        return _VAT_CODES[vat]
    return next(code for since, code in _STANDARD_CODES if at >= since)


def of(mode: Mode, *, email: str, title: str, kopecks: int, vat: Vat, at: datetime) -> dict[str, Any] | None:
    """Return the receipt of one thing sold (or given back) at `at`, None where receipts are made elsewhere."""
    if not needs_email(mode):
        return None
    if not is_email(email):
        raise ValueError("a receipt needs an e-mail address")
    return {
        "customer": {"email": email},
        "items": [
            {
                "description": title[:DESCRIPTION_LENGTH_MAX],
                "quantity": "1",
                "amount": rendered(kopecks),
                "vat_code": vat_code(vat if mode == "54fz" else "none", at),
                "payment_subject": "service",
                "payment_mode": "full_payment",
            }
        ],
    }
