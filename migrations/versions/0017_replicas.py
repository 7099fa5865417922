"""What operators have said of replicas: drained, and another weight. A restart keeps it."""

from alembic import op

revision = "0017_replicas"
down_revision = "0016_answer_cost"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE replica_orders (
            model text NOT NULL,
            base_url text NOT NULL,
            drained boolean NOT NULL,
            weight integer,
            at timestamptz NOT NULL,
            CONSTRAINT pk_replica_orders PRIMARY KEY (model, base_url),
            CONSTRAINT ck_replica_orders_weight_known CHECK (weight BETWEEN 1 AND 100)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE replica_orders")
