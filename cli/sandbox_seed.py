"""What a newcomer finds in the sandbox: a guest in each language, an operator, the admin group."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

OPERATOR_ID, GUEST_RU_ID, GUEST_EN_ID = 1000, 1001, 1002
ADMIN_GROUP_ID = -1000
GUEST_STARS = 5_000
WAIT_S = 15.0

_PERSONS: tuple[dict[str, Any], ...] = (
    {"id": GUEST_RU_ID, "first_name": "Гость", "username": "guest_ru", "language_code": "ru", "stars": GUEST_STARS},
    {"id": GUEST_EN_ID, "first_name": "Guest", "username": "guest_en", "language_code": "en", "stars": GUEST_STARS},
    {"id": OPERATOR_ID, "first_name": "Оператор", "username": "operator", "language_code": "ru", "stars": 0},
)


@dataclass(frozen=True)
class SandboxSeed:
    """Where the sandbox is, and who is in it."""

    url: str
    admin_chat_id: int
    model_simulated: bool


async def seed(url: str, *, model_simulated: bool) -> SandboxSeed:
    """Make the first persons and the admin group, unless an earlier start did."""
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=WAIT_S)) as session:
        await _until_healthy(session)
        known = {person["id"] for person in (await _get(session, "/_control/persons"))["persons"]}
        for person in _PERSONS:
            if person["id"] not in known:
                await _post(session, "/_control/persons", person)
        groups = (await _get(session, "/_control/groups"))["groups"]
        admin = next((g for g in groups if g["id"] == ADMIN_GROUP_ID or g.get("migrated_from") == ADMIN_GROUP_ID), None)
        if admin is None:
            admin = await _post(
                session,
                "/_control/groups",
                {
                    "id": ADMIN_GROUP_ID,
                    "title": "Forma: операторская",
                    "kind": "group",
                    "members": [OPERATOR_ID],
                    "admins": [OPERATOR_ID],
                    "bot": "administrator",
                },
            )
    return SandboxSeed(url, admin["id"], model_simulated)


async def _until_healthy(session: aiohttp.ClientSession) -> None:
    for _ in range(int(WAIT_S / 0.05)):
        try:
            async with session.get("/_control/health") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)


async def _get(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with session.get(path) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer


async def _post(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with session.post(path, json=body) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer
