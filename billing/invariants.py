"""The invariants of the books as SQL: each query returns what breaks one, so that an empty answer is the proof.

True at any committed moment; each check is one statement and so sees one. What needs tables that are not there yet
(the keys of 10) comes with them, replays (13) are a test's matter, and whether a hold
outlives its turn (7) is asked where turns are known.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import card_checks, checks, desk_checks, growth_checks, receipt_checks
from billing.checks import Check

# Culprits are counted up to this; one is enough to act on.
COUNT_MAX: Final = 100
EXAMPLES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold: its number in the design, a name, how many rows break it, and some of them."""

    number: int
    name: str
    count: int
    examples: tuple[str, ...]


CHECKS: Final = (
    *checks.CHECKS,
    *desk_checks.CHECKS,
    *card_checks.CHECKS,
    *receipt_checks.CHECKS,
    *(Check(*one) for one in growth_checks.CHECKS),
)

_ALL: Final = dict.fromkeys(("wallet", "tx", "payer", "person", "subscriber", "order", "friend"), "true")
_OWNERS = "(SELECT person_id FROM accounts WHERE id = ANY(:accounts))"
_SOME: Final = {
    "wallet": "a.id = ANY(:accounts)",
    "tx": "t.id IN (SELECT tx_id FROM ledger_entries WHERE account_id = ANY(:accounts))",
    "payer": f"p.payer_id IN {_OWNERS}",
    "person": f"p.person_id IN {_OWNERS}",
    "subscriber": f"s.person_id IN {_OWNERS}",
    "order": f"o.person_id IN {_OWNERS}",
    "friend": f"p.friend_id IN {_OWNERS}",
}


async def check(connection: AsyncConnection, accounts: Collection[int] | None = None) -> list[Violation]:
    """Return the broken invariants, looking at everything or only at some wallets (account ids) and their owners."""
    found: list[Violation] = []
    scope = _ALL if accounts is None else _SOME
    for one in CHECKS:
        query = sa.text(f"{one.sql.format(**scope)} LIMIT {COUNT_MAX}")
        values = {} if accounts is None else {"accounts": sorted(accounts)}
        rows = (await connection.execute(query, values)).all()
        if rows:
            examples = tuple(f"{subject}: {figures}" for subject, figures in rows[:EXAMPLES_MAX])
            found.append(Violation(one.number, one.name, len(rows), examples))
    return found


async def touched(connection: AsyncConnection, *, after_tx: int) -> tuple[list[int], int]:
    """Return the wallets that ledger transactions later than `after_tx` changed, and the last transaction's id."""
    rows = (
        await connection.execute(
            sa.text(
                "SELECT e.account_id, max(e.tx_id) FROM ledger_entries e JOIN accounts a ON a.id = e.account_id"
                " WHERE e.tx_id > :after AND a.kind = 'wallet' GROUP BY e.account_id"
            ),
            {"after": after_tx},
        )
    ).all()
    return [row[0] for row in rows], max((row[1] for row in rows), default=after_tx)
