"""What a receipt holds under 54-FZ as YooKassa documents it: a customer, items with their codes, sums that match."""

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from yookassa.domain.models.receipt_data.receipt_item import PaymentMode, PaymentSubject

from sandbox.shop.errors import ApiError, invalid
from sandbox.shop.state import Json

ITEMS_MAX = 80
DESCRIPTION_MAX = 128
VAT_CODES = range(1, 13)
TAX_SYSTEMS = range(1, 7)
QUANTITY_MAX = Decimal(99_999)
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONE = re.compile(r"[0-9]{4,15}")
AMOUNT = re.compile(r"[0-9]{1,10}\.[0-9]{2}")
SETTLEMENTS = frozenset({"cashless", "prepayment", "postpayment", "consideration"})


def _constants(holder: type) -> frozenset[str]:
    return frozenset(value for name, value in vars(holder).items() if name.isupper())


SUBJECTS = _constants(PaymentSubject)
MODES = _constants(PaymentMode)


def check_receipt(receipt: Any, total: int, where: str = "receipt") -> None:
    """The receipt of a payment, a capture or a refund of `total` kopecks. Raises ApiError."""
    if not isinstance(receipt, dict):
        raise invalid("A receipt is an object", where)
    _check_customer(receipt.get("customer"), where)
    code = receipt.get("tax_system_code")
    if code is not None and (isinstance(code, bool) or code not in TAX_SYSTEMS):
        raise invalid("tax_system_code is 1 to 6", f"{where}.tax_system_code")
    if _items_total(receipt.get("items"), where) != total:
        raise invalid("The items do not come to the amount", f"{where}.items")


def check_second_receipt(raw: Json) -> None:
    """A receipt of its own: `type`, what it belongs to, and settlements that come to its items. Raises ApiError."""
    if not _one_of(raw.get("type"), frozenset({"payment", "refund"})):
        raise invalid("type is payment or refund", "type")
    needed = "payment_id" if raw["type"] == "payment" else "refund_id"
    if not isinstance(raw.get(needed), str):
        raise invalid("It must say what it belongs to", needed)
    _check_customer(raw.get("customer"), "")
    total = _items_total(raw.get("items"), "")
    settlements = raw.get("settlements")
    if not isinstance(settlements, list) or not settlements:
        raise invalid("settlements must not be empty", "settlements")
    settled = 0
    for index, settlement in enumerate(settlements):
        where = f"settlements[{index}]"
        if not isinstance(settlement, dict) or not _one_of(settlement.get("type"), SETTLEMENTS):
            raise invalid("Unknown type of settlement", f"{where}.type")
        settled += _kopecks(settlement.get("amount"), f"{where}.amount")
    if settled != total:
        raise invalid("The settlements do not come to the items", "settlements")


def _check_customer(customer: Any, where: str) -> None:
    parameter = f"{where}.customer".lstrip(".")
    if not isinstance(customer, dict):
        raise invalid("A receipt needs its customer", parameter)
    email, phone = customer.get("email"), customer.get("phone")
    if email is None and phone is None:
        raise invalid("A receipt needs an email or a phone", parameter)
    if email is not None and not (isinstance(email, str) and EMAIL.fullmatch(email)):
        raise invalid("This is not an email address", f"{parameter}.email")
    if phone is not None and not (isinstance(phone, str) and PHONE.fullmatch(phone)):
        raise invalid("A phone is its digits, country code first", f"{parameter}.phone")


def _items_total(items: Any, where: str) -> int:
    parameter = f"{where}.items".lstrip(".")
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS_MAX:
        raise invalid(f"A receipt has 1 to {ITEMS_MAX} items", parameter)
    return sum(_item_total(item, f"{parameter}[{index}]") for index, item in enumerate(items))


def _item_total(item: Any, where: str) -> int:
    if not isinstance(item, dict):
        raise invalid("An item is an object", where)
    description = item.get("description")
    if not isinstance(description, str) or not 1 <= len(description) <= DESCRIPTION_MAX:
        raise invalid(f"1 to {DESCRIPTION_MAX} characters are expected", f"{where}.description")
    vat_code = item.get("vat_code")
    if isinstance(vat_code, bool) or not isinstance(vat_code, int) or vat_code not in VAT_CODES:
        raise invalid("vat_code is 1 to 12", f"{where}.vat_code")
    if not _one_of(item.get("payment_subject"), SUBJECTS):
        raise invalid("Unknown payment_subject", f"{where}.payment_subject")
    if not _one_of(item.get("payment_mode"), MODES):
        raise invalid("Unknown payment_mode", f"{where}.payment_mode")
    try:
        quantity = Decimal(str(item.get("quantity")))
    except InvalidOperation as error:
        raise invalid("This is not a quantity", f"{where}.quantity") from error
    if not quantity.is_finite() or not 0 < quantity <= QUANTITY_MAX:
        raise invalid("A quantity is above zero", f"{where}.quantity")
    kopecks = _kopecks(item.get("amount"), f"{where}.amount") * quantity
    return int(kopecks.quantize(Decimal(1), ROUND_HALF_UP))


def _one_of(value: Any, allowed: frozenset[str]) -> bool:
    """A list or an object is not even looked up: it has no hash."""
    return isinstance(value, str) and value in allowed


def _kopecks(raw: Any, where: str) -> int:
    """An amount that may be zero, unlike that of a payment."""
    value = raw.get("value") if isinstance(raw, dict) else None
    if not isinstance(value, str) or not AMOUNT.fullmatch(value) or raw.get("currency") != "RUB":
        raise _bad_amount(where)
    return int(value.replace(".", ""))


def _bad_amount(where: str) -> ApiError:
    return invalid("The value is a string such as 100.00, with two decimals, in RUB", where)
