"""What the database refuses whoever writes, and that every invariant's check names what it is there to find."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from billing import card_checks, growth_checks, invariants
from kit.db import Database
from tests.support.books import MONTH, PLANS, YEAR, Books


@pytest.fixture(scope="module")
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open(PLANS + YEAR)
    return made


@pytest.fixture
async def corrupt(books: Books, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's session in which no trigger and no foreign key looks, rolled back at the end."""
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SET LOCAL session_replication_role = replica")
    yield connection
    await transaction.rollback()
    await connection.close()


async def found(connection: asyncpg.Connection) -> set[tuple[int, str]]:
    """The checks that find something, as (number, name), seen from inside the session's transaction."""
    broken = set()
    every = dict.fromkeys(("wallet", "tx", "payer", "person", "subscriber", "order", "friend"), "true")
    for check in invariants.CHECKS:
        if await connection.fetch(check.sql.format(**every)):
            broken.add((check.number, check.name))
    return broken


async def refused(books: Books, sql: str, **values: object) -> str:
    """The constraint, or the words, with which the database refuses a statement."""
    with pytest.raises(DBAPIError) as error:
        await books.run(sql, **values)
    cause = error.value.orig.__cause__
    return str(getattr(cause, "constraint_name", None) or cause)


async def life(books: Books) -> tuple[int, int]:
    """A person with a plan that renewed, a refunded pack, a year, a gift that was taken, and an answer.

    Returns (person, a settled turn).
    """
    person = await books.person()
    await books.balance(person)
    first = await books.buy(person, "lite")
    order = await books.scalar("SELECT payload FROM orders WHERE person_id = :id", id=person)
    assert first.outcome == "credited"
    await books.pay(order, payer=person, amount=300, recurring=True, first=False, expires=books.now + 2 * MONTH)
    await books.refund((await books.buy(person, "pack")).payment_id)
    await books.buy(person, "year")
    await books.redeem(person, (await books.give(person, "lite")).code)
    turn = person * 10
    await books.place(person, turn, 1, 400)
    await books.settle(turn, 300)
    await books.place(person, turn + 1, 1, 400)
    assert await books.violations() == []
    return person, turn


# -- what the database refuses


@pytest.mark.parametrize(
    "table", ["ledger_tx", "ledger_entries", "lot_consumptions", "plan_versions", "status_changes"]
)
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "UPDATE {} SET {}"])
async def test_history_is_append_only(books: Books, table: str, statement: str) -> None:
    await life(books)
    change = "created_at = now()" if table in {"ledger_tx", "plan_versions"} else "amount = 1"
    change = "at = now()" if table == "status_changes" else change
    assert "append only" in await refused(books, statement.format(table, change))


@pytest.mark.parametrize("table", ["accounts", "payments"])
async def test_accounts_and_payments_stay(books: Books, table: str) -> None:
    await life(books)
    assert "append only" in await refused(books, f"DELETE FROM {table}")


async def test_a_transaction_that_does_not_sum_to_zero_is_refused(books: Books) -> None:
    tx = "INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at) VALUES ('grant', 'test', :ref, now()) RETURNING id"
    for number, entries in enumerate(["(1, 5), (2, -4)", "(1, 5), (10, -5)", "(1, 5)", "(1, 5), (987654321, -5)"]):
        values = ", ".join(f"((SELECT id FROM t), {pair.strip('()')})" for pair in entries.split("), ("))
        sql = f"WITH t AS ({tx}) INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES {values}"
        assert await refused(books, sql, ref=str(number)) == "ledger_entries_balanced"


async def test_a_transaction_is_posted_once(books: Books) -> None:
    person, turn = await life(books)
    again = "INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at) VALUES ('usage', 'hold', :ref, now())"
    assert await refused(books, again, ref=f"{turn}:0") == "uq_ledger_tx_kind_ref_type_ref_id"
    assert await books.violations() == []
    assert person


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE accounts SET posted = -1 WHERE person_id = :person", "ck_accounts_never_below_zero"),
        ("UPDATE accounts SET reserved = posted + 1 WHERE person_id = :person", "ck_accounts_never_below_zero"),
        ("UPDATE accounts SET posted = 1, reserved = 0 WHERE kind = 'house'", "ck_accounts_only_wallets_cache"),
        ("UPDATE accounts SET kind = 'purse' WHERE person_id = :person", "ck_accounts_kind_known"),
        ("UPDATE accounts SET unit = 'USD' WHERE person_id = :person", "ck_accounts_unit_known"),
        ("UPDATE accounts SET unit = 'XTR' WHERE person_id = :person", "ck_accounts_persons_own_tokens"),
        ("UPDATE accounts SET code = 'mine' WHERE person_id = :person", "ck_accounts_owner_of_kind"),
        ("UPDATE accounts SET person_id = NULL WHERE person_id = :person", "ck_accounts_owner_of_kind"),
        ("INSERT INTO accounts (kind, unit, created_at) VALUES ('wallet', 'token', now())",
         "ck_accounts_owner_of_kind"),
        ("INSERT INTO accounts (kind, code, unit, created_at) VALUES ('house', 'mint', 'USD', now())",
         "ck_accounts_unit_known"),
        ("INSERT INTO accounts (kind, code, unit, reserved, posted, created_at)"
         " VALUES ('house', 'mint', 'token', 1, 1, now())", "ck_accounts_only_wallets_cache"),
        ("UPDATE lots SET remaining = -1 FROM accounts a WHERE a.id = account_id AND a.person_id = :person",
         "ck_lots_remaining_within_granted"),
        ("UPDATE lots SET remaining = granted + 1 FROM accounts a WHERE a.id = account_id AND a.person_id = :person",
         "ck_lots_remaining_within_granted"),
        ("UPDATE holds SET status = 'released', resolved_at = now(), settled = 0 WHERE turn_id = :turn",
         "hold_resolved_once"),
        ("UPDATE holds SET settled = settled - 1 WHERE turn_id = :turn", "hold_resolved_once"),
        ("UPDATE holds SET amount = 1 WHERE turn_id = :turn + 1", "hold_resolved_once"),
        ("UPDATE holds SET status = 'settled', settled = amount + 1, resolved_at = now() WHERE turn_id = :turn + 1",
         "ck_holds_settled_within_amount"),
        ("UPDATE holds SET status = 'settled', settled = -1, resolved_at = now() WHERE turn_id = :turn + 1",
         "ck_holds_settled_within_amount"),
        ("UPDATE holds SET status = 'settled', settled = 1 WHERE turn_id = :turn + 1", "ck_holds_resolved_once"),
        ("INSERT INTO holds (turn_id, step, account_id, amount, created_at)"
         " SELECT -1, 0, id, 0, now() FROM accounts WHERE person_id = :person", "ck_holds_amount_positive"),
        ("UPDATE payments SET amount = 0 WHERE payer_id = :person", "ck_payments_amount_positive"),
        ("UPDATE payments SET provider_payment_id = NULL WHERE payer_id = :person", "ck_payments_evidence_has_id"),
        ("UPDATE orders SET amount = -1 WHERE person_id = :person", "ck_orders_amount_positive"),
        ("UPDATE refunds SET tokens_taken = tokens + 1 FROM payments p WHERE p.id = payment_id AND payer_id = :person",
         "ck_refunds_tokens_accounted_for"),
        ("UPDATE subscription_periods SET ends_at = starts_at - interval '1 s' WHERE person_id = :person",
         "ck_subscription_periods_not_backwards"),
        ("UPDATE subscription_periods SET ends_at = ends_at + interval '1 s' WHERE person_id = :person",
         "subscription_periods_apart"),
        ("UPDATE subscription_periods SET payment_id = NULL WHERE person_id = :person",
         "ck_subscription_periods_paid_by_a_payment"),
        ("INSERT INTO payments (provider, provider_payment_id, payer_id, currency, amount, status, created_at,"
         " updated_at) SELECT provider, provider_payment_id, payer_id, currency, amount, status, now(), now()"
         " FROM payments WHERE payer_id = :person", "uq_payments_provider_provider_payment_id"),
    ],
)  # fmt: skip
async def test_what_cannot_be_true_cannot_be_written(books: Books, statement: str, constraint: str) -> None:
    person, turn = await life(books)
    values = {name: value for name, value in {"person": person, "turn": turn}.items() if f":{name}" in statement}
    assert await refused(books, statement, **values) == constraint
    assert await books.violations() == []


@pytest.mark.parametrize(
    ("subject", "status"),
    [
        ("payments", "intent"),
        ("payments", "canceled"),
        ("orders", "open"),
        ("orders", "canceled"),
        ("subscriptions", "incomplete"),
        ("subscriptions", "trialing"),
    ],
)
async def test_a_status_goes_only_where_the_graph_leads(books: Books, subject: str, status: str) -> None:
    person, _ = await life(books)
    owner = "payer_id" if subject == "payments" else "person_id"
    sql = f"UPDATE {subject} SET status = :status WHERE {owner} = :person"
    assert await refused(books, sql, status=status, person=person) == "fk_status_changes_subject_status_edges"


@pytest.mark.parametrize("status", ["active", "past_due", "cancel_scheduled", "expired"])
async def test_a_revoked_subscription_never_revives(books: Books, status: str) -> None:
    person = await books.person()
    await books.refund((await books.buy(person, "lite")).payment_id)
    sql = "UPDATE subscriptions SET status = :status WHERE person_id = :person"
    assert await refused(books, sql, status=status, person=person) == "fk_status_changes_subject_status_edges"


# -- what the checks find where the database was made to look away

WALLET = "(SELECT id FROM accounts WHERE person_id = {person})"
CORRUPTIONS = {
    (1, "every ledger transaction sums to zero per unit"):
        "UPDATE ledger_entries SET amount = amount + 1 WHERE account_id = 3",
    (2, "a wallet's posted is the sum of its entries"):
        "UPDATE accounts SET posted = posted + 7 WHERE person_id = {person}",
    (2, "a wallet's reserved is the sum of its open holds, within posted"):
        "UPDATE accounts SET reserved = reserved - 1 WHERE person_id = {person}",
    (3, "the live lots' remaining is the wallet's posted"):
        f"UPDATE lots SET remaining = remaining - 1 WHERE live AND account_id = {WALLET}",
    (3, "a lot's remaining is what was granted less what was consumed"):
        f"DELETE FROM lot_consumptions WHERE lot_id IN (SELECT id FROM lots WHERE account_id = {WALLET})",
    (4, "a payment that succeeded has one purchase credit, or stands in quarantine; no other payment has one"):
        "UPDATE payments SET quarantine_reason = 'wrong_price' WHERE payer_id = {person}",
    (4, "a purchase credit belongs to one payment"):
        "DELETE FROM payments WHERE payer_id = {person}",
    (4, "a payment's money is booked once, and given back as often as it was refunded"):
        "DELETE FROM ledger_entries WHERE account_id = 10",
    (4, "a resolved quarantine has exactly one credit, or its money back"):
        "UPDATE payments SET quarantine_reason = 'wrong_price', resolved_at = NULL WHERE payer_id = {person}",
    (5, "what was credited is what the order says"):
        "UPDATE orders SET tokens = tokens + 1 WHERE person_id = {person}",
    (5, "paid time that does not renew has its months, each granted at most once, to its person and as bought"):
        "DELETE FROM subscription_months WHERE number = 7",
    (5, "a gift is made by each payment for one, and what it holds is its receiver's alone"):
        "UPDATE gifts SET receiver_id = receiver_id + 1 WHERE giver_id = {person}",
    (6, "refunds do not exceed their payment"):
        "UPDATE refunds SET amount = 100000 FROM payments p WHERE p.id = payment_id AND payer_id = {person}",
    (6, "each refunded token is taken back, forgiven, owed, or still held by an answer"):
        "UPDATE refunds SET tokens_taken = 0, tokens_restored = 0 WHERE tokens_taken > 0",
    (6, "what went back of a payment is what its status says"):
        "UPDATE payments SET status = 'partially_refunded' WHERE status = 'refunded' AND payer_id = {person}",
    (6, "refunds settle no more of a payment's tokens than their share"):
        "UPDATE refunds SET tokens = tokens + 1, tokens_taken = tokens_taken + 1"
        " FROM payments p WHERE p.id = payment_id AND payer_id = {person}",
    (6, "a person's debt is what chargebacks left owed and nothing repaid"):
        "INSERT INTO accounts (person_id, kind, unit, created_at) VALUES ({person}, 'debt', 'token', now());"
        "INSERT INTO ledger_entries (tx_id, account_id, amount)"
        " SELECT 1, id, -5 FROM accounts WHERE person_id = {person} AND kind = 'debt'",
    (7, "a hold is charged once, and what it says"):
        "UPDATE holds SET settled = settled - 1 WHERE turn_id = {turn}",
    (8, "no two periods of a subscription overlap"):
        "UPDATE subscription_periods SET ends_at = ends_at + interval '1 day' WHERE person_id = {person}",
    (9, "access is what the periods cover"):
        "UPDATE subscriptions SET until = until + interval '1 day' WHERE person_id = {person}",
    (9, "what was bought once never renews, and brings tokens within its paid time alone"):
        "UPDATE subscription_months SET ends_at = ends_at + interval '2 years', starts_at = ends_at WHERE number = 11",
    (10, "no payment of an order is older than the order"):
        "UPDATE payments SET created_at = created_at - interval '1 year' WHERE payer_id = {person}",
    (11, "the last change of status is the status, and each change begins where the one before ended"):
        "UPDATE orders SET status = 'expired' WHERE person_id = {person}",
    (12, "what counts as ours in Telegram's list is ours"):
        "INSERT INTO star_transactions (transaction_id, direction, nanostars, partner, class, raw, at, stored_at)"
        " SELECT provider_payment_id, 'in', 1, 'user', 'payment', '{{}}', now(), now()"
        " FROM payments WHERE payer_id = {person}",
    (12, "the last reconciliation of Stars is explained by named classes"):
        "INSERT INTO star_reconciliations (cause, credited, refunded, charged_back, failed, transactions,"
        " theirs_nanostars, ours_nanostars, explained_nanostars, classes, began_at, ended_at)"
        " VALUES ('test', 0, 0, 0, 0, 1, 5, 3, 1, '{{}}', now(), now())",
    (10, "no key of YooKassa's is used after its 24 hours, and no payment was sent without one"):
        "INSERT INTO yookassa_payments (payment_id, request, posted_at)"
        " SELECT id, '{{}}', created_at FROM payments WHERE payer_id = {person}",
    (10, "no key of a refund at YooKassa is used after its 24 hours, and none is used twice"):
        "INSERT INTO yookassa_refunds (refund_id, request, sent_at, posted_at)"
        " SELECT r.id, '{{}}', r.created_at, r.created_at + interval '1 day'"
        " FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.payer_id = {person}",
    (12, "the last reconciliation of roubles is explained by named classes"):
        "INSERT INTO rouble_reconciliations (cause, since, until, followed, lines, theirs_kopecks, ours_kopecks,"
        " classes, ended_at)"
        " VALUES ('test', now(), now(), 0, 1, 500, 300, '{{\"part\": {{\"lines\": 1, \"kopecks\": 100}}}}', now())",
    (17, "a case about a payment is its payer's"):
        "INSERT INTO cases (person_id, payment_id, status, created_at, updated_at)"
        " SELECT 1, max(id), 'answered', now(), now() FROM payments WHERE payer_id = {person}",
    (18, "the receipt of a payment is followed once its money came"):
        "INSERT INTO yookassa_payments (payment_id, request)"
        " SELECT id, '{{\"receipt\": {{}}}}' FROM payments WHERE payer_id = {person}",
    (18, "the receipt of a refund is followed once its money went"):
        "INSERT INTO yookassa_refunds (refund_id, request) SELECT r.id, '{{\"receipt\": {{}}}}'"
        " FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.payer_id = {person}",
}  # fmt: skip


def test_every_check_is_tried() -> None:
    elsewhere = {(number, name) for number, name, _ in growth_checks.CHECKS}  # in test_billing_growth.py
    elsewhere |= {(check.number, check.name) for check in card_checks.CHECKS}  # in test_card_renewals.py
    assert set(CORRUPTIONS) | elsewhere == {(check.number, check.name) for check in invariants.CHECKS}


@pytest.mark.parametrize("check", CORRUPTIONS, ids=lambda check: f"{check[0]} {check[1]}")
async def test_a_broken_invariant_is_named(books: Books, corrupt: asyncpg.Connection, check: tuple[int, str]) -> None:
    person, turn = await life(books)
    assert await found(corrupt) == set()
    await corrupt.execute(CORRUPTIONS[check].format(person=person, turn=turn))
    assert check in await found(corrupt)


async def test_a_check_of_some_wallets_finds_theirs_and_only_theirs(books: Books) -> None:
    (one, _), (other, _) = await life(books), await life(books)
    sql = "SELECT id FROM accounts WHERE person_id = :person"
    mine, theirs = await books.scalar(sql, person=one), await books.scalar(sql, person=other)
    await books.run("UPDATE accounts SET posted = posted + 1 WHERE id = :id", id=mine)
    async with books.db.read() as connection:
        found_here = await invariants.check(connection, [mine, theirs])
        found_there = await invariants.check(connection, [theirs])
    await books.run("UPDATE accounts SET posted = posted - 1 WHERE id = :id", id=mine)
    assert {violation.number for violation in found_here} == {2, 3}
    assert all(f"account {mine}" in example for violation in found_here for example in violation.examples)
    assert found_there == []


async def test_the_touched_wallets_are_those_with_new_entries(books: Books) -> None:
    async with books.db.read() as connection:
        _, last = await invariants.touched(connection, after_tx=0)
    person, _ = await life(books)
    account = await books.scalar("SELECT id FROM accounts WHERE person_id = :person", person=person)
    async with books.db.read() as connection:
        touched, now_last = await invariants.touched(connection, after_tx=last)
        nothing, same = await invariants.touched(connection, after_tx=now_last)
    assert touched == [account]
    assert now_last > last
    assert (nothing, same) == ([], now_last)
