"""Purchases without the walk through /plans: an order of Forma's, and the invoice link that it would be paid from."""

from tests.support import shop
from tests.support.books import Books
from tests.support.forma import Forma
from tests.support.telegram import Person

SUBSCRIPTION_PERIOD_S = 2_592_000


def books(forma: Forma) -> Books:
    """The books of a running Forma; a payment that they report is unknown to the simulated Telegram."""
    return Books(forma.app.db, forma.app.clock.now())


async def link_of(forma: Forma, person: Person, product: str) -> str:
    """A link that the person may pay now."""
    order = await books(forma).order(person.id, product)
    more = {"subscription_period": SUBSCRIPTION_PERIOD_S} if order.kind == "subscription" else {}
    prices = [{"label": product, "amount": order.amount}]
    link: str = await shop.as_bot(
        forma, "createInvoiceLink", title=product, description=product, currency="XTR", payload=order.payload,
        prices=prices, **more,
    )  # fmt: skip
    return link


async def buy(forma: Forma, person: Person, product: str) -> int:
    """Pay for a product and wait until it is credited; the payment's number."""
    assert (await person.pay(await link_of(forma, person, product)))["state"] == "paid"
    number = "SELECT max(id) FROM payments WHERE payer_id = :id"
    await forma.quiet_until(f"SELECT ({number}) IS NOT NULL", id=person.id)
    await forma.quiet(person)
    paid: int = await forma.scalar(number, id=person.id)
    return paid
