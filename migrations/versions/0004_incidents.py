"""Incidents: what is wrong right now, so that the operator hears of it once.

The rows are about the present only; going down forgets them.
"""

from alembic import op

revision = "0004_incidents"
down_revision = "0003_dialogs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE incidents (
            name text CONSTRAINT pk_incidents PRIMARY KEY,
            looks integer NOT NULL CONSTRAINT ck_incidents_looks_positive CHECK (looks > 0),
            told boolean NOT NULL,
            since timestamptz NOT NULL,
            seen_at timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE incidents")
