"""Plans, orders, payments, refunds, the ledger with its lots and holds, subscriptions; their guards and functions.

The SQL stands in migrations/sql/0002_*.sql, since functions read badly inside Python strings.
"""

from pathlib import Path

from alembic import op

revision = "0002_billing"
down_revision = "0001_foundation"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql"
TABLES = (
    "status_changes", "status_edges", "holds", "lot_consumptions", "lots", "refunds", "subscription_periods",
    "payments", "subscriptions", "orders", "ledger_entries", "ledger_tx", "accounts", "plan_versions", "plans",
)  # fmt: skip


def upgrade() -> None:
    connection = op.get_bind()
    for part in ("tables", "guards", "functions"):
        for statement in (SQL / f"0002_{part}.sql").read_text(encoding="utf-8").split("\n--;\n"):
            # Sent as it is: text() would take ":name" inside a function's body for a parameter.
            connection.exec_driver_sql(statement)


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP ROUTINE IF EXISTS hold_place, hold_settle, hold_release, lot_grant, lots_consume, lots_expire")
    op.execute("DROP ROUTINE IF EXISTS allowance_ensure, entitlement_at, house")
    op.execute("DROP FUNCTION ledger_entries_balanced, status_path, subscription_periods_apart, hold_resolved_once")
