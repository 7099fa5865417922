"""Telegram's list of Star transactions, what differs from ours, debts of chargebacks, renewals that were stopped.

The SQL stands in migrations/sql/0005_star_books.sql. Going down forgets the list, which Telegram still has.
"""

from pathlib import Path

from alembic import op

revision = "0005_star_books"
down_revision = "0004_incidents"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql"
TABLES = ("renewal_stops", "star_reconciliations", "star_differences", "star_list", "star_transactions")


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (SQL / "0005_star_books.sql").read_text(encoding="utf-8").split("\n--;\n"):
        # Sent as it is: text() would take ":name" inside a function's body for a parameter.
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    connection = op.get_bind()
    for statement in (SQL / "0002_functions.sql").read_text(encoding="utf-8").split("\n--;\n"):
        if statement.startswith("CREATE FUNCTION lots_consume("):
            connection.exec_driver_sql(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    op.execute("DROP FUNCTION debt_add, debt_repay, debt_revive")
    op.execute("ALTER TABLE refunds DROP COLUMN tokens_repaid, DROP COLUMN debt_account_id")
    op.execute("DROP INDEX ix_persons_blocked_at")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
