"""How the sandbox's shop breaks on purpose, notifies, keeps time, and goes on after a restart."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.shop.server import start
from tests.support.shop_driver import (
    Ear,
    Merchant,
    SandboxShop,
    ShopBench,
    ShopControlError,
    payment_body,
    rub,
    shop_running,
)

HOUR_S = 3600
DAY_S = 24 * HOUR_S
HANG_S = 0.3  # a merchant's patience with a hung shop
AFTER_THE_CHARGE = ("http_500_after", "hang_after", "reset_after", "html_after", "half_after")
BEFORE_IT = ("http_500", "hang", "reset", "html", "rate_limit")


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[ShopBench]:
    async with shop_running() as bench:
        yield bench


@pytest.fixture
async def bench(running: ShopBench) -> ShopBench:
    """The module's shop, emptied."""
    await running.empty()
    return running


async def saved_card(bench: ShopBench) -> str:
    """A saved method, its payment's notification heard and forgotten."""
    payment = await bench.merchant.pay_page(save=True)
    method = (await bench.shop.pay(payment["id"]))["payment_method"]["id"]
    await bench.shop.flush()
    bench.ear.forget()
    return str(method)


async def kinds(bench: ShopBench) -> str:
    return " ".join(fault["kind"] for fault in (await bench.shop.control("GET", "faults"))["faults"])


async def broken(bench: ShopBench, path: str, body: dict[str, Any], key: str) -> str:
    """What a merchant sees of a request that a fault strikes: a status, or the name of the failure."""
    headers = {"Authorization": aiohttp.encode_basic_auth("100500", "test_SANDBOX"), "Idempotence-Key": key}
    patience = aiohttp.ClientTimeout(total=HANG_S if "hang" in await kinds(bench) else 10)
    async with aiohttp.ClientSession(headers=headers, timeout=patience) as session:
        try:
            async with session.post(f"{bench.server.api_url}/{path}", json=body) as response:
                await response.json(content_type=None)
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError) as failure:
            return type(failure).__name__
        except ValueError:
            return f"{response.status} unreadable"


SEEN = {
    "http_500": "500",
    "rate_limit": "429",
    "html": "502 unreadable",
    "hang": "TimeoutError",
    "reset": "ServerDisconnectedError",
    "half": "200 unreadable",
}


@pytest.mark.parametrize("kind", AFTER_THE_CHARGE)
async def test_a_charge_that_went_through_without_an_answer_is_found_by_its_key(bench: ShopBench, kind: str) -> None:
    method = await saved_card(bench)
    await bench.shop.fault(kind, method="POST", path="/v3/payments", count=1)
    body = {"amount": rub("600.00"), "capture": True, "payment_method_id": method, "metadata": {"order": "9"}}
    assert await broken(bench, "payments", body, "once") == SEEN[kind.removesuffix("_after")]
    assert (await bench.shop.totals())["paid"] == 70_000
    again = await bench.merchant.post("payments", body, "once")
    assert (again.status, again.body["status"]) == (200, "succeeded")
    assert (await bench.shop.totals())["paid"] == 70_000
    struck = [call for call in await bench.shop.calls("/v3/payments") if call["fault"]]
    assert [(call["fault"], call["key"], call["body"]["metadata"]["order"]) for call in struck] == [(kind, "once", "9")]


@pytest.mark.parametrize("kind", BEFORE_IT)
async def test_a_request_that_broke_before_the_charge_has_done_nothing(bench: ShopBench, kind: str) -> None:
    method = await saved_card(bench)
    await bench.shop.fault(kind, path="/v3/payments", count=1)
    body = {"amount": rub("600.00"), "capture": True, "payment_method_id": method}
    assert await broken(bench, "payments", body, "once") == SEEN[kind]
    assert (await bench.shop.totals())["paid"] == 10_000
    assert (await bench.merchant.post("payments", body, "once")).body["status"] == "succeeded"
    assert (await bench.shop.totals())["paid"] == 70_000


async def test_faults_keep_to_their_path_their_count_and_their_seed(bench: ShopBench) -> None:
    await bench.shop.fault("http_500", method="GET", path="/v3/refunds*", count=2)
    assert (await bench.merchant.get("payments")).status == 200
    assert [(await bench.merchant.get("refunds")).status for _ in range(3)] == [500, 500, 200]
    runs = []
    for _ in range(2):
        await bench.shop.clear_faults()
        await bench.shop.fault("rate_limit", probability=0.5, seed=7)
        runs.append([(await bench.merchant.get("payments")).status for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 429}
    with pytest.raises(ShopControlError, match="unknown kind"):
        await bench.shop.fault("earthquake")


async def test_notifications_carry_the_object_and_are_sent_until_exactly_200(bench: ShopBench) -> None:
    bench.ear.answers = [500, 204, 302]
    payment = await bench.merchant.pay_page()
    await bench.shop.pay(payment["id"])
    await bench.shop.flush()
    assert len(bench.ear.heard) == 1
    for seconds, heard in ((5, 1), (6, 2), (20, 2), (10, 3), (60, 4), (DAY_S, 4)):
        await bench.shop.advance(seconds)
        assert len(bench.ear.heard) == heard
    assert {body["type"] for body in bench.ear.heard} == {"notification"}
    assert all(body == bench.ear.heard[0] for body in bench.ear.heard)
    assert bench.ear.heard[0]["object"] == await bench.merchant.seen(f"payments/{payment['id']}")
    [kept] = await bench.shop.notifications(event="payment.succeeded")
    assert (kept["state"], kept["attempts"], kept["last_error"]) == ("delivered", 4, "HTTP 302")


async def test_after_a_day_a_notification_is_given_up(bench: ShopBench) -> None:
    bench.ear.answers = [503] * 1_000
    await bench.shop.pay((await bench.merchant.pay_page())["id"])
    await bench.shop.advance(2 * DAY_S)
    tries = len(bench.ear.heard)
    assert 20 < tries < 40
    await bench.shop.advance(DAY_S)
    assert len(bench.ear.heard) == tries
    assert [one["state"] for one in await bench.shop.notifications()] == ["given_up"]


async def test_a_notification_is_lost_doubled_or_late_where_a_fault_says_so(bench: ShopBench) -> None:
    for kind in ("drop", "duplicate", "delay_notification"):
        await bench.shop.fault(kind, event="payment.succeeded", count=1, delay_s=HOUR_S)
    lost, doubled, late = [(await bench.merchant.pay_page())["id"] for _ in range(3)]
    for payment_id in (lost, doubled, late):
        await bench.shop.pay(payment_id)
    await bench.shop.flush()
    assert [body["object"]["id"] for body in bench.ear.heard] == [doubled, doubled]
    await bench.shop.advance(HOUR_S)
    assert [body["object"]["id"] for body in bench.ear.heard] == [doubled, doubled, late]
    states = {one["object_id"]: one["state"] for one in await bench.shop.notifications()}
    assert states == {lost: "dropped", doubled: "delivered", late: "delivered"}


async def test_a_reordered_notification_comes_after_the_next_one(bench: ShopBench) -> None:
    await bench.shop.fault("reorder", event="payment.waiting_for_capture", count=1, delay_s=HOUR_S)
    payment = await bench.merchant.pay_page(capture=False)
    await bench.shop.pay(payment["id"])
    await bench.shop.flush()
    assert bench.ear.events == []
    await bench.merchant.made(f"payments/{payment['id']}/capture", {})
    await bench.ear.until(lambda: len(bench.ear.heard) == 2)
    assert bench.ear.events == ["payment.succeeded", "payment.waiting_for_capture"]


async def test_a_true_notification_can_be_sent_again_and_none_goes_out_without_an_address(bench: ShopBench) -> None:
    payment = await bench.shop.pay((await bench.merchant.pay_page())["id"])
    await bench.shop.control("POST", "notifications", {"event": "payment.succeeded", "id": payment["id"]})
    await bench.shop.flush()
    assert bench.ear.events == ["payment.succeeded"] * 2
    await bench.shop.settings(notification_url=None)
    await bench.shop.pay((await bench.merchant.pay_page())["id"])
    await bench.shop.settings(notification_url=bench.ear.url)
    await bench.shop.advance(HOUR_S)
    assert len(bench.ear.heard) == 2
    with pytest.raises(ShopControlError, match="notification_url"):
        await bench.shop.settings(notification_url="ftp://elsewhere")


async def test_notifications_can_come_as_through_a_proxy(bench: ShopBench) -> None:
    for address in (None, "185.71.76.1", "2a02:5180::1"):
        await bench.shop.settings(forwarded_for=address)
        await bench.shop.pay((await bench.merchant.pay_page())["id"])
        await bench.shop.flush()
        assert bench.ear.headers[-1].get("X-Forwarded-For") == address
    with pytest.raises(ShopControlError, match="forwarded_for"):
        await bench.shop.settings(forwarded_for="a, b")
    await bench.shop.settings(forwarded_for=None)


async def test_a_merchant_that_asks_back_before_it_says_200_is_answered(bench: ShopBench) -> None:
    """The notification is a hint: whoever hears it fetches the object, while the shop still waits for the 200."""
    payment = await bench.merchant.pay_page()
    fetched: list[str] = []

    async def ask_back(request: aiohttp.web.Request) -> aiohttp.web.Response:
        body = await request.json()
        fetched.append((await bench.merchant.seen(f"payments/{body['object']['id']}"))["status"])
        return aiohttp.web.Response()

    app = aiohttp.web.Application()
    app.router.add_post("/", ask_back)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    await bench.shop.settings(notification_url=f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await bench.shop.advance(HOUR_S)
    await bench.shop.settings(notification_url=bench.ear.url)
    await runner.cleanup()
    assert fetched == ["canceled"]
    assert payment["status"] == "pending"


async def test_the_clock_goes_forward_only_and_the_objects_follow_it(bench: ShopBench) -> None:
    before = await bench.shop.control("GET", "clock")
    after = await bench.shop.control("POST", "clock", {"offset_s": before["offset_s"] + 30 * DAY_S})
    assert 30 * DAY_S <= after["now"] - before["now"] < 30 * DAY_S + 60
    assert (await bench.merchant.pay_page())["created_at"][:10] == time.strftime("%Y-%m-%d", time.gmtime(after["now"]))
    for wrong in ({"advance_s": -1}, {"offset_s": 0}, {"advance_s": 1e12}, {"advance_s": "soon"}, {"advance_s": "nan"}):
        with pytest.raises(ShopControlError):
            await bench.shop.control("POST", "clock", wrong)


async def test_the_books_agree_with_what_the_lists_say(bench: ShopBench) -> None:
    method = await saved_card(bench)
    for n in range(1, 30):
        await bench.shop.declines(method, "insufficient_funds" if n % 4 == 0 else None, times=1)
        payment = await bench.merchant.charge(method, f"{n}.{n:02d}")
        if n % 3 == 0 and payment["status"] == "succeeded":
            await bench.merchant.refund(payment["id"], f"{n // 2 + 1}.07")
    sums = {"payments": 0, "refunds": 0}
    for kind in sums:
        query = {"limit": "7", "status": "succeeded"}
        while True:
            page = await bench.merchant.seen(kind, **query)
            sums[kind] += sum(int(one["amount"]["value"].replace(".", "")) for one in page["items"])
            if "next_cursor" not in page:
                break
            query["cursor"] = page["next_cursor"]
    totals = await bench.shop.totals()
    assert (totals["paid"], totals["refunded"]) == (sums["payments"], sums["refunds"])
    assert totals["payments"]["canceled"] == 7


async def test_a_second_start_goes_on_with_the_same_shop(tmp_path: Path) -> None:
    async with shop_running(data=tmp_path) as bench:
        method = await saved_card(bench)
        body = payment_body("7.00")
        waiting = (await bench.merchant.post("payments", body, "kept")).body
        held = await bench.shop.pay((await bench.merchant.pay_page(capture=False))["id"])
        await bench.shop.settings(refund_after_s=DAY_S)
        refund = await bench.merchant.refund(method, "1.00")
        await bench.shop.advance(100 * DAY_S - HOUR_S)
        bench.ear.answers = [500]
        last = await bench.merchant.charge(method, "5.00")
        fresh = await bench.merchant.post("payments", payment_body("8.00"), "fresh")
        await bench.shop.flush()
        totals = await bench.shop.totals()
    async with shop_running(data=tmp_path) as bench:
        assert await bench.shop.totals() == totals
        assert (await bench.shop.control("GET", "clock"))["offset_s"] == 100 * DAY_S - HOUR_S
        again = (await bench.merchant.post("payments", payment_body("7.00"), "kept")).body
        assert again["id"] != waiting["id"]  # its key is three months old
        assert (await bench.merchant.post("payments", payment_body("8.00"), "fresh")).body == fresh.body | {
            "confirmation": fresh.body["confirmation"]
            | {"confirmation_url": f"{bench.server.base_url}/checkout/{fresh.body['id']}"}
        }
        await bench.shop.advance(HOUR_S)
        assert bench.ear.events == ["payment.succeeded", "payment.canceled", "payment.canceled"]
        assert bench.ear.heard[0]["object"]["id"] == last["id"]
        assert (await bench.merchant.charge(method))["status"] == "succeeded"
        assert (await bench.merchant.seen(f"payments/{held['id']}"))["status"] == "canceled"
        assert (await bench.merchant.seen(f"refunds/{refund['id']}"))["status"] == "succeeded"
    (tmp_path / "shop.json").write_text("{")
    with pytest.raises(ValueError, match="move it away"):
        await start(data=tmp_path)


async def test_the_shop_runs_as_a_command_and_ends_in_order(tmp_path: Path) -> None:
    arguments = ("-m", "sandbox", "shop", "--port", "0", "--data", str(tmp_path), "--shop-id", "7", "--secret-key", "s")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=pipe, stderr=pipe, env=os.environ)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert "simulated" in line
    merchant = Merchant(line.split()[-1], "7", "s")
    payment = await merchant.pay_page()
    await merchant.close()
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert payment["id"] in (tmp_path / "shop.json").read_text()


async def test_an_ear_that_is_not_there_costs_nobody_anything(bench: ShopBench) -> None:
    nowhere = Ear(url="http://127.0.0.1:9/")
    await bench.shop.settings(notification_url=nowhere.url)
    await bench.shop.pay((await bench.merchant.pay_page())["id"])
    async with SandboxShop(bench.server.base_url) as other:
        assert await other.flush() == 1
    await bench.shop.settings(notification_url=bench.ear.url)
    await bench.shop.advance(DAY_S)
    assert bench.ear.events == ["payment.succeeded"]
