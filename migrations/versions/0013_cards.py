"""Saved cards: what may be charged again, what is charged when, and each try of it."""

from alembic import op

revision = "0013_cards"
down_revision = "0012_rouble_refunds"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE payment_methods (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_payment_methods PRIMARY KEY,
        person_id bigint NOT NULL CONSTRAINT fk_payment_methods_person_id_persons REFERENCES persons (id),
        payment_id bigint NOT NULL CONSTRAINT fk_payment_methods_payment_id_payments REFERENCES payments (id)
            CONSTRAINT uq_payment_methods_payment_id UNIQUE,
        provider_method_id text NOT NULL CONSTRAINT uq_payment_methods_provider_method_id UNIQUE,
        kind text NOT NULL,
        title text NOT NULL,
        status text NOT NULL CONSTRAINT ck_payment_methods_status_known CHECK (status IN ('active', 'removed', 'dead')),
        reason text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX ix_payment_methods_person_id ON payment_methods (person_id)",
    """
    INSERT INTO status_edges (subject, before, after) VALUES
        ('payment_methods', '', 'active'), ('payment_methods', 'active', 'removed'),
        ('payment_methods', 'active', 'dead'), ('payment_methods', 'dead', 'removed')
    ON CONFLICT DO NOTHING
    """,
    """
    CREATE TRIGGER payment_methods_status_begins AFTER INSERT ON payment_methods
        FOR EACH ROW EXECUTE FUNCTION status_path()
    """,
    """
    CREATE TRIGGER payment_methods_status_path AFTER UPDATE ON payment_methods
        FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION status_path()
    """,
    """
    CREATE TRIGGER payment_methods_stay BEFORE DELETE OR TRUNCATE ON payment_methods
        FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
    """,
    """
    CREATE TABLE card_renewals (
        subscription_id bigint CONSTRAINT pk_card_renewals PRIMARY KEY
            CONSTRAINT fk_card_renewals_subscription_id_subscriptions REFERENCES subscriptions (id),
        method_id bigint NOT NULL CONSTRAINT fk_card_renewals_method_id_payment_methods REFERENCES payment_methods (id),
        announced_for timestamptz,
        announced_at timestamptz,
        next_at timestamptz,
        updated_at timestamptz NOT NULL,
        CONSTRAINT ck_card_renewals_announced_whole CHECK ((announced_for IS NULL) = (announced_at IS NULL)),
        CONSTRAINT ck_card_renewals_charged_when_announced
            CHECK (next_at IS NULL OR next_at >= announced_at + interval '24 hours')
    )
    """,
    "CREATE INDEX ix_card_renewals_next_at ON card_renewals (next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX ix_card_renewals_method_id ON card_renewals (method_id)",
    """
    CREATE TABLE renewal_tries (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_renewal_tries PRIMARY KEY,
        subscription_id bigint NOT NULL
            CONSTRAINT fk_renewal_tries_subscription_id_subscriptions REFERENCES subscriptions (id),
        period_start timestamptz NOT NULL,
        number smallint NOT NULL,
        payment_id bigint NOT NULL CONSTRAINT fk_renewal_tries_payment_id_payments REFERENCES payments (id)
            CONSTRAINT uq_renewal_tries_payment_id UNIQUE,
        method_id bigint CONSTRAINT fk_renewal_tries_method_id_payment_methods REFERENCES payment_methods (id),
        announced_at timestamptz,
        judged_at timestamptz,
        created_at timestamptz NOT NULL,
        CONSTRAINT uq_renewal_tries_subscription_id_period_start_number
            UNIQUE (subscription_id, period_start, number),
        CONSTRAINT ck_renewal_tries_card_was_announced
            CHECK ((method_id IS NULL) = (announced_at IS NULL) AND created_at >= announced_at + interval '24 hours')
    )
    """,
    "CREATE UNIQUE INDEX uq_renewal_tries_open ON renewal_tries (subscription_id) WHERE judged_at IS NULL",
    """
    ALTER TABLE checkout_links
        ADD renews_id bigint CONSTRAINT fk_checkout_links_renews_id_subscriptions REFERENCES subscriptions (id),
        ADD renews_from timestamptz,
        ADD replaces_id bigint CONSTRAINT fk_checkout_links_replaces_id_subscriptions REFERENCES subscriptions (id),
        ADD CONSTRAINT ck_checkout_links_renews_from_somewhen CHECK ((renews_id IS NULL) = (renews_from IS NULL))
    """,
)
DOWN = (
    "ALTER TABLE checkout_links DROP COLUMN renews_id, DROP COLUMN renews_from, DROP COLUMN replaces_id",
    "DROP TABLE renewal_tries",
    "DROP TABLE card_renewals",
    "DROP TABLE payment_methods",
    # Paths that were walked stay: what became of cards is history, which nobody may delete.
    """
    DELETE FROM status_edges
    WHERE subject = 'payment_methods' AND NOT EXISTS (SELECT FROM status_changes WHERE subject = 'payment_methods')
    """,
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
