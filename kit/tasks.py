"""Tasks that are cancelled, and what they still have to put right."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def cleanly(work: Coroutine[Any, Any, None]) -> None:
    """Do what is left to do after a cancellation, in a task that was not cancelled itself.

    Before Python 3.11.3 any timeout that passes in a cancelled task looks like one more cancellation, and clients of
    servers use timeouts of zero to look for what has come.
    """
    await asyncio.create_task(work)
