"""Buying with Stars through the front door: packs, the life of a subscription, and what goes wrong."""

from tests.support.forma import Forma
from tests.support.telegram import Person


async def buy(person: Person, button: str) -> dict:
    """Walk /plans, choose, pay; returns the sheet's outcome."""
    await person.send("/plans")
    offer = await person.wait_for("Планы")
    await person.press(offer, button)
    sheet = await person.wait_for("Оплата внутри")
    url = next(b["url"] for b in sheet.buttons if b.get("url"))
    return await person.pay(url)


async def test_a_pack_is_bought_and_its_tokens_are_there(forma: Forma) -> None:
    person = await forma.person("ru")
    outcome = await buy(person, "Пакет 150 ⭐")
    assert outcome["state"] == "paid"
    await person.wait_for("300")
    assert await person.stars() == 5_000 - 150
    assert await forma.scalar("SELECT granted FROM lots WHERE kind = 'pack'") == 300_000
    assert await forma.violations() == []


async def test_a_subscription_is_bought_renewed_cancelled_and_ends(forma: Forma) -> None:
    person = await forma.person("ru")
    outcome = await buy(person, "Форма · 600 ⭐")
    assert outcome["state"] == "paid"
    await person.wait_for("Отмена: /subscription")
    sheet = await person.wait_for("Форма", since=0)
    await forma.tg.until(lambda: any("✓ Подключено" in m.labels for m in person.messages()), timeout_s=5)
    await forma.advance(days=31)
    await person.wait_for("Списано", since=0)
    assert await person.stars() == 5_000 - 1_200
    await person.send("/subscription")
    seen = await person.wait_for("продлится")
    await person.press(seen, 0)
    question = await person.wait_for("Отменить")
    await person.press(question, 0)
    await person.wait_for("Больше не спишем")
    await forma.advance(days=31)
    await person.wait_for("закончил", since=0)
    assert await person.stars() == 5_000 - 1_200
    assert await forma.violations() == []
    assert sheet
