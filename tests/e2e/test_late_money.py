"""Money that comes late or twice, or to somebody who is gone: credited once or sent back, never swallowed."""

from dataclasses import replace

from app import housekeeping
from billing import catalog
from kit import signals
from tests.support import invoices, shop
from tests.support.forma import Forma
from tests.support.shop import RU, WAIT_S
from tests.support.telegram import Person

PAYMENTS = "SELECT count(*) FROM payments WHERE payer_id = :id"
CREDITS = """
    SELECT count(*) FROM ledger_tx t JOIN payments p ON t.kind = 'purchase' AND t.ref_id = p.id::text
    WHERE p.payer_id = :id
"""
ORDERS = "SELECT string_agg(status, ' ' ORDER BY id) FROM orders WHERE person_id = :id"


async def tokens_of(forma: Forma, person: Person) -> int:
    return int(await forma.scalar(shop.PACK_TOKENS, id=person.id))


async def test_what_is_told_to_somebody_who_blocked_the_bot_is_not_granted_again(forma: Forma) -> None:
    """The message about a payment fails for good; neither the next ticks nor a restart take the payment up again."""
    person = await forma.person("ru")
    link = await invoices.link_of(forma, person, "pack")
    await forma.quiet(person)
    await person.block()
    assert (await person.pay(link))["state"] == "paid"
    await forma.quiet_until(
        "SELECT EXISTS (SELECT FROM outbox WHERE chat_id = :id AND payload ->> 'notice' = 'paid-pack'"
        " AND status = 'failed')",
        id=person.id,
    )
    for _ in range(3):
        await housekeeping.minute(forma.app)
        await housekeeping.hour(forma.app)
        await signals.send(forma.app.redis, signals.OUTBOX)
    await forma.stop("bot")
    await forma.start("bot")
    await shop.settled(forma)
    assert (await forma.scalar(PAYMENTS, id=person.id), await forma.scalar(CREDITS, id=person.id)) == (1, 1)
    assert await tokens_of(forma, person) == 300_000
    assert await forma.scalar("SELECT bool_and(handled_at IS NOT NULL AND error IS NULL) FROM inbox")
    assert await forma.violations() == []


async def test_who_pays_an_order_that_was_cancelled_meanwhile_gets_what_it_said(forma: Forma) -> None:
    """The operator changed the pack while an invoice lay open: what it said holds for whoever pays it."""
    person = await forma.person("ru")
    link = await invoices.link_of(forma, person, "pack")
    before = forma.app.plans
    changed = tuple(
        replace(plan, terms=replace(plan.terms, price_xtr=200, tokens=100_000)) if plan.kind == "pack" else plan
        for plan in before.plans
    )
    async with forma.app.db.transaction() as tx:
        await catalog.publish(tx, catalog.Catalog(changed), forma.app.clock.now())
    try:
        await invoices.link_of(forma, person, "pack")
        assert await forma.scalar(ORDERS, id=person.id) == "canceled open"
        assert (await shop.pay_past_checkout(forma, person, link))["state"] == "paid"
        await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    finally:
        async with forma.app.db.transaction() as tx:
            await catalog.publish(tx, before, forma.app.clock.now())
    assert await forma.scalar(ORDERS, id=person.id) == "paid open"
    assert await tokens_of(forma, person) == 300_000
    assert await person.stars() == 4_850
    assert await forma.violations() == []


async def test_an_old_invoice_that_is_paid_twice_brings_twice(forma: Forma) -> None:
    """Two charges of one pack's invoice are two payments, not a repeated report of one."""
    person = await forma.person("ru")
    link = await invoices.link_of(forma, person, "pack")
    assert (await person.pay(link))["state"] == "paid"
    await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    await forma.advance(days=30)
    assert (await shop.pay_past_checkout(forma, person, link))["state"] == "paid"
    await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    await forma.quiet(person)
    assert await tokens_of(forma, person) == 600_000
    assert (await forma.scalar(PAYMENTS, id=person.id), await forma.scalar(CREDITS, id=person.id)) == (2, 2)
    assert await person.stars() == 4_700
    assert await forma.violations() == []


async def test_an_old_invoice_of_a_plan_that_ended_begins_it_anew(forma: Forma) -> None:
    person = await forma.person("ru")
    link = await invoices.link_of(forma, person, "forma")
    assert (await person.pay(link))["state"] == "paid"
    await person.wait_for(RU.bought, timeout_s=WAIT_S)
    [own] = await person.subscriptions()
    await person.cancel_subscription(own["id"])
    await person.wait_for(RU.cancelled, timeout_s=WAIT_S)
    await forma.advance(days=31)
    assert (await shop.pay_past_checkout(forma, person, link))["state"] == "paid"
    living = "SELECT count(*) FROM subscriptions WHERE person_id = :id AND status NOT IN ('expired', 'revoked')"
    await person.wait_for(RU.bought, timeout_s=WAIT_S)
    assert await person.stars() == 3_800
    assert await forma.scalar(living, id=person.id) == 1
    assert (await forma.scalar(PAYMENTS, id=person.id), await forma.scalar(CREDITS, id=person.id)) == (2, 2)
    assert await forma.violations() == []
