"""Replaying what Telegram reported, in any order and any number of times, changes no balance (invariant 13)."""

import asyncio
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.db import Database
from tests.support.books import DAY, MONTH, Books

REPORTS = ("first", "renewal", "late renewal", "pack", "wrong amount", "stranger", "pack refund", "renewal refund")


class Story:
    """One person's reports, each of which can be told again."""

    def __init__(self, books: Books, person: int, stranger: int, lite: str, pack: str) -> None:
        self.books, self.person, self.stranger, self.lite, self.pack = books, person, stranger, lite, pack
        self.began = books.now

    async def tell(self, report: str) -> None:
        books, person, charge = self.books, self.person, f"{report}-{self.person}"
        monthly = {"payer": person, "amount": 300, "recurring": True}
        match report:
            case "first":
                await books.pay(self.lite, **monthly, charge=charge, expires=self.began + MONTH)
            case "renewal":
                await books.pay(self.lite, **monthly, charge=charge, first=False, expires=self.began + 2 * MONTH)
            case "late renewal":
                await books.pay(self.lite, **monthly, charge=charge, first=False, expires=self.began + 4 * MONTH)
            case "pack":
                await books.pay(self.pack, payer=person, amount=150, charge=charge)
            case "wrong amount":
                await books.pay(self.pack, payer=person, amount=149, charge=charge)
            case "stranger":
                await books.pay(self.lite, **monthly | {"payer": self.stranger}, charge=charge)
            case "pack refund":
                await books.report_refund(f"pack-{person}", self.pack, person, 150)
            case "renewal refund":
                await books.report_refund(f"renewal-{person}", self.lite, person, 300)

    async def seen(self) -> list[object]:
        return [await self.books.balance(person) for person in (self.person, self.stranger)]


async def begin(books: Books) -> Story:
    person, stranger = await books.person(), await books.person()
    lite, pack = await books.order(person, "lite"), await books.order(person, "pack")
    return Story(books, person, stranger, lite.payload, pack.payload)


async def live(books: Books, told: list[str], again: list[str], waits: list[int]) -> None:
    story = await begin(books)
    for report, days in zip(told, waits, strict=False):
        await story.tell(report)
        books.now += days * DAY
    spent = await books.balance(story.person)
    if spent.available:
        await books.place(story.person, story.person, 1, 1_000)
        await books.settle(story.person, 700)
    await books.expire()
    before = await story.seen()
    for report in again:
        await story.tell(report)
    assert await story.seen() == before
    assert await books.violations() == []
    books.now += timedelta(hours=1)


def test_replaying_the_reports_in_any_order_changes_no_balance(database_url: str) -> None:
    with asyncio.Runner() as runner:
        db = Database(database_url, pool_size=2)
        books = Books(db)
        runner.run(books.open())

        @settings(max_examples=25, database=None)
        @given(
            told=st.permutations(REPORTS),
            again=st.lists(st.sampled_from(REPORTS), min_size=8, max_size=20),
            waits=st.lists(st.sampled_from([0, 1, 9, 31]), min_size=8, max_size=8),
        )
        def tell(told: list[str], again: list[str], waits: list[int]) -> None:
            runner.run(live(books, told, again, waits))

        try:
            tell()
        finally:
            runner.run(db.close())
