"""The auditor's fifth part: gifts taken, trials, promo codes, and invitations."""

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from billing import promos, referrals, trials
from billing.promos import HELD_FOR, Terms
from kit.errors import Rejected
from tests.support.audit import INVITED
from tests.support.audit_stars import StarsAudit
from tests.support.books import DAY
from tests.support.growth_model import Invitation, Use, counted

_codes = itertools.count(1)


class GrowthAudit(StarsAudit):
    """What costs its owner nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: dict[str, Terms] = {}

    @precondition(lambda self: self.model.gifts)
    @rule(data=st.data(), who=st.integers(0, 1))
    def take_a_gift(self, data, who) -> None:
        gift = data.draw(st.sampled_from(list(self.model.gifts.values())))
        try:
            taken = self.run(self.ledger.redeem(self.persons[who], gift.code))
            outcome = "repeated" if taken.repeated else "redeemed"
        except Rejected as error:
            outcome = type(error).__name__
        assert outcome == self.model.redeem(gift, self.persons[who], self.now)

    @rule(who=st.integers(0, 1))
    def start_a_trial(self, who) -> None:
        person = self.persons[who]
        had = any(one.product.kind == "trial" for one in self.model.of(person))
        paid = self.model.has_paid(person)
        has = any(one.alive for one in self.model.of(person))

        async def started() -> None:
            async with self.db.transaction() as tx:
                await trials.start(tx, person_id=person, now=self.now)

        expected = "TrialHadAlready" if had else "TrialNotOffered" if paid or has else None
        assert self.run(self._refusal(started)) == expected
        if expected is None:
            trial = self.model.products["trial"]
            self.model.house(person, trial, "trial", trial.days, trial.tokens, self.now)

    async def _refusal(self, work) -> str | None:
        """Why the product would not do it, None where it did."""
        try:
            await self.ledger.again(work)
        except Rejected as error:
            return type(error).__name__
        return None

    @rule(
        what=st.sampled_from(["tokens", "days", 20, 60, 99]),
        uses=st.sampled_from([None, 1, 2]),
        newcomers=st.booleans(),
        short=st.booleans(),
    )
    def make_a_code(self, what, uses, newcomers, short) -> None:
        """Of tokens, of days, or of so many percent."""
        limits = {
            "uses_max": uses, "first_purchase": newcomers, "valid_until": self.now + 2 * DAY if short else None,
        }  # fmt: skip
        if what == "days":
            terms = Terms("days", days=10, plan_id="top", **limits)
        elif what == "tokens":
            terms = Terms("tokens", tokens=900, days=5, **limits)
        else:
            terms = Terms("percent", percent=what, **limits)
        code = f"GIFT-{next(_codes)}"

        async def made() -> None:
            async with self.db.transaction() as tx:
                await promos.create(tx, code=code, terms=terms, created_by=self.persons[0], now=self.now)

        self.run(self.ledger.again(made))
        self.codes[code] = terms

    @precondition(lambda self: self.codes)
    @rule(data=st.data(), who=st.integers(0, 1))
    def use_a_code(self, data, who) -> None:
        code, person = data.draw(st.sampled_from(list(self.codes))), self.persons[who]
        terms = self.codes[code]

        async def used() -> None:
            async with self.db.transaction() as tx:
                await promos.redeem(tx, person_id=person, typed=code.lower(), now=self.now)

        expected = self._refusal_of_code(code, person)
        assert self.run(self._refusal(used)) == expected
        if expected is not None:
            return
        self.model.uses.append(Use(code, terms, person, self.now))
        if terms.kind == "percent":
            for earlier in self.model.uses[:-1]:
                if (earlier.person, earlier.status) == (person, "held"):
                    self.model.release(earlier)
            use, until = self.model.uses[-1], self.now + HELD_FOR
            use.status, use.expires = "held", min(until, terms.valid_until or until)
        elif terms.kind == "days":
            self.model.days.append((person, self.model.products["top"], terms.days))
            self.model.give_days(self.now, latest=True)
        else:
            self.model.wallets[person].add("promo", terms.tokens, self.now + terms.days * DAY)

    def _refusal_of_code(self, code: str, person: int) -> str | None:
        terms = self.codes[code]
        uses = counted(self.model.uses, code)
        if any(one.person == person for one in uses):
            return "PromoUsed"
        if terms.valid_until and terms.valid_until <= self.now:
            return "PromoOver"
        if terms.first_purchase and self.model.has_paid(person):
            return "PromoForNewcomers"
        if terms.kind == "percent" and any(
            (one.person, one.status) == (person, "held") and self.model.is_awaited(one) for one in self.model.uses
        ):
            return "DiscountUnderWay"
        if terms.uses_max is not None and len(uses) >= terms.uses_max:
            return "PromoOver"
        return None

    @rule(inviter=st.integers(0, 1))
    def invite(self, inviter) -> None:
        """By the link of the one or the other: only who came later is bound, and only once."""
        person, friend = self.persons[inviter], self.persons[1 - inviter]

        async def bound() -> int | None:
            async with self.db.transaction() as tx:
                code = await referrals.code_of(tx, person_id=person, now=self.now)
                return await referrals.bind(tx, friend_id=friend, code=code, now=self.now)

        expected = person if inviter == 0 and not self.model.invitations else None
        assert self.run(self.ledger.again(bound)) == expected
        if expected:
            brings = (INVITED.inviter_tokens, INVITED.friend_tokens, INVITED.window)
            self.model.invitations.append(Invitation(friend, person, *brings))
