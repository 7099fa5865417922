"""Where roubles are offered when the chat must not name them: one button, and the operator's own page behind it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.support import shop as chat
from tests.support.roubles import Market, market
from tests.support.shop import Tongue
from tests.support.telegram import Seen

ELSEWHERE = {"ru": "Другие способы оплаты", "en": "Other ways to pay"}
READY = {"ru": "Страница оплаты откроется в браузере", "en": "The payment page opens in your browser"}
OLD = {"ru": "устарела", "en": "has expired"}


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    async with market(database_url, redis_url) as made:
        yield made


def _all_words(seen: Seen) -> str:
    return " ".join([seen.text, *(button["text"] for button in seen.buttons)])


async def _looks_around(mall: Market, say: Tongue) -> None:
    person, language = await mall.forma.person(say.language), say.language
    for command in ("/plans", "/buy"):
        offer = await chat.offer(person, say, command)
        assert [button["text"] for button in offer.buttons].count(ELSEWHERE[language]) == 1
        pressed = await person.press(offer, data="buy-rub:pack")  # as the button that stands there when it is allowed
        assert OLD[language] in (await person.toast(pressed))["text"]
    await person.press(offer, ELSEWHERE[language])
    ready = await person.wait_for(READY[language], timeout_s=chat.WAIT_S)
    shown = await mall.browser.open(chat.url_of(ready))
    assert (shown.status, "199 ₽" in shown.text) == (200, True)
    assert f'lang="{language}"' in shown.html
    said = [_all_words(seen) for seen in person.messages() if seen.sender_id == mall.forma.tg.bot_id]
    assert not [words for words in said if "₽" in words or "RUB" in words]
    links = "SELECT count(*) FROM checkout_links WHERE person_id = :id"
    assert await mall.forma.scalar(links, id=person.id) == 1


async def test_the_chat_names_no_roubles_and_leads_to_the_page_by_one_button(mall: Market) -> None:
    await asyncio.gather(*(_looks_around(mall, say) for say in (chat.RU, chat.EN)))
