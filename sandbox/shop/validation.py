"""Reads requests: through the SDK's own request models first, then by the limits that YooKassa documents."""

import re
from typing import Any
from urllib.parse import urlsplit

import orjson
from yookassa.domain.request import (
    CapturePaymentRequest,
    PaymentRequest,
    ReceiptRequest,
    RefundRequest,
)
from yookassa.domain.request.payment_method_request import (
    SavePaymentMethodDataBankCardRequest,
    SavePaymentMethodDataSbpRequest,
)

from sandbox.shop.errors import invalid
from sandbox.shop.receipt_rules import check_receipt, check_second_receipt
from sandbox.shop.state import Json

AMOUNT = re.compile(r"[0-9]{1,10}\.[0-9]{2}")
METADATA_KEYS_MAX, METADATA_NAME_MAX, METADATA_VALUE_MAX = 16, 32, 512
DESCRIPTION_MAX = 128
REFUND_DESCRIPTION_MAX = 250
CUSTOMER_ID_MAX = 200
URL_MAX = 2048
METHOD_TYPES = frozenset({"bank_card", "sbp"})
# Names that YooKassa has and this shop does not simulate: refused, so that nobody believes they did something. The SDK
# itself sends some of them as empty lists.
_NOT_SIMULATED = frozenset(
    {"airline", "deal", "fraud_data", "payment_order", "payment_token", "pos_link", "receiver", "recipient"}
    | {"refund_method_data", "sources", "statements", "transfers"}
)


def read_json(raw: bytes) -> Json:
    """The body of a POST as an object; nothing is an empty object, null is a name left out. Raises ApiError."""
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid("The body of the request is not JSON") from error
    if not isinstance(body, dict):
        raise invalid("The body of the request must be a JSON object")
    return {name: value for name, value in body.items() if value is not None}


def amount_of(raw: Any, parameter: str = "amount") -> int:
    """Kopecks of an amount object: a string with two decimals, RUB, above zero. Raises ApiError."""
    if not isinstance(raw, dict):
        raise invalid("An amount is an object with value and currency", parameter)
    value, currency = raw.get("value"), raw.get("currency")
    if not isinstance(value, str) or not AMOUNT.fullmatch(value):
        raise invalid("The value is a string such as 100.00, with two decimals", f"{parameter}.value")
    if currency != "RUB":
        raise invalid("This shop takes RUB only", f"{parameter}.currency")
    kopecks = int(value.replace(".", ""))
    if kopecks == 0:
        raise invalid("The value must be above zero", f"{parameter}.value")
    return kopecks


def _through_sdk(model: Any, raw: Json) -> None:
    """Builds and validates the SDK's request; its complaint becomes the refusal. Raises ApiError."""
    for name in raw:
        if name in _NOT_SIMULATED and raw[name] != []:
            raise invalid("The simulated shop does not do this", name)
        if not isinstance(getattr(model, name, None), property):
            raise invalid("Unknown parameter", name)
    try:
        model(raw).validate()
    except (TypeError, ValueError, AttributeError, ArithmeticError, KeyError) as error:
        raise invalid(f"The request cannot be read: {error}") from error


def _flag(raw: Json, name: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise invalid("true or false is expected", name)
    return value


def _text(raw: Json, name: str, length_max: int) -> str | None:
    value = raw.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > length_max):
        raise invalid(f"A string of at most {length_max} characters is expected", name)
    return value


def _metadata(raw: Json) -> Json:
    metadata = raw.get("metadata", {})
    if not isinstance(metadata, dict) or len(metadata) > METADATA_KEYS_MAX:
        raise invalid(f"metadata is an object of at most {METADATA_KEYS_MAX} keys", "metadata")
    for name, value in metadata.items():
        if len(name) > METADATA_NAME_MAX:
            raise invalid(f"A name in metadata has at most {METADATA_NAME_MAX} characters", "metadata")
        if not isinstance(value, str) or len(value) > METADATA_VALUE_MAX:
            words = f"A value in metadata is a string of at most {METADATA_VALUE_MAX} characters"
            raise invalid(words, f"metadata.{name}")
    return metadata


def _return_url(raw: Json) -> str | None:
    """Where the customer is sent back to; None when the request has no confirmation."""
    confirmation = raw.get("confirmation")
    if confirmation is None:
        return None
    if not isinstance(confirmation, dict) or confirmation.get("type") != "redirect":
        raise invalid("The simulated shop knows the confirmation redirect only", "confirmation.type")
    url = confirmation.get("return_url")
    if not isinstance(url, str) or len(url) > URL_MAX:
        raise invalid(f"An address of at most {URL_MAX} characters is expected", "confirmation.return_url")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise invalid("This is not an address", "confirmation.return_url") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise invalid("An http or https address is expected", "confirmation.return_url")
    return url


def _method_type(raw: Json) -> str | None:
    data = raw.get("payment_method_data")
    if data is None:
        return None
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in METHOD_TYPES:
        raise invalid("The simulated shop takes bank_card and sbp", "payment_method_data.type")
    if set(data) - {"type"}:
        words = "Card data are typed on the page of the shop, not sent by the merchant"
        raise invalid(words, "payment_method_data")
    return kind


def read_payment(raw: Json) -> Json:
    """What a new payment asks for. Raises ApiError."""
    _return_url(raw)  # the SDK fails on an unknown type without saying where
    method_type = _method_type(raw)
    _through_sdk(PaymentRequest, raw)
    amount = amount_of(raw.get("amount"))
    method_id = _text(raw, "payment_method_id", 64)
    asked: Json = {
        "amount": amount,
        "capture": _flag(raw, "capture"),
        "save": _flag(raw, "save_payment_method"),
        "description": _text(raw, "description", DESCRIPTION_MAX),
        "merchant_customer_id": _text(raw, "merchant_customer_id", CUSTOMER_ID_MAX),
        "metadata": _metadata(raw),
        "return_url": _return_url(raw),
        "method_type": method_type,
        "method_id": method_id,
        "receipt": raw.get("receipt"),
    }
    if asked["receipt"] is not None:
        check_receipt(asked["receipt"], amount)
    if method_id is None and asked["return_url"] is None:
        raise invalid("Without a saved method the customer has to confirm", "confirmation")
    if method_id is not None and asked["return_url"] is not None:
        raise invalid("A charge of a saved method needs no confirmation", "confirmation")
    if method_id is not None and asked["save"]:
        raise invalid("The method is saved already", "save_payment_method")
    if method_type == "sbp" and not asked["capture"]:
        raise invalid("SBP has no two-stage payments: capture must be true", "capture")
    return asked


def read_capture(raw: Json) -> Json:
    """`amount` in kopecks or None for all of it, and a receipt. Raises ApiError."""
    _through_sdk(CapturePaymentRequest, raw)
    amount = None if raw.get("amount") is None else amount_of(raw["amount"])
    return {"amount": amount, "receipt": raw.get("receipt")}


def read_refund(raw: Json) -> Json:
    """What a refund asks for. Raises ApiError."""
    if not isinstance(raw.get("payment_id"), str) or len(raw["payment_id"]) != 36:
        raise invalid("The id of a payment has 36 characters", "payment_id")
    _through_sdk(RefundRequest, raw)
    asked: Json = {
        "payment_id": raw["payment_id"],
        "amount": amount_of(raw.get("amount")),
        "description": _text(raw, "description", REFUND_DESCRIPTION_MAX),
        "metadata": _metadata(raw),
        "receipt": raw.get("receipt"),
    }
    if asked["receipt"] is not None:
        check_receipt(asked["receipt"], asked["amount"])
    return asked


def read_receipt(raw: Json) -> Json:
    """A receipt that is sent apart from its payment or refund. Raises ApiError."""
    if raw.get("send") is not True:
        raise invalid("send must be true", "send")
    _through_sdk(ReceiptRequest, raw)
    check_second_receipt(raw)
    return raw


def read_binding(raw: Json) -> Json:
    """A card or SBP account to be saved without a payment. Raises ApiError."""
    models = {"bank_card": SavePaymentMethodDataBankCardRequest, "sbp": SavePaymentMethodDataSbpRequest}
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in models:
        raise invalid("The simulated shop takes bank_card and sbp", "type")
    if "card" in raw:
        raise invalid("Card data are typed on the page of the shop, not sent by the merchant", "card")
    return_url = _return_url(raw)
    _through_sdk(models[kind], raw)
    if return_url is None:
        raise invalid("The customer has to confirm", "confirmation")
    return {"type": kind, "return_url": return_url, "metadata": _metadata(raw)}
