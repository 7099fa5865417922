"""Receipts of payments and refunds in roubles, followed apart from the money."""

from alembic import op

revision = "0015_receipts"
down_revision = "0014_partial_refunds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE rouble_receipts (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_rouble_receipts PRIMARY KEY,
            payment_id bigint NOT NULL
                CONSTRAINT fk_rouble_receipts_payment_id_payments REFERENCES payments (id),
            refund_id bigint CONSTRAINT fk_rouble_receipts_refund_id_refunds REFERENCES refunds (id),
            status text NOT NULL
                CONSTRAINT ck_rouble_receipts_status CHECK (status IN ('pending', 'canceled', 'by_hand', 'succeeded')),
            told text CONSTRAINT ck_rouble_receipts_told CHECK (told IN ('missing', 'came')),
            created_at timestamptz NOT NULL,
            heard_at timestamptz,
            ask_at timestamptz
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX uq_rouble_receipts_payment_id ON rouble_receipts (payment_id) WHERE refund_id IS NULL"
    )
    op.execute("CREATE UNIQUE INDEX uq_rouble_receipts_refund_id ON rouble_receipts (refund_id)")
    op.execute("CREATE INDEX ix_rouble_receipts_ask_at ON rouble_receipts (ask_at) WHERE ask_at IS NOT NULL")
    op.execute(
        """
        CREATE INDEX ix_rouble_receipts_unsettled ON rouble_receipts (id)
        WHERE status IN ('pending', 'canceled') OR told = 'missing'
        """
    )
    # What was sold before nobody asked about: YooKassa is asked at once, and its word decides.
    op.execute(
        """
        INSERT INTO rouble_receipts (payment_id, status, created_at, ask_at)
        SELECT p.id, 'pending', p.created_at, p.created_at
        FROM payments p JOIN yookassa_payments y ON y.payment_id = p.id
        WHERE p.status IN ('succeeded', 'partially_refunded', 'refunded', 'charged_back')
          AND CASE WHEN y.request <> '' THEN y.request::jsonb ? 'receipt' END
        ORDER BY p.id
        """
    )
    op.execute(
        """
        INSERT INTO rouble_receipts (payment_id, refund_id, status, created_at, ask_at)
        SELECT r.payment_id, r.id, 'pending', r.created_at, r.created_at
        FROM refunds r JOIN yookassa_refunds y ON y.refund_id = r.id
        WHERE r.status = 'succeeded' AND CASE WHEN y.request <> '' THEN y.request::jsonb ? 'receipt' END
        ORDER BY r.id
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE rouble_receipts")
