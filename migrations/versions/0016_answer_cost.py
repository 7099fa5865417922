"""Settling finds its hold by key at any age of the statistics, and an account's rules cost no answer anything.

The SQL stands in migrations/sql/0016_answer_cost.sql.
"""

from pathlib import Path

from alembic import op

revision = "0016_answer_cost"
down_revision = "0015_receipts"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (SQL / "0016_answer_cost.sql").read_text(encoding="utf-8").split("\n--;\n"):
        # Sent as it is: text() would take ":name" inside a function's body for a parameter.
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    connection = op.get_bind()
    for statement in (SQL / "0002_functions.sql").read_text(encoding="utf-8").split("\n--;\n"):
        if "CREATE FUNCTION hold_settle(" in statement:
            connection.exec_driver_sql(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    op.execute(
        """
        ALTER TABLE accounts
            DROP CONSTRAINT ck_accounts_only_wallets_cache,
            ADD CONSTRAINT ck_accounts_kind_known CHECK (kind IN ('wallet', 'debt', 'house')),
            ADD CONSTRAINT ck_accounts_unit_known CHECK (unit IN ('token', 'XTR', 'RUB')),
            ADD CONSTRAINT ck_accounts_owner_of_kind
                CHECK ((kind = 'house') = (person_id IS NULL) AND (kind = 'house') = (code IS NOT NULL)),
            ADD CONSTRAINT ck_accounts_persons_own_tokens CHECK (kind = 'house' OR unit = 'token'),
            ADD CONSTRAINT ck_accounts_only_wallets_cache CHECK (kind = 'wallet' OR (posted = 0 AND reserved = 0))
        """
    )
    op.execute("DROP TRIGGER account_terms ON accounts")
    op.execute("DROP FUNCTION account_terms")
