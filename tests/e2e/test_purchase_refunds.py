"""Refunds by hand, as the operator's guide says: the Stars go back, what is left goes, and everybody is told."""

import pytest

from app import housekeeping
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S

STATUS = "SELECT status FROM subscriptions WHERE person_id = :id ORDER BY id DESC LIMIT 1"


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_a_refund_takes_back_what_is_left_and_the_access(forma: Forma, language: str) -> None:
    person, say = await forma.person(language), TONGUES[language]
    await shop.subscribe(person, say)
    [own] = await person.subscriptions()
    await shop.as_bot(forma, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=own["id"])
    told = await person.wait_for(say.refunded, timeout_s=WAIT_S, since=0)
    assert "600 ⭐" in told.text.replace("\u00a0", " ")
    assert await person.stars() == 5_000
    alerted = "SELECT count(*) FROM outbox WHERE kind = 'alert' AND payload ->> 'notice' = 'admin-alert-refunded'"
    assert await forma.scalar(f"{alerted} AND payload -> 'args' ->> 'id' = :id", id=str(person.id)) == 1
    none = {"ru": "Подписки нет", "en": "No subscription"}[say.language]
    await shop.card(person, none)
    assert await forma.scalar(STATUS, id=person.id) == "revoked"
    left = "SELECT posted FROM accounts WHERE person_id = :id AND kind = 'wallet'"
    assert await forma.scalar(left, id=person.id) <= 35_000
    await forma.advance(days=31)
    await housekeeping.minute(forma.app)
    assert await person.stars() == 5_000
    await shop.subscribe(person, say)
    assert await forma.violations() == []


async def test_a_pack_is_refunded_and_what_was_spent_of_it_is_forgiven(forma: Forma) -> None:
    person, say = await forma.person("en"), TONGUES["en"]
    outcome = await shop.buy(person, say, say.pack)
    await person.wait_for(say.pack_bought, timeout_s=WAIT_S)
    await person.send("How much protein do I need?")
    await forma.quiet(person)
    await forma.spend(person, leave=250_000)
    await shop.as_bot(forma, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=outcome["charge_id"])
    await person.wait_for(say.refunded, timeout_s=WAIT_S)
    assert await person.stars() == 5_000
    assert (
        await forma.scalar("SELECT posted FROM accounts WHERE person_id = :id AND kind = 'wallet'", id=person.id) == 0
    )
    assert await forma.violations() == []
