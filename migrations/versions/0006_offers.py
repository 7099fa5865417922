"""What is bought once: paid time whose tokens come month by month, gifts, and a plan that takes another one's place.

Going down forgets months and gifts: their tokens and periods stay as they are, and what was not taken yet is lost.
"""

from alembic import op

revision = "0006_offers"
down_revision = "0005_star_books"
branch_labels = None
depends_on = None

UP = (
    """
    ALTER TABLE orders
        ADD COLUMN gift boolean NOT NULL DEFAULT false,
        ADD COLUMN replaces_id bigint
            CONSTRAINT fk_orders_replaces_id_subscriptions REFERENCES subscriptions (id),
        ADD CONSTRAINT ck_orders_only_renewals_replace CHECK (replaces_id IS NULL OR kind = 'subscription')
    """,
    "DROP INDEX uq_orders_open",
    "CREATE UNIQUE INDEX uq_orders_open ON orders (person_id, plan_id, gift) WHERE status = 'open'",
    "CREATE INDEX ix_orders_replaces_id ON orders (replaces_id) WHERE replaces_id IS NOT NULL",
    """
    ALTER TABLE subscriptions ADD COLUMN next_plan_id text
        CONSTRAINT fk_subscriptions_next_plan_id_plans REFERENCES plans (id)
    """,
    """
    CREATE TABLE subscription_months (
        subscription_id bigint NOT NULL
            CONSTRAINT fk_subscription_months_subscription_id_subscriptions REFERENCES subscriptions (id),
        number smallint NOT NULL CONSTRAINT ck_subscription_months_number_not_negative CHECK (number >= 0),
        payment_id bigint NOT NULL CONSTRAINT fk_subscription_months_payment_id_payments REFERENCES payments (id),
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        tokens bigint NOT NULL CONSTRAINT ck_subscription_months_tokens_positive CHECK (tokens > 0),
        status text NOT NULL DEFAULT 'due' CONSTRAINT ck_subscription_months_status_known
            CHECK (status IN ('due', 'granted', 'missed', 'void')),
        lot_id bigint CONSTRAINT uq_subscription_months_lot_id UNIQUE
            CONSTRAINT fk_subscription_months_lot_id_lots REFERENCES lots (id),
        updated_at timestamptz NOT NULL,
        CONSTRAINT pk_subscription_months PRIMARY KEY (subscription_id, number),
        CONSTRAINT ck_subscription_months_not_backwards CHECK (starts_at < ends_at),
        CONSTRAINT ck_subscription_months_granted_as_a_lot CHECK ((status = 'granted') = (lot_id IS NOT NULL))
    )
    """,
    "CREATE INDEX ix_subscription_months_due ON subscription_months (starts_at) WHERE status = 'due'",
    "CREATE INDEX ix_subscription_months_payment_id ON subscription_months (payment_id)",
    """
    CREATE TABLE gifts (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_gifts PRIMARY KEY,
        code text NOT NULL CONSTRAINT uq_gifts_code UNIQUE,
        payment_id bigint NOT NULL CONSTRAINT uq_gifts_payment_id UNIQUE
            CONSTRAINT fk_gifts_payment_id_payments REFERENCES payments (id),
        giver_id bigint NOT NULL CONSTRAINT fk_gifts_giver_id_persons REFERENCES persons (id),
        receiver_id bigint CONSTRAINT fk_gifts_receiver_id_persons REFERENCES persons (id),
        status text NOT NULL CONSTRAINT ck_gifts_status_known
            CHECK (status IN ('open', 'redeemed', 'withdrawn', 'expired')),
        expires_at timestamptz NOT NULL,
        offers smallint NOT NULL DEFAULT 0,
        reminded boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT ck_gifts_redeemed_by_somebody CHECK ((status = 'redeemed') = (receiver_id IS NOT NULL))
    )
    """,
    "CREATE INDEX ix_gifts_giver_id_id ON gifts (giver_id, id)",
    "CREATE INDEX ix_gifts_open_expires_at ON gifts (expires_at) WHERE status = 'open'",
    """
    INSERT INTO status_edges (subject, before, after) VALUES
        ('gifts', '', 'open'), ('gifts', 'open', 'redeemed'), ('gifts', 'open', 'withdrawn'),
        ('gifts', 'open', 'expired'), ('gifts', 'expired', 'withdrawn'), ('gifts', 'withdrawn', 'open')
    ON CONFLICT DO NOTHING
    """,
    "CREATE TRIGGER gifts_status_begins AFTER INSERT ON gifts FOR EACH ROW EXECUTE FUNCTION status_path()",
    """
    CREATE TRIGGER gifts_status_path AFTER UPDATE ON gifts
        FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION status_path()
    """,
    """
    CREATE TRIGGER gifts_stay BEFORE DELETE OR TRUNCATE ON gifts
        FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
    """,
    """
    CREATE TRIGGER subscription_months_stay BEFORE DELETE OR TRUNCATE ON subscription_months
        FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
    """,
)
DOWN = (
    "DROP TABLE gifts",
    "DROP TABLE subscription_months",
    # Paths that were walked stay: what became of gifts is history, which nobody may delete.
    """
    DELETE FROM status_edges
    WHERE subject = 'gifts' AND NOT EXISTS (SELECT FROM status_changes WHERE subject = 'gifts')
    """,
    "ALTER TABLE subscriptions DROP COLUMN next_plan_id",
    "UPDATE orders SET status = 'canceled' WHERE gift AND status = 'open'",
    "DROP INDEX uq_orders_open",
    "CREATE UNIQUE INDEX uq_orders_open ON orders (person_id, plan_id) WHERE status = 'open'",
    "ALTER TABLE orders DROP COLUMN gift, DROP COLUMN replaces_id",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
