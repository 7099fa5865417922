"""Invitations as both sides live them: a link, a friend who pays, a reward once the money stays, each told once."""

import asyncio

import pytest

from app import housekeeping
from kit import signals
from tests.e2e.conftest import ADMIN_GROUP
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import TONGUES, WAIT_S, said
from tests.support.telegram import Person

MINE = {"ru": "Ваша ссылка для друзей", "en": "Your link for friends"}
EARNED = {"ru": "Вам начислено 100 000 токенов", "en": "You get 100,000 tokens"}
WELCOME = {"ru": "дарим 30 000 токенов", "en": "here are 30,000 tokens"}
GIFTS = """
    SELECT coalesce(sum(l.granted), 0) FROM lots l JOIN accounts a ON a.id = l.account_id
    WHERE a.person_id = :id AND l.kind = 'gift'
"""
BOUND = "SELECT inviter_id FROM referrals WHERE friend_id = :id"


async def link_of(person: Person, language: str) -> str:
    """The payload of the person's own link, as /invite shows it."""
    await person.send("/invite")
    shown = await person.wait_for(MINE[language], timeout_s=WAIT_S)
    [share] = shown.buttons
    payload = shown.text.partition("?start=")[2].split()[0]
    assert share["url"].startswith("https://t.me/share/url?url=https%3A%2F%2Ft.me%2F")
    assert payload in share["url"]
    return payload


async def friend_by(forma: Forma, payload: str, language: str = "ru") -> Person:
    """A newcomer whose very first message is the start by a link."""
    friend = await forma.tg.person(first_name="Друг", language_code=language, stars=5_000)
    await friend.start(payload)
    await friend.wait_for("/terms", timeout_s=WAIT_S, since=0)
    return friend


async def test_an_inviter_is_rewarded_once_when_the_friends_money_stays(forma: Forma) -> None:
    inviters = {language: await forma.person(language) for language in TONGUES}
    pairs = await asyncio.gather(*(_comes_and_buys(forma, one, language) for language, one in inviters.items()))
    await forma.advance(hours=71)
    for inviter, friend, _ in pairs:
        assert await forma.scalar(GIFTS, id=inviter.id) + await forma.scalar(GIFTS, id=friend.id) == 0
    await pairs[0][0].block()
    await forma.advance(hours=2)
    await asyncio.gather(*(housekeeping.minute(forma.app) for _ in range(3)))
    await signals.send(forma.app.redis, signals.OUTBOX)
    for inviter, friend, language in pairs:
        await friend.wait_for(WELCOME[language], timeout_s=WAIT_S, since=0)
        assert await forma.scalar(GIFTS, id=inviter.id) == 100_000
        assert await forma.scalar(GIFTS, id=friend.id) == 30_000
    # Whoever had blocked the bot is told when they come back.
    await forma.quiet_until("SELECT blocked_at IS NOT NULL FROM persons WHERE id = :id", id=pairs[0][0].id)
    await pairs[0][0].unblock()
    for inviter, _, language in pairs:
        await inviter.wait_for(EARNED[language], timeout_s=WAIT_S, since=0)
        await inviter.send("/invite")
        counts = {"ru": "Пришёл 1 человек, наград: 1", "en": "1 person has come, rewards: 1"}[language]
        await inviter.wait_for(counts, timeout_s=WAIT_S)
        assert len(said(inviter, EARNED[language])) == 1
    assert await forma.violations() == []


async def _comes_and_buys(forma: Forma, inviter: Person, language: str) -> tuple[Person, Person, str]:
    say = TONGUES[language]
    friend = await friend_by(forma, await link_of(inviter, language), language)
    assert await forma.scalar(BOUND, id=friend.id) == inviter.id
    assert (await shop.buy(friend, say, say.pack))["state"] == "paid"
    await friend.wait_for(say.pack_bought, timeout_s=WAIT_S)
    return inviter, friend, language


async def test_nobody_invites_oneself_or_whoever_was_here_before_and_made_up_links_bind_nobody(forma: Forma) -> None:
    inviter, known = await forma.person("ru"), await forma.person("ru")
    payload = await link_of(inviter, "ru")
    await inviter.start(payload)
    await known.start(payload)
    newcomers = [
        await forma.tg.person(first_name="Новый", language_code="en")
        for _ in range(4)
    ]  # fmt: skip
    for newcomer, start in zip(newcomers, ("src_vk", "ref_" + "x" * 60, "ref_'; --", ""), strict=True):
        if start == "ref_'; --":
            await newcomer.send(f"/start {start}")
        else:
            await newcomer.start(start)
        await newcomer.wait_for("/terms", timeout_s=WAIT_S, since=0)
        await newcomer.start(payload)  # too late: their first start was another one
    for person in (inviter, known, *newcomers):
        await forma.quiet(person)
        assert await forma.scalar(BOUND, id=person.id) is None


async def test_a_refund_within_the_window_brings_no_reward_and_links_are_counted(forma: Forma) -> None:
    inviter = await forma.person("ru")
    friend = await friend_by(forma, await link_of(inviter, "ru"))
    assert (await shop.buy(friend, shop.RU, shop.RU.pack))["state"] == "paid"
    await friend.wait_for(shop.RU.pack_bought, timeout_s=WAIT_S)
    charge = await forma.scalar("SELECT provider_payment_id FROM payments WHERE payer_id = :id", id=friend.id)
    await shop.as_bot(forma, "refundStarPayment", user_id=friend.id, telegram_payment_charge_id=charge)
    await friend.wait_for("Вернули 150 ⭐", timeout_s=WAIT_S)
    await forma.advance(days=10)
    assert await forma.scalar(GIFTS, id=inviter.id) == 0
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    await operator.send("/stats", chat=group)
    card = await operator.wait_for("Откуда пришли за 30 дней", chat=group, timeout_s=90)
    for line in ("• vk: 1, из них платили 0", "• по приглашению: 4, из них платили 2", "• без ссылки: "):
        assert line in card.text.replace("\u00a0", " "), card.text
    assert await forma.violations() == []


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_invitations_that_are_off_say_so(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    settings = forma.app.settings
    object.__setattr__(forma.app, "settings", settings.model_copy(update={"invite_tokens": 0}))
    try:
        await person.send("/invite")
        off = {"ru": "Приглашения сейчас выключены", "en": "Invitations are off right now"}[language]
        await person.wait_for(off, timeout_s=WAIT_S)
    finally:
        object.__setattr__(forma.app, "settings", settings)
