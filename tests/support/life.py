"""A crowd of subscribers who live day by day on the sandbox's clock, and an auditor who reads both sides' books.

What somebody does on a day is drawn from a seeded generator, and done through the chat as a person does it. The auditor
trusts nobody: he reads what Telegram took, what Forma wrote down, and what is in each purse.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import RU
from tests.support.telegram import ControlError, Person

PURSE = 2_000
WAIT_S = 60.0
AT_ONCE_MAX = 8
QUIET_S = 300.0

LEDGER = """
    SELECT p.provider_payment_id AS charge, p.payer_id, p.amount, p.status, p.quarantine_reason, o.tokens,
           coalesce(l.granted, 0) AS granted
    FROM payments p
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN (
        SELECT payment_id, sum(granted) AS granted FROM lots WHERE kind <> 'restored' GROUP BY payment_id
    ) l ON l.payment_id = p.id
    WHERE p.provider = 'stars'
"""
CASH = """
    SELECT coalesce(sum(e.amount), 0) FROM ledger_entries e JOIN accounts a ON a.id = e.account_id
    WHERE a.code = 'stars'
"""
OPEN = """
    SELECT (SELECT count(*) FROM inbox WHERE handled_at IS NULL)
         + (SELECT count(*) FROM outbox WHERE chat_id > 0 AND status IN ('pending', 'sending'))
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two books that do not agree: on what, and what each says."""

    what: str
    forma: Any
    telegram: Any


class Crowd:
    """The persons of one life. `dice` decides everything."""

    def __init__(self, forma: Forma, seed: int) -> None:
        self.forma, self.dice = forma, random.Random(seed)
        self.persons: list[Person] = []
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)
        self.acts: dict[str, int] = {}

    async def come(self, count: int) -> None:
        """So many new persons start the bot."""

        async def one() -> None:
            async with self._at_once:
                self.persons.append(await self.forma.person("ru", stars=self.dice.randrange(0, 2 * PURSE)))

        await asyncio.gather(*(one() for _ in range(count)))

    async def day(self, share: float) -> None:
        """A share of the persons does something, then a day passes, with all that falls due in it."""
        awake = [person for person in self.persons if self.dice.random() < share]
        deeds = [(person, self.dice.choices(DEEDS, [weight for weight, _ in DEEDS])[0][1]) for person in awake]
        await asyncio.gather(*(self._do(person, deed) for person, deed in deeds))
        await self.quiet()
        await self.forma.advance(days=1)
        await self.quiet()

    async def _do(self, person: Person, deed: "Deed") -> None:
        async with self._at_once:
            self.acts[deed.__name__] = self.acts.get(deed.__name__, 0) + 1
            await deed(self, person)

    async def quiet(self) -> None:
        """Wait until all that came is handled, and all that was to be said is said."""
        async with asyncio.timeout(QUIET_S):
            while (await self.forma.tg.state())["pending_updates"] or await self.forma.scalar(OPEN):
                await asyncio.sleep(0.05)

    async def audit(self) -> list[Difference]:
        """Compare Telegram's books with ours, charge by charge, Star by Star, token by token."""
        state = await self.forma.tg.state()
        theirs = {payment["charge_id"]: payment for payment in state["payments"]}
        async with self.forma.app.db.read() as connection:
            ours = {row.charge: row for row in await connection.execute(sa.text(LEDGER))}
        found = [Difference(f"charge {charge}", "never heard of", theirs[charge]) for charge in theirs.keys() - ours]
        found += [Difference(f"charge {charge}", ours[charge], "never taken") for charge in ours.keys() - theirs]
        for charge in ours.keys() & theirs:
            mine, other = ours[charge], theirs[charge]
            if (mine.payer_id, mine.amount) != (other["person_id"], other["amount"]):
                found.append(Difference(f"charge {charge}", (mine.payer_id, mine.amount), other))
            if (mine.status == "refunded") != bool(other["refunded"]):
                found.append(Difference(f"refund of {charge}", mine.status, other["refunded"]))
            if mine.quarantine_reason is None and mine.granted != mine.tokens:
                found.append(Difference(f"tokens of {charge}", mine.granted, mine.tokens))
        cash, purse = await self.forma.scalar(CASH), state["bot"]["stars"]
        return found + ([Difference("all Stars", cash, purse)] if cash != purse else [])


Deed = Callable[[Crowd, Person], Awaitable[None]]


async def subscribe(crowd: Crowd, person: Person) -> None:
    """Buy a plan, whichever; whoever has one is told so, and whoever has not enough is not charged."""
    button = crowd.dice.choice([RU.lite, RU.forma, RU.max])
    sheet = await _sheet(person, button)
    if sheet:
        await person.pay(sheet)


async def buy_pack(crowd: Crowd, person: Person) -> None:
    sheet = await _sheet(person, RU.pack)
    if sheet:
        await person.pay(sheet)


async def _sheet(person: Person, button: str) -> str | None:
    """The link that pays, None where the product cannot be bought by this person now."""
    offer = await shop.offer(person, RU)
    if not any(button in label.replace("\u00a0", " ") for label in offer.labels):
        return None
    pressed = await person.press(offer, button)
    toast = await person.toast(pressed, timeout_s=WAIT_S)
    if toast["text"]:
        return None
    seen = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    return shop.url_of(seen)


async def cancel(crowd: Crowd, person: Person) -> None:
    """In Telegram's own settings."""
    await _in_settings(person, "active", person.cancel_subscription)


async def resume(crowd: Crowd, person: Person) -> None:
    await _in_settings(person, "canceled", person.resume_subscription)


async def _in_settings(person: Person, state: str, act: Callable[[str], Awaitable[Any]]) -> None:
    for one in await person.subscriptions():
        if one["state"] == state:
            try:
                await act(one["id"])
            except ControlError:  # what the bot has cancelled cannot be resumed here
                continue
            return


async def spend_the_purse(crowd: Crowd, person: Person) -> None:
    """The next charge fails."""
    await person.change(stars=0)


async def fill_the_purse(crowd: Crowd, person: Person) -> None:
    await person.change(stars=PURSE)


async def ask(crowd: Crowd, person: Person) -> None:
    """A question, which costs tokens; a person may be out of them."""
    await person.send("[[tokens: 20]] Сколько белка мне нужно?")
    await person.wait_for(lambda seen: seen.text, timeout_s=WAIT_S)


async def ask_the_money_back(crowd: Crowd, person: Person) -> None:
    """The operator refunds a payment by hand, past Forma."""
    taken = [p for p in (await crowd.forma.tg.state())["payments"] if p["person_id"] == person.id and not p["refunded"]]
    if taken:
        charge = crowd.dice.choice(taken)["charge_id"]
        await shop.as_bot(crowd.forma, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=charge)


DEEDS: Sequence[tuple[int, Deed]] = (
    (30, subscribe), (10, buy_pack), (8, cancel), (4, resume), (6, spend_the_purse), (14, fill_the_purse), (25, ask),
    (3, ask_the_money_back),
)  # fmt: skip
