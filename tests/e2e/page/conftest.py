"""A browser a module, and a small bot for it to look at."""

from collections.abc import AsyncIterator

import pytest

from tests.support.browser import Chromium, chromium
from tests.support.forma import Forma
from tests.support.page_bot import Stand, standing


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def stand(browser: Chromium) -> AsyncIterator[Stand]:
    async with standing(browser) as stand:
        yield stand


@pytest.fixture(scope="module")
async def forma(forma: Forma) -> Forma:
    """Forma with a model three times as fast: what is tried here is what a person sees, not how long it takes."""
    forma.model.server.options.change({"speed": 3.0})
    return forma
