"""The control API of the bot's Stars: what moves them without the bot. The contract is docs/sandbox.md."""

from aiohttp import web

from sandbox.telegram import star_list
from sandbox.telegram.bot_api import WORLD
from sandbox.telegram.control_persons import body_of, reply


async def list_transactions(request: web.Request) -> web.Response:
    """GET transactions."""
    return reply({"transactions": star_list.lines(request.app[WORLD])})


async def add_transaction(request: web.Request) -> web.Response:
    """POST transactions."""
    return reply(star_list.add(request.app[WORLD], await body_of(request)))


async def charge_back(request: web.Request) -> web.Response:
    """POST payments/{charge_id}/chargeback."""
    listed = str((await body_of(request)).get("listed", "other"))
    return reply(star_list.chargeback(request.app[WORLD], request.match_info["charge_id"], listed))


def add_routes(app: web.Application) -> None:
    """Adds the routes of Stars."""
    app.router.add_get("/_control/transactions", list_transactions)
    app.router.add_post("/_control/transactions", add_transaction)
    app.router.add_post("/_control/payments/{charge_id}/chargeback", charge_back)
