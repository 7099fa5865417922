"""A crowd of persons who live day by day on one clock, with a Telegram and a shop that lose and double their words.

What somebody does on a day is drawn from a seeded generator of that person and day, and done as a person does it: in
the chat, on the operator's page, on the shop's (tests.support.deeds).
"""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from app import card_renewals, reconcile_roubles, reconcile_stars, rouble_payments, rouble_receipts, rouble_refunds
from billing import promos
from billing.promos import Terms
from bot.budget import Budget, Limits
from bot.sender import Sender
from bot.star_list import StarList
from kit import signals
from kit.errors import Unavailable
from tests.support import auditor, card_deeds
from tests.support.auditor import Difference
from tests.support.deeds import DEEDS, PURSE, Deed, refund_what_was_looked_at
from tests.support.roubles import Market
from tests.support.telegram import Group, Person

AT_ONCE_MAX = 16
QUIET_S = 300.0
LOOK_EVERY_S = 0.02
HEED_EVERY = 50
ADMIN_GROUP = -5000
# An operator's refund is typed again no sooner than ten seconds after the payment was looked at.
SECOND_LOOK_S = 15.0
# Telegram's list is believed over a lost word once a charge is an hour old.
SETTLED_H = 2.0
SWEEPS_MAX = 200

OPEN = """
    SELECT (SELECT count(*) FROM inbox WHERE handled_at IS NULL)
         + (SELECT count(*) FROM outbox WHERE chat_id > 0 AND status IN ('pending', 'sending'))
"""
# Payments that the sweep would ask about now: one batch of them does not make the next wait for a day.
STALE = """
    SELECT EXISTS (
        SELECT FROM payments p JOIN yookassa_payments y ON y.payment_id = p.id
        WHERE p.status IN ('sent', 'pending', 'unknown')
          AND coalesce(y.asked_at, p.sent_at) < CAST(:now AS timestamptz) - interval '1 minute'
    )
"""
# The same of refunds in roubles.
GOING = """
    SELECT EXISTS (
        SELECT FROM refunds r JOIN yookassa_refunds y ON y.refund_id = r.id
        WHERE r.status IN ('intent', 'sent', 'pending', 'unknown')
          AND coalesce(y.asked_at, r.created_at) < CAST(:now AS timestamptz) - interval '1 minute'
    )
"""
# Promo codes that lie about: tokens, a percentage, days of a plan.
CODES = {
    "ЖИЗНЬ": Terms("tokens", tokens=50_000, days=30),
    "СКИДКА": Terms("percent", percent=20),
    "НЕДЕЛЯ": Terms("days", days=7, plan_id="lite", uses_max=50),
}
# Shares of what goes wrong: words of Telegram's that are lost, doubled, reordered; the same of the shop's, whose answer
# to a charge that went through may also get lost.
TELEGRAM_FAULTS = (
    ("successful_payment", "lose", 0.03),
    ("refunded_payment", "lose", 0.1),
    ("subscription", "lose", 0.05),
    ("getUpdates", "duplicate", 0.02),
    ("getUpdates", "reorder", 0.02),
    ("refundStarPayment", "http_500", 0.05),
)
SHOP_FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("drop", 0.1, {}),
    ("duplicate", 0.1, {}),
    ("reorder", 0.1, {}),
    ("delay_notification", 0.1, {"delay_s": 3_000.0}),
    ("drop", 0.3, {"event": "refund.*"}),
    ("http_500_after", 0.1, {"method": "POST", "path": "/v3/refunds"}),
    ("http_500_after", 0.05, {"method": "POST", "path": "/v3/payments"}),
    ("reset_after", 0.05, {"method": "POST", "path": "/v3/payments"}),
    ("http_500", 0.03, {}),
)
# On some days the next requests to the shop end so, whatever they ask for.
BAD_DAY_SHARE = 0.15
BAD_DAYS = ("hang", "hang_after", "reset", "reset_after", "http_500_after")
BAD_REQUESTS = 6


class Crowd:
    """The persons of one life. The seed decides what each does on which day; `acts` counts what was done.

    In which order it arrives is the machine's: persons act at once, as they do.
    """

    def __init__(self, market: Market, seed: int) -> None:
        self.market, self.forma, self.seed = market, market.forma, seed
        self.persons: list[Person] = []
        self.givers: list[Person] = []
        self.acts: Counter[str] = Counter()
        # Payments and amounts, as typed, that the operator has looked at and means to refund today.
        self.looked: list[tuple[int, str]] = []
        self.room: tuple[Group, Person] | None = None
        self._day = 0
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)

    async def come(self, count: int) -> None:
        """So many new persons start the bot; the first time its operator's group and promo codes are made as well."""
        if self.room is None:
            await self._open()
        dice = random.Random(f"{self.seed}:come:{len(self.persons)}")

        async def one(stars: int) -> None:
            async with self._at_once:
                self.persons.append(await self.forma.person("ru", stars=stars))

        await asyncio.gather(*(one(dice.randrange(0, 2 * PURSE)) for _ in range(count)))
        self.persons.sort(key=lambda person: person.id)

    async def _open(self) -> None:
        operator = await self.forma.tg.person(first_name="Оператор", language_code="ru")
        group = await self.forma.tg.group(
            title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
        )
        self.room = (group, operator)
        async with self.forma.app.db.transaction() as tx:
            for code, terms in CODES.items():
                await promos.create(tx, code=code, terms=terms, created_by=operator.id, now=self.forma.app.clock.now())

    async def day(self, share: float) -> None:
        """A share of the persons does something, then a day passes, with all that falls due in it."""
        self._day += 1
        drawn = random.Random(f"{self.seed}:{self._day}")
        choice = (*DEEDS, *card_deeds.DEEDS)
        awake = [person for person in self.persons if drawn.random() < share]
        deeds = drawn.choices([deed for _, deed in choice], [weight for weight, _ in choice], k=len(awake))
        if drawn.random() < BAD_DAY_SHARE:
            self.acts["bad_day"] += 1
            await self.market.shop.fault(drawn.choice(BAD_DAYS), count=BAD_REQUESTS)
        await asyncio.gather(*(self._do(*one) for one in zip(awake, deeds, strict=True)))
        await self.quiet()
        if self.looked:
            await self.pass_time(seconds=SECOND_LOOK_S)
            await refund_what_was_looked_at(self)
            await self.quiet()
        await self.pass_time(days=1)
        await self.quiet()
        with contextlib.suppress(Unavailable):  # what one night misses the next one sees
            await reconcile_roubles.scheduled(self.forma.app)

    async def _do(self, person: Person, deed: Deed) -> None:
        async with self._at_once:
            self.acts[deed.__name__] += 1
            await deed(self, person, random.Random(f"{self.seed}:{self._day}:{self.persons.index(person)}"))

    async def quiet(self) -> None:
        """Wait until all that came is handled, and all that was to be said is said.

        What a shop in trouble has left unread is read by a schedule once a minute, which nobody here waits for.
        """
        pending = self.market.telegram.world.state.pending
        async with asyncio.timeout(QUIET_S):
            for look in itertools.count(1):
                if not (pending or await self.forma.scalar(OPEN)):
                    return
                if look % HEED_EVERY == 0:
                    await rouble_payments.heed(self.forma.app)
                await asyncio.sleep(LOOK_EVERY_S)

    async def pass_time(self, **by: float) -> None:
        """Move the one clock, and let the schedules that take and give money do their part."""
        await self.forma.advance(**by)
        await self.market.shop.control("POST", "clock", {"offset_s": self.forma.app.clock.offset.total_seconds()})
        await self._look_after_roubles()

    async def _look_after_roubles(self) -> None:
        await rouble_payments.sweep(self.forma.app)
        await card_renewals.sweep(self.forma.app)
        await rouble_refunds.sweep(self.forma.app)
        await rouble_receipts.sweep(self.forma.app)

    async def trouble(self) -> None:
        """Let words get lost and doubled from now on."""
        number = 0
        for method, kind, share in TELEGRAM_FAULTS:
            await self.forma.tg.fault(method, kind, probability=share, seed=self.seed * 1_000 + (number := number + 1))
        for kind, share, rule in SHOP_FAULTS:
            seed = self.seed * 1_000 + (number := number + 1)
            await self.market.shop.fault(kind, probability=share, seed=seed, **rule)

    async def calm(self) -> None:
        """End the faults, and find what got lost as the schedules do: by asking, and by both providers' lists."""
        await self.forma.tg.clear_faults()
        await self.market.shop.clear_faults()
        await self.pass_time(hours=SETTLED_H)
        await self.quiet()
        async with _hand(self.market) as sender:
            await StarList(self.forma.app, sender).read()
        await reconcile_stars.run(self.forma.app, cause="command")
        for _ in range(SWEEPS_MAX):
            now = self.forma.app.clock.now()
            if not (await self.forma.scalar(STALE, now=now) or await self.forma.scalar(GOING, now=now)):
                break
            await self._look_after_roubles()
        await reconcile_roubles.run(self.forma.app, cause="command")
        await signals.send(self.forma.app.redis, signals.OUTBOX)
        await self.quiet()

    async def audit(self) -> list[Difference]:
        """What the three books disagree on."""
        db = self.forma.app.db
        return await auditor.of_telegram(self.forma.tg, db) + await auditor.of_the_shop(self.market.shop, db)


@contextlib.asynccontextmanager
async def _hand(market: Market) -> AsyncIterator[Sender]:
    """Another bot process's way to Telegram: the schedule reads the list once a night, and a test cannot wait."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(market.forma.tg.base_url))
    yield Sender(Bot(market.forma.tg.token, session=session), Budget(market.forma.app.redis, Limits()))
    await session.close()
