"""What is told about gifts, to whom, once each."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.notices import tell
from app.persons import Person
from billing.gifts import Gift


async def ready(tx: AsyncConnection, gift: Gift, *, now: datetime) -> None:
    """Tell the giver that the gift is paid, with the link that gives it."""
    await tell(tx, gift.giver_id, "gift-ready", _args(gift), f"gift:{gift.id}", now)


async def offered(tx: AsyncConnection, gift: Gift, giver: Person, *, to: int, now: datetime) -> None:
    """Tell somebody whom the giver chose that a gift waits for them."""
    args = _args(gift) | {"name": giver.first_name}
    await tell(tx, to, "gift-for-you", args, f"gift:{gift.id}:{to}", now)


async def taken(tx: AsyncConnection, gift: Gift, receiver: Person, *, now: datetime) -> None:
    """Tell the giver that the gift was taken, and by whom."""
    if gift.giver_id != receiver.id:
        args = _args(gift) | {"name": receiver.first_name}
        await tell(tx, gift.giver_id, "gift-taken", args, f"gift:{gift.id}", now)


async def refunded(tx: AsyncConnection, gift: Gift, *, key: str, now: datetime) -> None:
    """Tell the giver that the money is back, and the receiver that what was left of the gift is gone."""
    if gift.receiver_id is not None and gift.receiver_id != gift.giver_id:
        await tell(tx, gift.receiver_id, "gift-taken-back", _args(gift), key, now)
    await tell(tx, gift.giver_id, "refunded-gift", _args(gift), key, now)


async def ends_soon(tx: AsyncConnection, gift: Gift, *, now: datetime) -> None:
    """Remind the giver of a gift that nobody took."""
    await tell(tx, gift.giver_id, "gift-ends-soon", _args(gift), f"gift:{gift.id}", now)


async def ended(tx: AsyncConnection, gift: Gift, *, now: datetime) -> None:
    """Tell the giver that the code is no longer valid."""
    await tell(tx, gift.giver_id, "gift-ended", _args(gift), f"gift:{gift.id}", now)


def _args(gift: Gift) -> dict[str, Any]:
    return {
        "gift": gift.id,
        "gift_code": gift.code,
        "plan": gift.titles,
        "stars": gift.amount,
        "until": gift.expires_at.isoformat(),
    }
