"""The sandbox's shop as a merchant meets it: keys, rules, statuses, saved methods, refunds, receipts, lists."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yookassa import Configuration
from yookassa import Payment as SdkPayment
from yookassa import Refund as SdkRefund
from yookassa import Settings as SdkSettings
from yookassa.domain.exceptions import BadRequestError
from yookassa.domain.notification import WebhookNotificationFactory
from yookassa.domain.request import PaymentRequestBuilder
from yookassa.domain.response import (
    PaymentListResponse,
    PaymentResponse,
    ReceiptListResponse,
    ReceiptResponse,
    RefundListResponse,
    RefundResponse,
)
from yookassa.domain.response.payment_method_response import SavePaymentMethodBankCardResponse

from sandbox.shop.api import ROUTES
from sandbox.shop.cards import CARD_DECLINES, CARD_OF, CARDS
from sandbox.shop.faults import AFTER, BEFORE, DELIVERY
from tests.support.shop_driver import (
    RETURN_URL,
    Merchant,
    ShopBench,
    ShopControlError,
    payment_body,
    rub,
    shop_running,
)

HOUR_S = 3600
DAY_S = 24 * HOUR_S
ITEM = {
    "description": "Forma, a month",
    "quantity": "1.00",
    "amount": rub("100.00"),
    "vat_code": 1,
    "payment_subject": "service",
    "payment_mode": "full_payment",
}
RECEIPT = {"customer": {"email": "ada@example.com"}, "items": [ITEM]}


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[ShopBench]:
    async with shop_running() as bench:
        yield bench


@pytest.fixture
async def bench(running: ShopBench) -> ShopBench:
    """The module's shop, emptied."""
    await running.empty()
    return running


async def paid(bench: ShopBench, value: str = "100.00", **fields: Any) -> dict[str, Any]:
    """A payment that its customer has paid with a card."""
    payment = await bench.merchant.pay_page(value, **fields)
    return await bench.shop.pay(payment["id"])


async def test_a_wrong_key_is_401_in_the_form_of_yookassa_and_everything_says_that_it_is_simulated(
    bench: ShopBench,
) -> None:
    stranger = Merchant(bench.server.api_url, secret_key="live_stolen")
    answer = await stranger.post("payments", payment_body())
    await stranger.close()
    assert (answer.status, answer.body["type"], answer.body["code"]) == (401, "error", "invalid_credentials")
    assert set(answer.body) == {"type", "id", "code", "description", "parameter"}
    async with aiohttp.ClientSession() as nobody, nobody.get(f"{bench.server.api_url}/payments") as response:
        assert response.status == 401
        assert response.headers["X-Sandbox"] == "simulated"
    assert (await bench.merchant.pay_page())["test"] is True
    assert "live_stolen" not in str(await bench.shop.calls())


async def test_a_post_without_an_idempotence_key_or_with_one_too_long_is_refused(bench: ShopBench) -> None:
    auth = {"Authorization": aiohttp.encode_basic_auth("100500", "test_SANDBOX")}
    for key in ({}, {"Idempotence-Key": "k" * 65}):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{bench.server.api_url}/payments", json=payment_body(), headers=auth | key) as response,
        ):
            assert response.status == 400
            assert (await response.json())["parameter"] == "Idempotence-Key"
    assert (await bench.shop.totals())["payments"] == {}


async def test_bytes_that_are_no_text_reach_neither_the_state_nor_the_log(bench: ShopBench) -> None:
    host, port = bench.server.base_url.removeprefix("http://").split(":")
    auth = aiohttp.encode_basic_auth("100500", "test_SANDBOX").encode()
    body = b'{"metadata": {"a": "\\ud800"}}'
    for key, content in ((b"\xff\xfe", b"{}"), (b"k", body), (b"k", b'{"a": "\xff"}')):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = b"POST /v3/payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        writer.write(head + b"Authorization: " + auth + b"\r\nIdempotence-Key: " + key + b"\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()
    assert len(await bench.shop.calls("/v3/*")) == 3


async def test_a_repeated_key_gives_the_same_payment_as_it_is_now_for_a_day_and_then_a_new_one(
    bench: ShopBench,
) -> None:
    body = payment_body("250.00", metadata={"order": "7"})
    first = await bench.merchant.post("payments", body, "key-1")
    await bench.shop.pay(first.body["id"])
    turned = dict(reversed(body.items()))
    again = await bench.merchant.post("payments", turned, "key-1")
    assert (again.body["id"], again.body["status"]) == (first.body["id"], "succeeded")

    other = await bench.merchant.post("payments", payment_body("1.00"), "key-1")
    assert (other.status, other.body["parameter"]) == (400, "Idempotence-Key")
    elsewhere = await bench.merchant.post("refunds", body, "key-1")
    assert elsewhere.body["parameter"] == "Idempotence-Key"

    await bench.shop.advance(DAY_S - 60)
    assert (await bench.merchant.post("payments", body, "key-1")).body["id"] == first.body["id"]
    await bench.shop.advance(61)
    late = await bench.merchant.post("payments", body, "key-1")
    assert late.body["id"] != first.body["id"]
    assert (await bench.shop.totals())["paid"] == 25_000


async def test_twenty_at_once_with_one_key_make_one_payment_and_one_refund(bench: ShopBench) -> None:
    posts = await asyncio.gather(*(bench.merchant.post("payments", payment_body(), "same") for _ in range(20)))
    assert len({answer.body["id"] for answer in posts}) == 1
    payment = await bench.shop.pay(posts[0].body["id"])
    body = {"payment_id": payment["id"], "amount": rub("60.00")}
    refunds = await asyncio.gather(*(bench.merchant.post("refunds", body, "back") for _ in range(20)))
    assert len({answer.body["id"] for answer in refunds}) == 1
    more = await bench.merchant.post("refunds", body)
    assert (more.status, more.body["parameter"]) == (400, "amount")
    assert (await bench.shop.totals())["refunded"] == 6_000


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"amount": {"value": "100", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": 100.0, "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "0.00", "currency": "RUB"}}, None),
        ({"amount": {"value": "-5.00", "currency": "RUB"}}, None),
        ({"amount": {"value": "1e3", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "NaN", "currency": "RUB"}}, None),
        ({"amount": {"value": "5.00", "currency": "USD"}}, "amount.currency"),
        ({"amount": "100.00"}, None),
        ({"confirmation": None}, None),
        ({"confirmation": {"type": "redirect"}}, "confirmation.return_url"),
        ({"confirmation": {"type": "redirect", "return_url": "javascript:alert(1)"}}, "confirmation.return_url"),
        ({"confirmation": {"type": "carrier_pigeon"}}, "confirmation.type"),
        ({"description": "x" * 129}, None),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"n" * 33: "v"}}, "metadata"),
        ({"metadata": {"n": "v" * 513}}, "metadata.n"),
        ({"metadata": {"n": 5}}, "metadata.n"),
        ({"capture": "yes"}, "capture"),
        ({"payment_method_data": {"type": "cash"}}, "payment_method_data.type"),
        ({"payment_method_data": {"type": "bank_card", "card": {"number": "4111111111111111"}}}, "payment_method_data"),
        ({"payment_method_data": {"type": "sbp"}, "capture": False}, "capture"),
        ({"payment_method_data": {"type": ["sbp"]}}, "payment_method_data.type"),
        ({"payment_token": "t"}, "payment_token"),
        ({"ammount": rub("5.00")}, "ammount"),
        ({"__init__": 1}, "__init__"),
        ({"receipt": {"items": [ITEM]}}, None),
        ({"receipt": RECEIPT | {"customer": {"email": "nobody"}}}, None),
        ({"receipt": RECEIPT | {"items": []}}, "receipt.items"),
        ({"receipt": RECEIPT | {"items": [ITEM, ITEM]}}, "receipt.items"),
        ({"receipt": RECEIPT | {"items": [ITEM | {"vat_code": 13}]}}, "receipt.items[0].vat_code"),
        ({"receipt": RECEIPT | {"items": [ITEM | {"payment_subject": "air"}]}}, "receipt.items[0].payment_subject"),
        ({"receipt": RECEIPT | {"items": [ITEM | {"payment_subject": [{}]}]}}, "receipt.items[0].payment_subject"),
        ({"receipt": RECEIPT | {"items": [ITEM | {"payment_mode": "never"}]}}, "receipt.items[0].payment_mode"),
        ({"receipt": RECEIPT | {"items": [ITEM | {"quantity": "Infinity"}]}}, None),
    ],
)
async def test_what_yookassa_would_refuse_is_refused_and_makes_nothing(
    bench: ShopBench, change: dict[str, Any], parameter: str | None
) -> None:
    body = {name: value for name, value in (payment_body() | change).items() if value is not None}
    answer = await bench.merchant.post("payments", body)
    assert (answer.status, answer.body["code"]) == (400, "invalid_request"), answer.body
    assert parameter is None or answer.body["parameter"] == parameter
    assert (await bench.shop.totals())["payments"] == {}


async def test_a_body_that_is_no_json_object_and_a_path_that_is_none_are_told_in_the_same_form(
    bench: ShopBench,
) -> None:
    headers = {
        "Authorization": aiohttp.encode_basic_auth("100500", "test_SANDBOX"),
        "Idempotence-Key": "k",
        "Content-Type": "application/json",
    }
    url = f"{bench.server.api_url}/payments"
    async with aiohttp.ClientSession(headers=headers) as session:
        for raw in (b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 5_000):
            async with session.post(url, data=raw) as response:
                assert (response.status, (await response.json())["type"]) == (400, "error")
        async with session.post(url, data=b"a=b", headers={"Content-Type": "text/plain"}) as response:
            assert response.status == 415
        async with session.delete(url) as response:
            assert (response.status, (await response.json())["type"]) == (405, "error")
    assert (await bench.merchant.get("payments/unknown")).status == 404
    assert (await bench.merchant.get("deals")).body["code"] == "not_found"


async def test_the_sdk_itself_pays_lists_and_refunds_here(bench: ShopBench) -> None:
    """The synchronous client of the SDK, in a thread; its configuration is the process's, so it is put back."""
    kept = {name: getattr(Configuration, name) for name in ("account_id", "secret_key", "api_url")}
    Configuration.configure("100500", "test_SANDBOX", api_url=bench.server.api_url)
    try:
        request = (
            PaymentRequestBuilder()
            .set_amount({"value": "100.00", "currency": "RUB"})
            .set_capture(True)
            .set_confirmation({"type": "redirect", "return_url": RETURN_URL})
            .set_description("Forma, a month")
            .set_metadata({"order": "1"})
            .set_receipt(RECEIPT)
            .build()
        )
        payment = await asyncio.to_thread(SdkPayment.create, request, "sdk-1")
        assert payment.confirmation.confirmation_url.startswith(bench.server.base_url)
        await bench.shop.pay(payment.id)
        found = await asyncio.to_thread(SdkPayment.find_one, payment.id)
        assert (found.status, found.paid, str(found.amount.value)) == ("succeeded", True, "100.00")
        assert (await asyncio.to_thread(SdkSettings.get_account_settings))["test"] is True
        refund = await asyncio.to_thread(
            SdkRefund.create, {"payment_id": payment.id, "amount": {"value": "100.00", "currency": "RUB"}}
        )
        assert refund.status == "succeeded"
        with pytest.raises(BadRequestError) as refused:
            await asyncio.to_thread(SdkPayment.capture, payment.id)
        assert refused.value.content["code"] == "invalid_request"
    finally:
        for name, value in kept.items():
            setattr(Configuration, name, value)


async def test_every_answer_is_read_by_the_models_of_the_sdk(bench: ShopBench) -> None:
    payment = await paid(bench, receipt=RECEIPT, save=True)
    refund = await bench.merchant.refund(payment["id"], "100.00")
    merchant = bench.merchant
    binding = await merchant.made(
        "payment_methods", {"type": "bank_card", "confirmation": {"type": "redirect", "return_url": RETURN_URL}}
    )
    await bench.shop.pay(binding["id"])

    read = PaymentResponse(await merchant.seen(f"payments/{payment['id']}"))
    assert (read.payment_method.saved, read.payment_method.card.last4) == (True, "4444")
    assert (read.receipt_registration, read.refundable) == ("succeeded", False)
    assert (str(read.refunded_amount.value), str(read.income_amount.value)) == ("100.00", "96.50")
    assert RefundResponse(await merchant.seen(f"refunds/{refund['id']}")).payment_id == payment["id"]
    payments = PaymentListResponse(await merchant.seen("payments"))
    assert (payments.type, [one.id for one in payments.items]) == ("list", [payment["id"]])
    assert [one.status for one in RefundListResponse(await merchant.seen("refunds")).items] == ["succeeded"]
    receipts = await merchant.seen("receipts")
    assert [one.type for one in ReceiptListResponse(receipts).items] == ["refund", "payment"]
    receipt = ReceiptResponse(await merchant.seen(f"receipts/{receipts['items'][1]['id']}"))
    assert (receipt.status, receipt.items[0].vat_code, receipt.payment_id) == ("succeeded", 1, payment["id"])
    method = SavePaymentMethodBankCardResponse(await merchant.seen(f"payment_methods/{binding['id']}"))
    assert (method.status, method.saved, method.card.last4) == ("active", True, "4444")

    await bench.shop.flush()
    heard = [WebhookNotificationFactory().create(body) for body in bench.ear.heard]
    assert [one.event for one in heard] == ["payment.succeeded", "refund.succeeded", "payment_method.active"]
    assert [one.object.id for one in heard] == [payment["id"], refund["id"], binding["id"]]


async def test_a_two_stage_payment_is_captured_in_part_canceled_or_forgotten(bench: ShopBench) -> None:
    held = [await paid(bench, capture=False) for _ in range(3)]
    assert {one["status"] for one in held} == {"waiting_for_capture"}
    assert (await bench.shop.totals())["held"] == 30_000
    part, let_go, forgotten = (one["id"] for one in held)

    much = await bench.merchant.post(f"payments/{part}/capture", {"amount": rub("100.01")})
    assert much.body["parameter"] == "amount"
    taken = await bench.merchant.made(f"payments/{part}/capture", {"amount": rub("70.00")})
    assert (taken["status"], taken["amount"]["value"]) == ("succeeded", "70.00")
    assert (await bench.merchant.post(f"payments/{part}/capture", {})).status == 400
    gone = await bench.merchant.made(f"payments/{let_go}/cancel")
    assert gone["cancellation_details"] == {"party": "merchant", "reason": "canceled_by_merchant"}
    await bench.shop.advance(7 * DAY_S)
    late = await bench.merchant.seen(f"payments/{forgotten}")
    assert late["cancellation_details"] == {"party": "yoo_money", "reason": "expired_on_capture"}
    assert (await bench.merchant.post(f"payments/{part}/cancel")).status == 400
    totals = await bench.shop.totals()
    assert (totals["paid"], totals["held"]) == (7_000, 0)


async def test_a_page_lives_an_hour_and_then_the_payment_cannot_be_paid(bench: ShopBench) -> None:
    payment = await bench.merchant.pay_page()
    await bench.shop.advance(HOUR_S - 5)
    assert (await bench.merchant.seen(f"payments/{payment['id']}"))["status"] == "pending"
    await bench.shop.advance(5)
    expired = await bench.merchant.seen(f"payments/{payment['id']}")
    assert expired["cancellation_details"]["reason"] == "expired_on_confirmation"
    assert "confirmation" not in expired
    with pytest.raises(ShopControlError, match="canceled already"):
        await bench.shop.pay(payment["id"])
    assert bench.ear.events == ["payment.canceled"]


async def test_there_is_a_card_for_every_reason_and_it_is_declined_with_it(bench: ShopBench) -> None:
    assert set(CARD_OF) == set(CARD_DECLINES)
    by_the_shop = {"country_forbidden", "internal_timeout", "permission_revoked"}
    for reason, number in CARD_OF.items():
        payment = await bench.merchant.pay_page()
        declined = await bench.shop.pay(payment["id"], card=number, confirm_3ds=True)
        party = "yoo_money" if reason in by_the_shop else "payment_network"
        assert declined["cancellation_details"] == {"party": party, "reason": reason}
        assert declined["payment_method"]["card"]["last4"] == number[-4:]
        read = PaymentResponse(declined)
        assert (read.cancellation_details.reason, read.paid) == (reason, False)
        assert number not in str(await bench.merchant.seen(f"payments/{payment['id']}"))
    with pytest.raises(ShopControlError, match="card"):
        await bench.shop.pay((await bench.merchant.pay_page())["id"], card="4000000000000002")
    assert (await bench.shop.totals())["paid"] == 0


async def test_3d_secure_asks_first_and_a_refusal_there_is_a_decline(bench: ShopBench) -> None:
    number = next(card.number for card in CARDS.values() if card.asks_3ds and not card.decline)
    agreed, refused = [(await bench.merchant.pay_page())["id"] for _ in range(2)]
    asked = await bench.shop.pay(agreed, card=number)
    assert (asked["status"], asked["asks_3ds"]) == ("pending", True)
    done = await bench.shop.confirm_3ds(agreed)
    assert (done["status"], done["authorization_details"]["three_d_secure"]["applied"]) == ("succeeded", True)
    with pytest.raises(ShopControlError, match="no bank asks"):
        await bench.shop.confirm_3ds(agreed)
    declined = await bench.shop.pay(refused, card=number, confirm_3ds=False)
    assert declined["cancellation_details"]["reason"] == "3d_secure_failed"


async def test_a_saved_card_is_charged_without_its_owner_until_they_forbid_it(bench: ShopBench) -> None:
    first = await paid(bench, save=True)
    method = first["payment_method"]["id"]
    assert first["payment_method"]["saved"] is True
    renewed = await bench.merchant.charge(method, "600.00", metadata={"period": "2"})
    assert (renewed["status"], renewed["payment_method"]["id"]) == ("succeeded", method)
    assert "confirmation" not in renewed

    await bench.shop.declines(method, "insufficient_funds", times=2)
    tries = [await bench.merchant.charge(method) for _ in range(3)]
    assert [one.get("cancellation_details", {}).get("reason") for one in tries] == ["insufficient_funds"] * 2 + [None]
    held = await bench.merchant.charge(method, capture=False)
    assert held["status"] == "waiting_for_capture"

    await bench.shop.control("PATCH", f"methods/{method}", {"answer_after_s": 60})
    slow = await bench.merchant.charge(method)
    assert slow["status"] == "pending"
    with pytest.raises(ShopControlError):
        await bench.shop.pay(slow["id"])
    await bench.shop.advance(60)
    assert (await bench.merchant.seen(f"payments/{slow['id']}"))["status"] == "succeeded"

    await bench.shop.control("PATCH", f"methods/{method}", {"answer_after_s": 0})
    await bench.shop.revoke(method)
    assert (await bench.merchant.charge(method))["cancellation_details"]["reason"] == "permission_revoked"
    assert (await bench.shop.totals())["saved_methods"] == 0


async def test_only_what_its_owner_let_be_saved_can_be_charged(bench: ShopBench) -> None:
    not_asked = await paid(bench)
    asked = await bench.merchant.pay_page(save=True)
    not_agreed = await bench.shop.pay(asked["id"], save=False)
    for payment in (not_asked, not_agreed):
        assert payment["payment_method"]["saved"] is False
        body = {"amount": rub("1.00"), "capture": True, "payment_method_id": payment["id"]}
        answer = await bench.merchant.post("payments", body)
        assert (answer.status, answer.body["parameter"]) == (400, "payment_method_id")
    declined = await bench.merchant.pay_page(save=True)
    await bench.shop.pay(declined["id"], decline="fraud_suspected")
    assert await bench.shop.control("GET", "methods") == {"methods": []}


async def test_a_card_that_pays_once_declines_its_later_charges(bench: ShopBench) -> None:
    number = next(card.number for card in CARDS.values() if card.later)
    payment = await bench.merchant.pay_page(save=True)
    saved = await bench.shop.pay(payment["id"], card=number)
    assert saved["status"] == "succeeded"
    renewal = await bench.merchant.charge(saved["payment_method"]["id"])
    assert renewal["cancellation_details"]["reason"] == "insufficient_funds"


async def test_sbp_pays_in_one_stage_and_is_saved_only_when_asked(bench: ShopBench) -> None:
    plain = await bench.merchant.pay_page()
    done = await bench.shop.pay(plain["id"], method="sbp")
    assert (done["payment_method"]["type"], done["payment_method"]["saved"]) == ("sbp", False)
    assert PaymentResponse(done).payment_method.payer_bank_details.bank_id
    asked = await bench.merchant.pay_page(save=True, payment_method_data={"type": "sbp"})
    assert asked["payment_method"] == {"type": "sbp", "id": asked["id"], "saved": False}
    saved = await bench.shop.pay(asked["id"])
    assert saved["payment_method"]["saved"] is True
    assert (await bench.merchant.charge(saved["payment_method"]["id"]))["status"] == "succeeded"
    body = {"amount": rub("1.00"), "payment_method_id": saved["payment_method"]["id"]}
    two_stages = await bench.merchant.post("payments", body)
    assert two_stages.body["parameter"] == "capture"
    held = await bench.merchant.pay_page(capture=False)
    with pytest.raises(ShopControlError, match="method"):
        await bench.shop.pay(held["id"], method="sbp")


async def test_a_card_is_bound_without_a_payment_or_it_is_not(bench: ShopBench) -> None:
    body = {"type": "bank_card", "confirmation": {"type": "redirect", "return_url": RETURN_URL}}
    good, bad, forgotten = [await bench.merchant.made("payment_methods", body) for _ in range(3)]
    assert (good["status"], good["saved"]) == ("pending", False)
    await bench.shop.pay(good["id"])
    await bench.shop.pay(bad["id"], card=CARD_OF["card_expired"])
    await bench.shop.advance(HOUR_S)
    states = [(await bench.merchant.seen(f"payment_methods/{one['id']}"))["status"] for one in (good, bad, forgotten)]
    assert states == ["active", "inactive", "inactive"]
    assert (await bench.merchant.charge(good["id"]))["status"] == "succeeded"
    assert bench.ear.events[0] == "payment_method.active"


async def test_refunds_are_of_what_was_paid_and_a_pending_one_holds_its_part(bench: ShopBench) -> None:
    payment = await paid(bench, "100.00")
    waiting = await bench.merchant.pay_page()
    assert (await bench.merchant.refund(payment["id"], "30.00"))["status"] == "succeeded"
    await bench.shop.settings(refund_after_s=3600)
    pending = await bench.merchant.refund(payment["id"], "50.00", description="half")
    assert pending["status"] == "pending"
    for payment_id, value, parameter in (
        (payment["id"], "20.01", "amount"),
        (waiting["id"], "1.00", "payment_id"),
        (payment["id"][:-1] + "_", "1.00", "payment_id"),
        ("short", "1.00", "payment_id"),
    ):
        refused = await bench.merchant.post("refunds", {"payment_id": payment_id, "amount": rub(value)})
        assert (refused.status, refused.body["parameter"]) == (400, parameter)
    assert (await bench.merchant.seen(f"payments/{payment['id']}"))["refunded_amount"]["value"] == "30.00"
    await bench.shop.advance(3600)
    after = await bench.merchant.seen(f"payments/{payment['id']}")
    assert (after["refunded_amount"]["value"], after["refundable"]) == ("80.00", True)

    await bench.shop.settings(refund_after_s=0, refund_decline="rejected_by_payee")
    refused = await bench.merchant.refund(payment["id"], "20.00")
    assert refused["cancellation_details"] == {"party": "refund_network", "reason": "rejected_by_payee"}
    await bench.shop.settings(refund_decline=None)
    await bench.merchant.refund(payment["id"], "20.00")
    assert (await bench.merchant.seen(f"payments/{payment['id']}"))["refundable"] is False
    assert bench.ear.events.count("refund.succeeded") == 3 or await bench.shop.flush() == 0
    assert (await bench.shop.totals())["refunded"] == 10_000
    await bench.shop.advance(3 * 366 * DAY_S)
    old = await bench.merchant.post("refunds", {"payment_id": payment["id"], "amount": rub("1.00")})
    assert old.status == 400


async def test_a_receipt_is_registered_apart_from_its_payment_and_may_fail(bench: ShopBench) -> None:
    await bench.shop.settings(receipt_after_s=600)
    payment = await paid(bench, receipt=RECEIPT)
    assert (payment["status"], payment["receipt_registration"]) == ("succeeded", "pending")
    await bench.shop.settings(receipt_after_s=0, receipt_decline=True)
    failed = await paid(bench, receipt=RECEIPT)
    await bench.shop.advance(600)
    states = [(await bench.merchant.seen(f"payments/{one['id']}"))["receipt_registration"] for one in (payment, failed)]
    assert states == ["succeeded", "canceled"]

    part = await bench.merchant.post("refunds", {"payment_id": payment["id"], "amount": rub("40.00")})
    assert part.body["parameter"] == "receipt"
    never_paid = await bench.merchant.pay_page(receipt=RECEIPT)
    assert never_paid["receipt_registration"] == "pending"
    gone = await bench.shop.pay(never_paid["id"], decline="general_decline")
    assert gone["receipt_registration"] == "canceled"

    await bench.shop.settings(receipt_decline=False)
    body = {
        "type": "payment",
        "payment_id": failed["id"],
        "send": True,
        "customer": {"phone": "79000000000"},
        "items": [ITEM],
        "settlements": [{"type": "cashless", "amount": rub("99.00")}],
    }
    wrong = await bench.merchant.post("receipts", body)
    assert wrong.body["parameter"] == "settlements"
    body["settlements"] = [{"type": "cashless", "amount": rub("100.00")}]
    own = await bench.merchant.made("receipts", body)
    found = await bench.merchant.seen("receipts", payment_id=failed["id"])
    assert [(one["id"] == own["id"], one["status"]) for one in found["items"]] == [
        (True, "succeeded"),
        (False, "canceled"),
    ]
    assert (await bench.merchant.seen(f"payments/{failed['id']}"))["receipt_registration"] == "canceled"


async def test_the_cash_register_answers_when_it_is_told_to(bench: ShopBench) -> None:
    await bench.shop.settings(receipt_after_s=3600)
    first, second = await paid(bench, receipt=RECEIPT), await paid(bench, receipt=RECEIPT)
    back = await bench.merchant.refund(first["id"], "100.00")
    known = (await bench.shop.control("GET", "receipts", None, status="pending"))["receipts"]
    assert [one["type"] for one in known] == ["payment", "payment", "refund"]
    for payment in (first, second):
        await bench.shop.control("POST", f"receipts/{payment['id']}/answer", {"status": "canceled", "after_s": 60})
    done = await bench.shop.control("POST", f"receipts/{known[1]['id']}/answer")
    assert (done["payment_id"], done["status"]) == (second["id"], "succeeded")
    await bench.shop.advance(60)
    states = [(await bench.merchant.seen(f"payments/{one['id']}"))["receipt_registration"] for one in (first, second)]
    assert states == ["canceled", "succeeded"]
    assert (await bench.merchant.seen(f"refunds/{back['id']}"))["receipt_registration"] == "pending"
    for status, target, body in (
        (409, first["id"], {}),
        (404, "nothing", {}),
        (400, back["id"], {"status": "lost"}),
        (400, back["id"], {"after_s": -1}),
        (400, back["id"], {"after_s": True}),
    ):
        with pytest.raises(ShopControlError) as refused:
            await bench.shop.control("POST", f"receipts/{target}/answer", body)
        assert refused.value.status == status


async def test_the_page_of_the_sandbox_names_every_path_card_and_fault_of_the_shop() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8").partition("\n# Shop\n")[2]
    for card in CARDS.values():
        spaced = " ".join(card.number[at : at + 4] for at in range(0, 16, 4))
        [row] = [line for line in page.splitlines() if spaced in line]
        assert (card.decline or "pays") in row
        assert ("3-D Secure" in row) == card.asks_3ds
        assert ("sandbox only" in row) == card.own
    for path in {route[1].rsplit("/{id}/")[0] for route in ROUTES}:
        assert f"`/v3{path}`" in page
    for kind in BEFORE | AFTER | DELIVERY:
        assert re.search(rf"^\|[^|]*\b{kind}\b", page, re.MULTILINE), kind


async def test_a_list_is_walked_page_by_page_while_others_pay(bench: ShopBench) -> None:
    made = [(await bench.merchant.pay_page(f"{n}.00"))["id"] for n in range(1, 26)]
    for payment_id in made[::5]:
        await bench.shop.pay(payment_id)
    seen: list[str] = []
    query = {"limit": "10"}
    for size in (10, 10, 5):
        page = await bench.merchant.seen("payments", **query)
        assert (page["type"], len(page["items"])) == ("list", size)
        seen += [one["id"] for one in page["items"]]
        await bench.merchant.pay_page("9999.00")
        if "next_cursor" in page:
            query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]
    assert "next_cursor" not in page
    assert len((await bench.merchant.seen("payments"))["items"]) == 10

    paid_ones = await bench.merchant.seen("payments", status="succeeded", limit="100")
    assert [one["id"] for one in paid_ones["items"]] == made[::5][::-1]
    moments = [one["captured_at"] for one in paid_ones["items"]]
    since = await bench.merchant.seen("payments", **{"captured_at.gte": moments[2]})
    assert [one["captured_at"] for one in since["items"]] == [moment for moment in moments if moment >= moments[2]]
    created = await bench.merchant.seen(f"payments/{made[3]}")
    window = {"created_at.gte": created["created_at"], "created_at.lte": created["created_at"], "limit": "100"}
    assert made[3] in [one["id"] for one in (await bench.merchant.seen("payments", **window))["items"]]
    future = {"created_at.gt": "2100-01-01T00:00:00+03:00"}
    assert (await bench.merchant.seen("payments", **future))["items"] == []
    for wrong in (
        {"limit": "101"},
        {"limit": "0"},
        {"cursor": "abc"},
        {"status": "lost"},
        {"metadata.order": "7"},
        {"created_at.gte": "yesterday"},
        {"created_at.gte": "2026-02-31T00:00:00Z"},
    ):
        answer = await bench.merchant.get("payments", **wrong)
        assert (answer.status, answer.body["parameter"]) == (400, next(iter(wrong)))
