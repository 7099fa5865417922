"""The sandbox's YooKassa shop as `forma up` runs it: how it is started, and how Forma's parts reach it.

It stands beside the sandbox's Telegram alone. A real bot without a shop of its own takes no roubles: nobody who is real
is ever led to a page that only pretends to be paid on.
"""

from ipaddress import ip_address

from kit.settings import Settings
from web.pay import NOTIFICATIONS_PATH

SHOP_ID = "100500"
SECRET_KEY = "test_SANDBOX"  # noqa: S105 - opens the simulation only
# YooKassa's API stands under it: https://yookassa.ru/developers/using-api/interaction-format
API_PATH = "/v3"
_LOOPBACK = ("127.0.0.1", "::1")


def simulated(settings: Settings) -> bool:
    """Tell whether the shop is simulated: Telegram is, and no shop is set."""
    return not settings.bot_id and not settings.yookassa_shop_id


def url(settings: Settings) -> str:
    """Return where it listens."""
    return f"http://127.0.0.1:{settings.sandbox_shop_port}"


def arguments(settings: Settings, data: str) -> list[str]:
    """Return its command line; it keeps what it knows in the folder `data`, and notifies Forma's own web."""
    return [
        *("-m", "sandbox", "shop", "--port", str(settings.sandbox_shop_port), "--data", data),
        *("--shop-id", SHOP_ID, "--secret-key", SECRET_KEY),
        *("--notification-url", f"{settings.local_url}{NOTIFICATIONS_PATH}"),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings by which Forma's parts reach it and believe its notifications."""
    return {
        "FORMA_YOOKASSA_SHOP_ID": SHOP_ID,
        "FORMA_YOOKASSA_SECRET_KEY": SECRET_KEY,
        "FORMA_YOOKASSA_API_URL": f"{url(settings)}{API_PATH}",
        "FORMA_YOOKASSA_NETWORKS": ",".join(_callers(settings.http_host)),
    }


def _callers(host: str) -> tuple[str, ...]:
    """Return whence a process of this machine comes to `host`: from loopback, or from that very address."""
    try:
        address = ip_address(host)
    except ValueError:
        return _LOOPBACK
    return _LOOPBACK if address.is_loopback or address.is_unspecified else (*_LOOPBACK, host)
