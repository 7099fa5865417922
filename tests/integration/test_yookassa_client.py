"""The client of YooKassa against a server that answers anything: each answer means one thing, and none is guessed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiohttp import web

from billing import receipts
from billing.yookassa import requests
from billing.yookassa.client import YooKassa
from billing.yookassa.errors import NotReached, Refused, Unknown

ID = "2c5d9d8a-000f-5000-8000-1b68e7b15f3f"
PAYMENT: dict[str, Any] = {
    "id": ID,
    "status": "pending",
    "paid": False,
    "amount": {"value": "199.00", "currency": "RUB"},
    "created_at": "2026-11-25T10:51:18.139Z",
    "confirmation": {"type": "redirect", "confirmation_url": "https://yoomoney.example/pay"},
    "recipient": {"account_id": "54401", "gateway_id": "1"},
    "metadata": {"forma_payment": "12"},
    "refundable": False,
    "test": True,
}
BODY = requests.payment(requests.NewPayment(19_900, "Пакет токенов", "https://forma.example/pay/x", {"payment": "12"}))

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers each request as `answer` says, and keeps what came."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Answer = said(PAYMENT)
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        return await self.answer(request)


def said(body: Any, status: int = 200, kind: str = "application/json") -> Answer:
    async def answer(request: web.Request) -> web.Response:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(body=raw, status=status, content_type=kind)

    return answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    site = web.Application()
    site.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(site, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v3"
    yield made
    await runner.cleanup()


@pytest.fixture
async def shop(server: Server) -> AsyncIterator[YooKassa]:
    async with YooKassa("54401", "test_secret", api_url=server.url, call_s=0.5) as client:
        yield client


async def test_a_payment_is_asked_for_with_the_key_that_was_given_and_read_exactly(
    server: Server, shop: YooKassa
) -> None:
    server.answer = said(PAYMENT | {"amount": {"value": "1234567.89", "currency": "RUB"}})
    made = await shop.create_payment(BODY, key="key-1")
    assert (made.kopecks, made.currency, made.status) == (123_456_789, "RUB", "pending")
    assert made.created_at == datetime(2026, 11, 25, 10, 51, 18, 139_000, tzinfo=UTC)
    assert (made.confirmation_url, made.account_id) == ("https://yoomoney.example/pay", "54401")
    assert made.metadata == {"forma_payment": "12"}
    [(method, path, headers, body)] = server.seen
    assert (method, path, headers["Idempotence-Key"]) == ("POST", "/v3/payments", "key-1")
    assert headers["Authorization"].startswith("Basic ")
    assert orjson.loads(body) == {
        "amount": {"value": "199.00", "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": "https://forma.example/pay/x"},
        "description": "Пакет токенов",
        "metadata": {"payment": "12"},
    }


async def test_a_refusal_is_final_and_says_why(server: Server, shop: YooKassa) -> None:
    server.answer = said({"type": "error", "code": "invalid_request", "parameter": "amount.value"}, 400)
    with pytest.raises(Refused) as caught:
        await shop.create_payment(BODY, key="k")
    assert (caught.value.status, caught.value.reason, caught.value.parameter) == (
        400,
        "invalid_request",
        "amount.value",
    )
    server.answer = said({"type": "error", "code": "not_found"}, 404)
    with pytest.raises(Refused, match="404 not_found"):
        await shop.payment(ID)


async def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def _hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


@pytest.mark.parametrize(
    "answer",
    [
        said({"type": "error", "code": "internal_server_error"}, 500),
        said({"type": "processing", "retry_after": 1800}, 202),
        said(b"<html><body>Bad gateway</body></html>", 502, "text/html"),
        said(b"<html><body>Forbidden by a firewall</body></html>", 403, "text/html"),
        said(b"<html></html>", 200, "text/html"),
        said(b'{"id": "2c5d', 200),
        said(b"[1, 2]", 200),
        said(PAYMENT | {"status": "on_the_way"}),
        said(PAYMENT | {"id": "../../me"}),
        said(PAYMENT | {"amount": {"value": 199.0, "currency": "RUB"}}),
        said(PAYMENT | {"amount": {"value": "1e3", "currency": "RUB"}}),
        said(PAYMENT | {"amount": {"value": "-1.00", "currency": "RUB"}}),
        said(PAYMENT | {"amount": None}),
        said(PAYMENT | {"created_at": "yesterday"}),
        said({"code": "moved"}, 301),
        _cut,
        _hang,
    ],
)
async def test_what_may_have_been_done_is_unknown(server: Server, shop: YooKassa, answer: Answer) -> None:
    server.answer = answer
    with pytest.raises(Unknown):
        await shop.create_payment(BODY, key="k")
    assert len(server.seen) == 1


async def test_what_did_not_arrive_may_go_again(server: Server, shop: YooKassa) -> None:
    for status in (429, 401):
        server.answer = said({"type": "error", "code": "too_many_requests"}, status)
        with pytest.raises(NotReached):
            await shop.create_payment(BODY, key="k")
    async with YooKassa("54401", "s", api_url="http://127.0.0.1:1/v3") as nobody:
        with pytest.raises(NotReached):
            await nobody.create_payment(BODY, key="k")


async def test_lists_are_read_page_by_page(server: Server, shop: YooKassa) -> None:
    server.answer = said({"type": "list", "items": [PAYMENT], "next_cursor": "c-2"})
    start = datetime(2026, 11, 1, tzinfo=UTC)
    page = await shop.payments(created_from=start, created_until=datetime(2026, 12, 1, tzinfo=UTC), cursor="c-1")
    assert ([one.id for one in page.items], page.next_cursor) == ([ID], "c-2")
    query = server.seen[-1][1]
    for part in ("created_at.gte=2026-11-01T00:00:00.000Z", "created_at.lt=2026-12-01", "cursor=c-1", "limit=100"):
        assert part in query.replace("%3A", ":"), query


async def test_why_a_payment_was_canceled_is_told_also_when_the_reason_is_new(server: Server, shop: YooKassa) -> None:
    server.answer = said(
        PAYMENT | {"status": "canceled", "cancellation_details": {"party": "payment_network", "reason": "brand_new"}}
    )
    found = await shop.payment(ID)
    assert (found.status, found.reason, found.party) == ("canceled", "brand_new", "payment_network")


async def test_a_means_of_payment_counts_as_saved_only_when_it_is(server: Server, shop: YooKassa) -> None:
    method = {"type": "bank_card", "id": "22e18a2f", "saved": False, "title": "Bank card *4444"}
    server.answer = said(PAYMENT | {"payment_method": method})
    assert (await shop.payment(ID)).saved_method is None
    server.answer = said(PAYMENT | {"payment_method": method | {"saved": True}})
    saved = (await shop.payment(ID)).saved_method
    assert saved is not None
    assert (saved.id, saved.kind, saved.title) == ("22e18a2f", "bank_card", "Bank card *4444")


async def test_a_refund_is_asked_for_and_read(server: Server, shop: YooKassa) -> None:
    answer = {"id": "r-1", "payment_id": ID, "status": "succeeded", "created_at": PAYMENT["created_at"]}
    server.answer = said(answer | {"amount": {"value": "50.05", "currency": "RUB"}})
    made = await shop.create_refund(requests.refund(ID, kopecks=5_005, description="По просьбе"), key="r")
    assert (made.id, made.payment_id, made.kopecks, made.status) == ("r-1", ID, 5_005, "succeeded")
    assert orjson.loads(server.seen[-1][3])["amount"] == {"value": "50.05", "currency": "RUB"}


async def test_an_id_from_outside_never_becomes_another_address(server: Server, shop: YooKassa) -> None:
    for wrong in ("../refunds", "a/b", "", "a?b", "x" * 65):
        with pytest.raises(ValueError, match="not an id"):
            await shop.payment(wrong)
    assert server.seen == []


def test_the_receipt_says_the_vat_of_its_day() -> None:
    day = datetime(2026, 11, 25, tzinfo=UTC)
    sold = {"email": "a@example.org", "title": "Пакет токенов", "kopecks": 19_900}
    receipt = receipts.of("54fz", vat="standard", at=day, **sold)  # type: ignore[arg-type]
    assert receipt is not None
    assert receipt["items"][0]["vat_code"] == 11
    assert receipts.vat_code("standard", datetime(2025, 12, 31, tzinfo=UTC)) == 4
    assert receipts.of("none", vat="standard", at=day, **sold) is None  # type: ignore[arg-type]
    body = requests.payment(requests.NewPayment(19_900, "Пакет", "https://forma.example", {}, receipt=receipt))
    assert orjson.loads(body)["receipt"]["customer"] == {"email": "a@example.org"}
    with pytest.raises(ValueError, match="e-mail"):
        receipts.of("npd", email="nobody", title="x", kopecks=1, vat="none", at=day)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "a", "a@b", "a b@c.de", "a@b.cd\n", "@b.de", "a" * 250 + "@b.de", "a@b.de,c@d.ef"),
        *("a..b@c.de", ".a@b.de", "a.@b.de", "a" * 65 + "@b.de"),
        *("a@-b.de", "a@b-.de", "a@b..de", "a@b.d", "a@1.2.3.4", "a@" + "b" * 64 + ".de"),
    ],
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    assert not receipts.is_email(wrong)


@pytest.mark.parametrize("right", ["a@b.de", "o'neil+shop@x-y.co.uk", "1@2.ru", "a@xn--80a.xn--p1ai"])
def test_what_can_be_an_address_is_taken(right: str) -> None:
    assert receipts.is_email(right)
