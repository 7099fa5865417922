"""A browser a module, and a small bot for it to look at."""

from collections.abc import AsyncIterator

import pytest

from tests.support.browser import Chromium, chromium
from tests.support.page_bot import Stand, standing


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def stand(browser: Chromium) -> AsyncIterator[Stand]:
    async with standing(browser) as stand:
        yield stand
