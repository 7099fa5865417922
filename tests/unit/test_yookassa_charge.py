"""The request that charges a saved card, as the sandbox's shop reads it."""

import orjson

from billing.yookassa import requests
from billing.yookassa.requests import NewCharge
from sandbox.shop import validation


def test_a_charge_names_the_saved_card_and_asks_nobody() -> None:
    body = requests.charge(NewCharge(49_905, "Подписка «Плюс»" * 20, "2e1b-method", {"forma_payment": "7"}))
    read = validation.read_payment(orjson.loads(body))
    assert read["amount"] == 49_905
    assert read["method_id"] == "2e1b-method"
    assert read["capture"] is True
    assert (read["return_url"], read["save"]) == (None, False)
    assert read["metadata"] == {"forma_payment": "7"}
    assert len(read["description"]) == requests.DESCRIPTION_LENGTH_MAX


def test_the_same_charge_is_the_same_bytes() -> None:
    new = NewCharge(100, "Подписка", "2e1b-method", {"b": "2", "a": "1"})
    other = NewCharge(100, "Подписка", "2e1b-method", {"a": "1", "b": "2"})
    assert requests.charge(new) == requests.charge(other)
    assert "receipt" not in orjson.loads(requests.charge(new))
