"""Stars: invoices paid by persons, subscriptions that renew as the clock goes on, refunds, the list of transactions."""

import asyncio
from typing import Any

from sandbox.telegram import chats, star_list
from sandbox.telegram.errors import Impossible, Missing, bad_request
from sandbox.telegram.state import Invoice, Json, Payment, Person, Stored, Subscription
from sandbox.telegram.world import Checkout, World

CHECKOUT_S = 10.0
DAY_S = 24 * 3600
RENEWAL_TRIES_MAX = 3


def invoice_of(world: World, raw: Json, person: Person) -> tuple[Invoice, Stored | None]:
    """The invoice that a person means by a link or by a message; raises Missing."""
    if link := raw.get("link"):
        slug = str(link).rpartition("$")[2] or str(link)
        invoice = world.state.invoices.get(slug)
        if invoice is None:
            raise Missing("no such invoice link")
        return invoice, None
    stored = chats.seen(world, int(raw.get("chat_id") or person.id), raw.get("message_id", 0))
    if stored.invoice is None:
        raise Missing("the message is not an invoice")
    return world.state.invoices[stored.invoice], stored


def _outcome(state: str, invoice: Invoice, error: str | None = None, charge_id: str | None = None) -> Json:
    return {"state": state, "error": error, "charge_id": charge_id, "invoice": invoice.view()}


async def pay(world: World, person: Person, invoice: Invoice, stored: Stored | None) -> Json:
    """Opens the sheet and pays: asks the bot, waits at most CHECKOUT_S for its answer, then charges."""
    if stored is not None and person.id in stored.paid_by:
        return _outcome("already_paid", invoice)
    if invoice.subscription_period and any(
        sub.slug == invoice.slug and sub.person_id == person.id and sub.state in {"active", "canceled", "failed"}
        for sub in world.state.subscriptions.values()
    ):
        return _outcome("already_paid", invoice, "SUBSCRIPTION_ALREADY_ACTIVE")
    if person.stars < invoice.amount:
        return _outcome("insufficient", invoice)
    query_id = world.fresh_id()
    checkout = world.checkouts[query_id] = Checkout(person.id)
    query: Json = {
        "id": query_id,
        "from": person.user(),
        "currency": "XTR",
        "total_amount": invoice.amount,
        "invoice_payload": invoice.payload,
    }
    try:
        world.updates.push("pre_checkout_query", query)
        async with asyncio.timeout(CHECKOUT_S):
            accepted, words = await checkout.answer
    except TimeoutError:
        return _outcome("timeout", invoice, "the bot did not answer within 10 seconds")
    finally:
        world.checkouts.pop(query_id, None)
    if not accepted:
        return _outcome("refused", invoice, words)
    if person.stars < invoice.amount:
        return _outcome("insufficient", invoice)
    payment = _first_payment(world, person, invoice)
    if stored is not None:
        stored.paid_by.append(person.id)
        chats.changed(world, stored)
    return _outcome("paid", invoice, charge_id=payment.charge_id)


def _first_payment(world: World, person: Person, invoice: Invoice) -> Payment:
    now = int(world.now())
    subscription = None
    if invoice.subscription_period:
        charge_id = _charge_id(world)
        subscription = Subscription(
            id=charge_id,
            person_id=person.id,
            slug=invoice.slug,
            title=invoice.title,
            payload=invoice.payload,
            amount=invoice.amount,
            period_s=invoice.subscription_period,
            expires_at=now + invoice.subscription_period,
        )
        world.state.subscriptions[charge_id] = subscription
        payment = _charge(world, person, subscription.amount, subscription.payload, now, subscription, first=True)
        _publish(world, subscription)
        return payment
    return _charge(world, person, invoice.amount, invoice.payload, now, None, first=True)


def _charge_id(world: World) -> str:
    return f"stx{world.fresh_id()}"


def _charge(
    world: World, person: Person, amount: int, payload: str, date: int, sub: Subscription | None, *, first: bool
) -> Payment:
    """Moves the Stars, writes the transaction and the successful_payment message."""
    charge_id = sub.id if sub is not None and first else _charge_id(world)
    person.stars -= amount
    payment = Payment(charge_id, person.id, amount, payload, date, sub.id if sub is not None else None)
    payment.affiliate_per_mille = world.state.bot.affiliate_per_mille
    world.state.payments[charge_id] = payment
    content: Json = {
        "currency": "XTR",
        "total_amount": amount,
        "invoice_payload": payload,
        "telegram_payment_charge_id": charge_id,
        "provider_payment_charge_id": charge_id,
    }
    if sub is not None:
        sub.last_charge_id = charge_id
        content |= {"subscription_expiration_date": sub.expires_at, "is_recurring": True}
        if first:
            content["is_first_recurring"] = True
    star_list.sale(world, payment, date, "source")
    stored = chats.post(world, person, person.user(), {"successful_payment": content, "date": date})
    world.updates.push("message", stored.body)
    world.events.publish("payment", person.id, payment=_payment_view(payment))
    world.events.publish("person", person.id, person=person)
    return payment


def _payment_view(payment: Payment) -> Json:
    return {name: getattr(payment, name) for name in Payment.__dataclass_fields__}


def subscription_view(sub: Subscription) -> Json:
    """A subscription as the control API shows it."""
    hidden = {"slug", "retries", "last_charge_id", "next_try_at"}
    return {name: getattr(sub, name) for name in Subscription.__dataclass_fields__ if name not in hidden}


def _publish(world: World, sub: Subscription) -> None:
    world.events.publish("subscription", sub.person_id, subscription=subscription_view(sub))
    world.changed()


def _tell(world: World, sub: Subscription, state: str) -> None:
    person = world.state.persons[sub.person_id]
    world.updates.push("subscription", {"user": person.user(), "invoice_payload": sub.payload, "state": state})


def _due_at(sub: Subscription) -> float | None:
    if sub.state in {"active", "canceled"}:
        return sub.expires_at
    return sub.next_try_at if sub.state == "failed" else None


def settle_due(world: World) -> None:
    """Renews, fails or ends every subscription that is due by now, oldest first, each as of its own moment."""
    while True:
        now = world.now()
        due = [
            (at, sub.id) for sub in world.state.subscriptions.values() if (at := _due_at(sub)) is not None and at <= now
        ]
        if not due:
            return
        at, sub_id = min(due)
        _settle(world, world.state.subscriptions[sub_id], int(at))


def _settle(world: World, sub: Subscription, at: int) -> None:
    person = world.state.persons[sub.person_id]
    if sub.state == "canceled":
        sub.state = "expired"
    elif person.stars >= sub.amount:
        sub.state, sub.retries = "active", 0
        sub.expires_at = at + sub.period_s
        _charge(world, person, sub.amount, sub.payload, at, sub, first=False)
    elif sub.state == "active":
        sub.state, sub.retries, sub.next_try_at = "failed", 0, at + DAY_S
        _tell(world, sub, "failed")
    else:
        sub.retries += 1
        sub.next_try_at = at + DAY_S
        if sub.retries >= RENEWAL_TRIES_MAX:
            sub.state = "expired"
    _publish(world, sub)


def _subscription_of(world: World, person: Person, sub_id: str) -> Subscription:
    sub = world.state.subscriptions.get(sub_id)
    if sub is None or sub.person_id != person.id:
        raise Missing("no such subscription")
    return sub


def cancel(world: World, person: Person, sub_id: str) -> Subscription:
    """The person cancels in Telegram's settings; the bot is told."""
    sub = _subscription_of(world, person, sub_id)
    if sub.state not in {"active", "failed"}:
        raise Impossible(f"the subscription is {sub.state}")
    sub.state, sub.canceled_by = ("canceled" if sub.state == "active" else "expired"), "person"
    _tell(world, sub, "canceled")
    _publish(world, sub)
    return sub


def resume(world: World, person: Person, sub_id: str) -> Subscription:
    """The person takes a cancellation back, unless the bot cancelled and has not allowed it again."""
    sub = _subscription_of(world, person, sub_id)
    if sub.state != "canceled":
        raise Impossible(f"the subscription is {sub.state}")
    if sub.canceled_by == "bot":
        raise Impossible("the bot cancelled the subscription")
    sub.state, sub.canceled_by = "active", None
    _tell(world, sub, "active")
    _publish(world, sub)
    return sub


def edit_by_bot(world: World, person_id: int, charge_id: str, *, is_canceled: bool) -> None:
    """editUserStarSubscription: the charge id is the first payment's. Nothing is told to the bot."""
    sub = world.state.subscriptions.get(charge_id)
    if sub is None or sub.person_id != person_id:
        raise bad_request("CHARGE_ID_INVALID")
    if is_canceled and sub.state in {"active", "failed"}:
        sub.state, sub.canceled_by = ("canceled" if sub.state == "active" else "expired"), "bot"
    elif not is_canceled and sub.canceled_by == "bot":
        sub.canceled_by = None
    _publish(world, sub)


def refund(world: World, person_id: int, charge_id: str) -> None:
    """refundStarPayment: the whole amount, once."""
    payment = world.state.payments.get(charge_id)
    if payment is None or payment.person_id != person_id:
        raise bad_request("CHARGE_ID_INVALID")
    if payment.refunded or payment.charged_back:
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    if world.state.bot.stars < payment.amount:
        raise bad_request("BALANCE_TOO_LOW")
    person = world.state.persons[person_id]
    payment.refunded = True
    person.stars += payment.amount
    star_list.sale(world, payment, int(world.now()), "receiver")
    content: Json = {
        "currency": "XTR",
        "total_amount": payment.amount,
        "invoice_payload": payment.payload,
        "telegram_payment_charge_id": charge_id,
    }
    stored = chats.post(world, person, person.user(), {"refunded_payment": content})
    world.updates.push("message", stored.body)
    sub = world.state.subscriptions.get(payment.subscription_id or "")
    if sub is not None and sub.last_charge_id == charge_id:
        sub.state = "refunded"
        _publish(world, sub)
    world.events.publish("refund", person_id, payment=_payment_view(payment))
    world.events.publish("person", person_id, person=person)


def payments_view(world: World) -> list[Any]:
    """All payments, oldest first."""
    return [_payment_view(payment) for payment in world.state.payments.values()]
