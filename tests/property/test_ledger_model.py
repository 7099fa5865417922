"""The auditor: the books in PostgreSQL against a plain Python bookkeeper, through two persons' random lives.

They buy for Stars and roubles, renew, change, give, try, spend, and get money back; reports come late, twice or wrong,
time leaps, and transactions die before their commit. After each step all invariants hold and all that can be seen of
the books is the bookkeeper's. A failure prints its history and the line that, put above `class Auditor`,
lives through it again.
"""

import ast
import asyncio
import re
from collections.abc import Collection

import pytest
from hypothesis import Phase, reproduce_failure, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.support import figures
from tests.support.audit import SOLD, Audit, CrashingDatabase
from tests.support.audit_back import BackAudit
from tests.support.audit_growth import GrowthAudit
from tests.support.audit_stars import SOLD_FOR_STARS
from tests.support.books import Books as Ledger

# A failure is shrunk, but not explained: tracing every line of the driver takes longer than the test may.
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
# A small part of what `make test-money` lives through.
HISTORIES, STEPS_MAX = 6, 25


class Auditor(BackAudit, GrowthAudit):
    """Everything that a person can do, in any order."""

    @initialize(what=st.lists(st.sampled_from([*SOLD_FOR_STARS, "gift", "roubles", "trial"]), min_size=2, max_size=4))
    def begin(self, what) -> None:
        """Nobody's life begins with empty hands: what is refunded and renewed is there from the start."""
        for number, bought in enumerate(what):
            who = number % 2
            match bought:
                case "gift":
                    self.buy(who, "pack", gift=True)
                case "roubles":
                    self.pay_in_roubles(who, "top", lost=False, answer="succeeded")
                case "trial":
                    self.start_a_trial(who)
                case _:
                    self.buy(who, bought, gift=False)


class ForgetfulAuditor(Auditor):
    """One whose bookkeeper loses a token at the third payment: a fault of the test's own."""

    def _report(self, charge) -> None:
        super()._report(charge)
        if len(self.reported) == 3:
            for lot in self.model.wallets[charge.payer].live()[:1]:
                lot.remaining -= 1


@pytest.mark.timeout(600)  # a failure is shrunk before it is shown
def test_the_books_are_what_the_plain_bookkeeper_says(database_url) -> None:
    audit(Auditor, database_url, histories=HISTORIES, steps_max=STEPS_MAX)


@pytest.mark.money
@pytest.mark.timeout(4 * 3_600)
def test_the_books_are_what_the_plain_bookkeeper_says_through_long_histories(database_url) -> None:
    audit(Auditor, database_url, histories=500, steps_max=120)
    figures.add(steps=Auditor.steps)


def test_a_failure_prints_what_replays_it(database_url, capsys) -> None:
    unshrunk = (Phase.explicit, Phase.generate)
    with pytest.raises(AssertionError) as found:
        audit(ForgetfulAuditor, database_url, histories=100, steps_max=10, phases=unshrunk)
    printed = "\n".join(found.value.__notes__)
    version, blob = re.search(r"@reproduce_failure\('([\d.]+)', (b'[^']+')\)", printed).groups()
    steps = Audit.steps
    capsys.readouterr()

    again = reproduce_failure(version, ast.literal_eval(blob))(type("Again", (ForgetfulAuditor,), {}))
    with pytest.raises(AssertionError):
        audit(again, database_url, histories=100, steps_max=10, phases=unshrunk)
    assert Audit.steps - steps <= 11  # that one history, and no other
    assert _lived(capsys.readouterr().out) == _lived(printed) != []


def _lived(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("state.")]


def audit(
    machine: type[Audit], database_url: str, *, histories: int, steps_max: int, phases: Collection[Phase] = PHASES
) -> None:
    """Live through so many histories of at most so many steps, comparing after each step."""
    with asyncio.Runner() as runner:
        machine.loop = runner.get_loop()
        machine.db = CrashingDatabase(database_url, pool_size=2)
        try:
            runner.run(Ledger(machine.db).open(SOLD))
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=histories,
                    stateful_step_count=steps_max,
                    deadline=None,
                    database=None,
                    phases=phases,
                    print_blob=True,
                ),
            )
            assert runner.run(Ledger(machine.db).violations()) == []
        finally:
            runner.run(machine.db.close())
