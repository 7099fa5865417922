"""What is asked of YooKassa, built and checked by the SDK's request models, as the bytes that go out.

A request is built once and stored before it is sent, since YooKassa takes a repetition for the same payment only when
key and body are the same.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from billing.yookassa.objects import rendered

DESCRIPTION_LENGTH_MAX: Final = 128
KEY_LENGTH_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment to be asked for. `metadata` comes back with the object; `receipt` as billing.receipts makes it.

    `save_method`: the person agrees that the means of payment is kept for renewals.
    """

    kopecks: int
    description: str
    return_url: str
    metadata: dict[str, str]
    receipt: dict[str, Any] | None = None
    save_method: bool = False


def payment(new: NewPayment) -> str:
    """Return the body that asks for a payment which is taken at once (one stage), confirmed on YooKassa's page."""
    from yookassa.domain.request.payment_request import PaymentRequest

    fields: dict[str, Any] = {
        "amount": rendered(new.kopecks),
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": new.return_url},
        "description": new.description[:DESCRIPTION_LENGTH_MAX],
        "metadata": new.metadata,
    }
    if new.receipt is not None:
        fields["receipt"] = new.receipt
    if new.save_method:
        fields["save_payment_method"] = True
    return _body(PaymentRequest(fields), fields)


@dataclass(frozen=True, slots=True)
class NewCharge:
    """A charge of a saved means of payment, which nobody confirms; otherwise as NewPayment."""

    kopecks: int
    description: str
    method_id: str
    metadata: dict[str, str]
    receipt: dict[str, Any] | None = None


def charge(new: NewCharge) -> str:
    """Return the body that charges a saved means of payment, at once and in one stage."""
    from yookassa.domain.request.payment_request import PaymentRequest

    fields: dict[str, Any] = {
        "amount": rendered(new.kopecks),
        "capture": True,
        "description": new.description[:DESCRIPTION_LENGTH_MAX],
        "metadata": new.metadata,
        "payment_method_id": new.method_id,
    }
    if new.receipt is not None:
        fields["receipt"] = new.receipt
    return _body(PaymentRequest(fields), fields)


def refund(
    payment_id: str,
    *,
    kopecks: int,
    description: str,
    receipt: dict[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
) -> str:
    """Return the body that asks for `kopecks` of a payment back. `metadata` comes back with the object."""
    from yookassa.domain.request.refund_request import RefundRequest

    fields: dict[str, Any] = {
        "payment_id": payment_id,
        "amount": rendered(kopecks),
        "description": description[:DESCRIPTION_LENGTH_MAX],
    }
    if metadata is not None:
        fields["metadata"] = metadata
    if receipt is not None:
        fields["receipt"] = receipt
    return _body(RefundRequest(fields), fields)


def _body(request: Any, fields: dict[str, Any]) -> str:
    """The model checks lengths, types and what belongs together; what is sent are our own exact amounts."""
    request.validate()
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()
