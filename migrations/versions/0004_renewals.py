"""Renewals are announced: subscriptions know what their persons were told. A hold without a wallet is refused.

The SQL of functions stands in migrations/sql/; going down brings back the function as 0002 made it.
"""

from pathlib import Path

from alembic import op

revision = "0004_renewals"
down_revision = "0003_dialogs"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql"


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN told_until timestamptz")
    op.get_bind().exec_driver_sql((SQL / "0004_hold_place.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    first = (SQL / "0002_functions.sql").read_text(encoding="utf-8").split("\n--;\n")
    for statement in first:
        if "CREATE FUNCTION hold_place(" in statement:
            op.get_bind().exec_driver_sql(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute("ALTER TABLE subscriptions DROP COLUMN told_until")
