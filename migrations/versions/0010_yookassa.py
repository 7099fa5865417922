"""Roubles: links to the page where people pay, what was asked of YooKassa word by word, and e-mails for receipts."""

from alembic import op

revision = "0010_yookassa"
down_revision = "0008_cases"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE checkout_links (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_checkout_links PRIMARY KEY,
            nonce text NOT NULL CONSTRAINT uq_checkout_links_nonce UNIQUE,
            person_id bigint NOT NULL CONSTRAINT fk_checkout_links_person_id_persons REFERENCES persons (id),
            plan_id text CONSTRAINT fk_checkout_links_plan_id_plans REFERENCES plans (id),
            order_id bigint CONSTRAINT fk_checkout_links_order_id_orders REFERENCES orders (id),
            back_url text NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            created_at timestamptz NOT NULL,
            CONSTRAINT ck_checkout_links_used_for_an_order CHECK ((used_at IS NULL) = (order_id IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX ix_checkout_links_expires_at ON checkout_links (expires_at)")
    op.execute(
        """
        CREATE TABLE yookassa_payments (
            payment_id bigint CONSTRAINT pk_yookassa_payments PRIMARY KEY
                CONSTRAINT fk_yookassa_payments_payment_id_payments REFERENCES payments (id),
            request text NOT NULL,
            posted_at timestamptz,
            asked_at timestamptz,
            confirmation_url text,
            reason text
        )
        """
    )
    op.execute(
        """
        CREATE TABLE receipt_emails (
            person_id bigint CONSTRAINT pk_receipt_emails PRIMARY KEY
                CONSTRAINT fk_receipt_emails_person_id_persons REFERENCES persons (id),
            email text NOT NULL CONSTRAINT ck_receipt_emails_email_fits CHECK (length(email) <= 254),
            updated_at timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    for table in ("receipt_emails", "yookassa_payments", "checkout_links"):
        op.execute(f"DROP TABLE {table}")
