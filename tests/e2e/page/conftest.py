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
    """Forma with a model that takes its time, so that a person sees an answer grow and can stop it."""
    forma.model.server.options.change({"speed": 1.0, "inter_token_s": 0.008})
    return forma
