"""What the sandbox's Telegram promises about the bot's Stars beyond sales: chargebacks, withdrawals, lost updates."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram.types import LabeledPrice

from tests.support.sandbox_bot import Bench, sandbox_bot
from tests.support.telegram import ControlError


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Bench]:
    async with sandbox_bot() as bench:
        yield bench


@pytest.fixture
async def bench(sandbox: Bench) -> Bench:
    """The module's sandbox, emptied."""
    await sandbox.tg.reset()
    return sandbox


async def sold(bench: Bench, stars: int = 150) -> str:
    """Somebody pays, and the bot lets it through; the charge id."""
    ada = await bench.tg.person(started=True, stars=stars)
    link = await bench.bot.create_invoice_link(
        title="Форма",
        description="30 дней",
        payload=f"pack-{ada.id}",
        currency="XTR",
        prices=[LabeledPrice(label="Форма", amount=stars)],
    )
    paying = asyncio.ensure_future(ada.pay(link))
    await bench.bot.answer_pre_checkout_query((await bench.update("pre_checkout_query")).id, ok=True)
    return str((await paying)["charge_id"])


async def lines(bench: Bench) -> list[Any]:
    return list((await bench.bot.get_star_transactions(offset=0, limit=100)).transactions)


@pytest.mark.parametrize(("listed", "receiver"), [("other", "other"), ("user", "user"), ("no", None)])
async def test_a_chargeback_takes_the_stars_and_says_nothing(bench: Bench, listed: str, receiver: str | None) -> None:
    charge = await sold(bench)
    before = (await bench.tg.state())["pending_updates"]
    path = f"payments/{charge}/chargeback"
    await bench.tg.control("POST", path, {"listed": listed})
    assert (await bench.bot.get_my_star_balance()).amount == 0
    assert (await bench.tg.state())["pending_updates"] == before
    seen = [(line.id, line.receiver.type) for line in await lines(bench) if line.receiver]
    assert seen == ([(charge, receiver)] if receiver else [])
    with pytest.raises(ControlError):
        await bench.tg.control("POST", path)


async def test_every_kind_of_movement_is_one_that_the_library_reads(bench: Bench) -> None:
    ada = await bench.tg.person(started=True)
    kinds = ("withdrawal", "withdrawal_failed", "ads", "api", "affiliate_income", "gift", "premium", "paid_media")
    for kind in (*kinds, "business", "other_in", "other_out"):
        line = {"kind": kind, "amount": 10, "nanostar_amount": 250_000_000, "person": ada.id}
        await bench.tg.control("POST", "transactions", line)
    read = await lines(bench)
    assert len(read) == 11
    assert all((line.source is None) != (line.receiver is None) for line in read)
    balance = await bench.bot.get_my_star_balance()
    assert (balance.amount, balance.nanostar_amount) == (-10, -250_000_000)
    with pytest.raises(ControlError):
        await bench.tg.control("POST", "transactions", {"kind": "theft", "amount": 1})


async def test_an_affiliates_share_is_not_the_bots(bench: Bench) -> None:
    await bench.tg.control("PATCH", "bot", {"affiliate_per_mille": 105})
    await sold(bench)
    [line] = await lines(bench)
    assert (line.amount, line.nanostar_amount) == (134, 250_000_000)
    share = line.source.affiliate
    assert (share.amount, share.nanostar_amount, share.commission_per_mille) == (15, 750_000_000, 105)
    balance = await bench.bot.get_my_star_balance()
    assert (balance.amount, balance.nanostar_amount) == (134, 250_000_000)


async def test_a_lost_update_is_never_queued(bench: Bench) -> None:
    await bench.tg.fault("successful_payment", "lose", count=1)
    await sold(bench)
    assert not any("message" in update for update in (await bench.tg.state())["pending_updates"])
    assert len(await lines(bench)) == 1
    await sold(bench)
    assert (await bench.update("message")).successful_payment is not None
