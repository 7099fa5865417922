"""Paying in roubles on the operator's own page, and YooKassa's notifications. Nobody is logged in: the link says who.

A notification has no signature: its address is checked, it is stored, and the worker asks for what it points to.
"""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import structlog
from aiohttp import web

from app import pay_sheet, rouble_purchase
from app.context import App
from app.rouble_purchase import PAGE_PATH
from billing.checkout_links import LinkUnknown
from billing.yookassa import objects
from kit import inbox
from kit.addresses import caller, within
from kit.errors import Rejected, Unavailable
from kit.words import Words, pick_language, words
from web import pay_page
from web.pay_style import STYLE_HASH

log = structlog.get_logger(__name__)

NOTIFICATIONS_PATH = "/yookassa/notifications"
WORD_LENGTH_MAX = 64
FIELDS_MAX = 16


def add_routes(site: web.Application, key: web.AppKey[App]) -> None:
    """Add the page and the notifications to the site, while roubles are taken."""
    pages = Pages(site[key])
    site.router.add_get(PAGE_PATH + "/{token}", pages.show)
    site.router.add_post(PAGE_PATH + "/{token}", pages.pay)
    site.router.add_post(NOTIFICATIONS_PATH, pages.notified)


class Pages:
    """The handlers, with the App that they stand on."""

    def __init__(self, app: App) -> None:
        self._app = app
        settings = app.settings
        self._rule = {"refund_hours": settings.refund_hours, "refund_percent": settings.refund_percent}
        api = urlsplit(settings.yookassa_api_url)
        # Chrome holds a form's redirects to form-action, and YooKassa's page has an address of YooKassa's choosing.
        targets = "'self' https:" if api.scheme == "https" else f"'self' https: {api.scheme}://{api.netloc}"
        self._headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action {targets}; "
                "base-uri 'none'; frame-ancestors 'none'"
            ),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }

    async def show(self, request: web.Request) -> web.Response:
        """The offers, the product, or how its payment stands."""
        try:
            shown = await pay_sheet.sheet(
                self._app, request.match_info["token"], product_id=request.query.get("product", "")[:WORD_LENGTH_MAX]
            )
        except LinkUnknown as unknown:
            return self._nowhere(request, unknown)
        return self._html(pay_page.page(words(shown.language), shown, self._rule))

    async def pay(self, request: web.Request) -> web.Response:
        """Begin or go on with the payment; lead to YooKassa's page where it waits for the person."""
        token, choice = request.match_info["token"], pay_page.chosen(_form(await request.read()))
        problem: Rejected | None = None
        try:
            shown = await rouble_purchase.pay(self._app, token, choice)
        except LinkUnknown as unknown:
            return self._nowhere(request, unknown)
        except Rejected as rejected:
            problem = rejected
            shown = await pay_sheet.sheet(self._app, token, product_id=choice.product_id)
        going = shown.payment
        if problem is None and going is not None and going.status == "pending" and going.confirmation_url:
            return web.Response(status=303, headers=self._headers | {"Location": going.confirmation_url})
        return self._html(pay_page.page(words(shown.language), shown, self._rule, problem))

    async def notified(self, request: web.Request) -> web.Response:
        """Store a notification and only then acknowledge it. YooKassa repeats what is not answered by 200."""
        settings = self._app.settings
        who = caller(request.remote, request.headers.getall("X-Forwarded-For", []), settings.proxy_networks)
        if not within(who, settings.notification_networks):
            log.warning("notification_from_elsewhere", address=str(who))
            return web.json_response({"error": "not from here"}, status=403)
        hint = _hint(await request.read())
        if hint is None:
            return web.json_response({"error": "not a notification"}, status=400)
        async with self._app.db.transaction() as tx:
            await inbox.store(
                tx,
                source=inbox.YOOKASSA,
                bodies=[hint],
                now=self._app.clock.now(),
            )
        try:
            await self._app.jobs.enqueue("follow_yookassa")
        except Unavailable:
            log.warning("notification_waits_for_the_sweep")
        return web.Response()

    def _nowhere(self, request: web.Request, rejected: Rejected) -> web.Response:
        say = _of_browser(request)
        return self._html(pay_page.refusal(say, rejected), status=404)

    def _html(self, text: str, status: int = 200) -> web.Response:
        return web.Response(text=text, status=status, content_type="text/html", headers=self._headers)


def _form(raw: bytes) -> dict[str, str]:
    """Return what a browser sends for the page's form; nothing of what no browser sends."""
    try:
        return dict(parse_qsl(raw.decode(errors="replace"), max_num_fields=FIELDS_MAX))
    except ValueError:
        return {}


def _hint(raw: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return the key of a notification and what is kept of it, None when it is none.

    The object is asked for anyway, and a payer's data need not lie here.
    """
    try:
        body = orjson.loads(raw)
        event, pointed = str(body["event"])[:WORD_LENGTH_MAX], body["object"]
        object_id, status = pointed["id"], str(pointed.get("status"))[:WORD_LENGTH_MAX]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not objects.is_id(object_id) or not event.isprintable() or not status.isprintable():
        return None
    return f"{event}:{object_id}:{status}", {"event": event, "object": {"id": object_id, "status": status}}


def _of_browser(request: web.Request) -> Words:
    """The words for somebody unknown, by the first language of their browser."""
    return words(pick_language(request.headers.get("Accept-Language", "ru").split(",")[0]))
