"""Refunds in roubles: what is asked of YooKassa word by word; and what its lists and our books differ in."""

from alembic import op

revision = "0012_rouble_refunds"
down_revision = "0010_yookassa"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE yookassa_refunds (
            refund_id bigint CONSTRAINT pk_yookassa_refunds PRIMARY KEY
                CONSTRAINT fk_yookassa_refunds_refund_id_refunds REFERENCES refunds (id),
            request text NOT NULL,
            sent_at timestamptz,
            posted_at timestamptz,
            asked_at timestamptz,
            reason text
        )
        """
    )
    op.execute(
        """
        CREATE UNIQUE INDEX uq_refunds_provider_refund_id ON refunds (provider_refund_id)
        WHERE provider_refund_id IS NOT NULL
        """
    )
    op.execute(
        """
        CREATE TABLE rouble_differences (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_rouble_differences PRIMARY KEY,
            subject text NOT NULL CONSTRAINT uq_rouble_differences_subject UNIQUE,
            class text NOT NULL,
            kopecks bigint NOT NULL,
            at timestamptz NOT NULL,
            seen_at timestamptz NOT NULL,
            closed_at timestamptz
        )
        """
    )
    op.execute(
        """
        CREATE TABLE rouble_reconciliations (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_rouble_reconciliations PRIMARY KEY,
            cause text NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz NOT NULL,
            followed integer NOT NULL,
            lines bigint NOT NULL,
            theirs_kopecks bigint NOT NULL,
            ours_kopecks bigint NOT NULL,
            classes jsonb NOT NULL,
            ended_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        INSERT INTO status_edges (subject, before, after) VALUES ('refunds', 'unknown', 'pending')
        ON CONFLICT DO NOTHING
        """
    )


def downgrade() -> None:
    # A path that was walked stays: what became of refunds is history, which nobody may delete.
    op.execute(
        """
        DELETE FROM status_edges WHERE (subject, before, after) = ('refunds', 'unknown', 'pending')
            AND NOT EXISTS (
                SELECT FROM status_changes WHERE (subject, before, after) = ('refunds', 'unknown', 'pending')
            )
        """
    )
    op.execute("DROP INDEX uq_refunds_provider_refund_id")
    for table in ("rouble_reconciliations", "rouble_differences", "yookassa_refunds"):
        op.execute(f"DROP TABLE {table}")
