"""Flows of roubles that go back or were not heard of: further ones to set kill points in (tests.support.money_flows).

In each the person is told by the words in `TOLD`.
"""

import asyncio
import contextlib
import time
import uuid

import orjson

from app import reconcile_roubles
from billing.yookassa.objects import rendered
from tests.support import shop as chat
from tests.support.money_flows import (
    PACK,
    PAID,
    PATIENCE_S,
    WAIT_S,
    Flow,
    Scene,
    look_at,
    pay_at_the_shop,
    told,
    want_back,
)
from tests.support.money_flows import TOLD as BOUGHT
from tests.support.money_flows import pay_roubles as buy
from tests.support.telegram import Person

KOPECKS = 19_900
BACK, TAKEN_BACK = "Вернули 199 ₽", "199 ₽ за вашу покупку отозвали"
# So long the bank takes over a refund.
BANK_S = 60.0
# What is younger is not yet compared with the shop's lists.
SETTLED_S = 700.0
# By then every process has followed the clock: a page whose link is a week old says so.
CLOCKS_S = 3.0
CHARGE = "SELECT provider_payment_id FROM payments WHERE id = :payment"
UNDER_WAY = "SELECT count(*) FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.payer_id = :id"
PENDING = f"{UNDER_WAY} AND r.status IN ('pending', 'succeeded')"
CONFIRM = "SELECT max(id) FROM admin_requests WHERE action = 'chargeback' AND subject_id = :id"


async def refund_own(scene: Scene, person: Person) -> None:
    """By the rule, in /payments."""
    mark = scene.stack.tg.seq
    await want_back(person)
    await told(scene, person, BACK, mark)


async def refund_later(scene: Scene, person: Person) -> None:
    """The bank takes its time, and a notification says that it is done."""
    mark = scene.stack.tg.seq
    await scene.shop.settings(refund_after_s=BANK_S)
    try:
        await want_back(person)
        while not await scene.stack.scalar(PENDING, id=person.id):
            # Until the shop has the request, a schedule sends what a killed process has not.
            with contextlib.suppress(AssertionError):
                await scene.stack.until(PENDING, PATIENCE_S, id=person.id)
                break
            await scene.sweep()
        await scene.pass_time(seconds=BANK_S + 1)
        await told(scene, person, BACK, mark)
    finally:
        await scene.shop.settings(refund_after_s=0)


async def refund_by_operator(scene: Scene, person: Person) -> None:
    """The operator's /refund, looked at and typed again until the refund is written down."""
    mark, number = scene.stack.tg.seq, await scene.stack.scalar(PAID, id=person.id)
    await look_at(scene, person, number)
    began = time.monotonic()
    while not await scene.stack.scalar(UNDER_WAY, id=person.id):
        assert time.monotonic() - began < WAIT_S, f"no refund of {number} was ordered"
        await scene.operator.send(f"/refund {number} 199", chat=scene.group)
        with contextlib.suppress(AssertionError):
            await scene.stack.until(UNDER_WAY, PATIENCE_S, id=person.id)
    await told(scene, person, BACK, mark)


async def refund_in_cabinet(scene: Scene, person: Person) -> None:
    """Somebody gives the payment back past Forma, and a notification tells of it."""
    mark = scene.stack.tg.seq
    await _give_back_past_forma(scene, person)
    await told(scene, person, BACK, mark)


async def _give_back_past_forma(scene: Scene, person: Person) -> None:
    number = await scene.stack.scalar(PAID, id=person.id)
    charge = await scene.stack.scalar(CHARGE, payment=number)
    assert scene.sweeper.yookassa is not None
    body = orjson.dumps({"payment_id": charge, "amount": rendered(KOPECKS)}).decode()
    await scene.sweeper.yookassa.create_refund(body, key=str(uuid.uuid4()))


async def lose_words(scene: Scene, person: Person) -> None:
    """A pack is bought and given back past Forma, another one is bought: the shop's word of either is lost.

    What earlier runs left has gone from the window that is compared, or each run would have more points than the last.
    """
    await scene.pass_time(seconds=(reconcile_roubles.WINDOW + reconcile_roubles.SETTLE).total_seconds())
    await asyncio.sleep(CLOCKS_S)
    await buy(scene, person)
    await scene.shop.fault("drop", event="*")
    await _give_back_past_forma(scene, person)
    await pay_at_the_shop(scene, person)
    await scene.shop.clear_faults()
    await scene.pass_time(seconds=SETTLED_S)


async def reconcile(scene: Scene, person: Person) -> None:
    """The operator has the lists compared, again until both are found: what was paid, and what went back."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_S:
        await scene.operator.send("/reconcile", chat=scene.group)
        with contextlib.suppress(TimeoutError):
            await scene.stack.tg.until(
                lambda: chat.said(person, BACK) and len(chat.said(person, BOUGHT[PACK])) > 1, timeout_s=PATIENCE_S
            )
            return
    raise AssertionError(f"/reconcile led to no word for {person.id}")


async def charge_back(scene: Scene, person: Person) -> None:
    """The operator notes that a bank took the money back: asked for and confirmed, again until it is booked."""
    mark, number = scene.stack.tg.seq, await scene.stack.scalar(PAID, id=person.id)
    charge = await scene.stack.scalar(CHARGE, payment=number)
    began, asked = time.monotonic(), None
    while time.monotonic() - began < WAIT_S:
        if not asked:
            await scene.operator.send(f"/chargeback {charge}", chat=scene.group)
            with contextlib.suppress(AssertionError):
                asked = await scene.stack.until(CONFIRM, PATIENCE_S, id=person.id)
        if asked:
            card = next(seen for seen in scene.group.messages() if seen.sender_id == scene.stack.tg.bot_id)
            await scene.operator.press(card, data=f"chargeback:yes:{asked}")
            with contextlib.suppress(TimeoutError):
                await person.wait_for(TAKEN_BACK, timeout_s=PATIENCE_S, since=mark)
                return
    raise AssertionError(f"/chargeback led to no word for {person.id}")


TOLD: dict[Flow, str] = {
    refund_own: BACK,
    refund_later: BACK,
    refund_by_operator: BACK,
    refund_in_cabinet: BACK,
    reconcile: BACK,
    charge_back: TAKEN_BACK,
}
