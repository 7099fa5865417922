"""The trial, days of a plan that nobody pays for, promo codes, invitations.

Who had a trial, and who used which code, is kept for good: both are once for each person.
"""

from alembic import op

revision = "0007_growth"
down_revision = "0006_offers"
branch_labels = None
depends_on = None

TABLES = (
    "referrals", "invites", "promo_orders", "promo_redemptions", "promo_codes", "access_grants", "trials",
)  # fmt: skip


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE trials (
            person_id bigint CONSTRAINT pk_trials PRIMARY KEY
                CONSTRAINT fk_trials_person_id_persons REFERENCES persons (id),
            plan_version_id bigint NOT NULL
                CONSTRAINT fk_trials_plan_version_id_plan_versions REFERENCES plan_versions (id),
            subscription_id bigint NOT NULL CONSTRAINT uq_trials_subscription_id UNIQUE
                CONSTRAINT fk_trials_subscription_id_subscriptions REFERENCES subscriptions (id),
            ends_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        "CREATE TRIGGER trials_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON trials"
        " FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()"
    )
    op.execute(
        """
        CREATE TABLE access_grants (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_access_grants PRIMARY KEY,
            person_id bigint NOT NULL CONSTRAINT fk_access_grants_person_id_persons REFERENCES persons (id),
            plan_version_id bigint NOT NULL
                CONSTRAINT fk_access_grants_plan_version_id_plan_versions REFERENCES plan_versions (id),
            days integer NOT NULL,
            tokens bigint NOT NULL,
            ref_type text NOT NULL,
            ref_id text NOT NULL,
            subscription_id bigint CONSTRAINT uq_access_grants_subscription_id UNIQUE
                CONSTRAINT fk_access_grants_subscription_id_subscriptions REFERENCES subscriptions (id),
            begun_at timestamptz,
            created_at timestamptz NOT NULL,
            CONSTRAINT uq_access_grants_ref_type_ref_id UNIQUE (ref_type, ref_id),
            CONSTRAINT ck_access_grants_amounts_positive CHECK (days > 0 AND tokens > 0),
            CONSTRAINT ck_access_grants_begun_with_access CHECK ((begun_at IS NULL) = (subscription_id IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX ix_access_grants_waiting ON access_grants (person_id) WHERE begun_at IS NULL")
    _promos()
    _invitations()


def _promos() -> None:
    op.execute(
        """
        CREATE TABLE promo_codes (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_promo_codes PRIMARY KEY,
            code text NOT NULL,
            key text NOT NULL CONSTRAINT uq_promo_codes_key UNIQUE,
            kind text NOT NULL CONSTRAINT ck_promo_codes_kind_known CHECK (kind IN ('tokens', 'days', 'percent')),
            tokens bigint,
            days integer,
            percent smallint,
            plan_id text CONSTRAINT fk_promo_codes_plan_id_plans REFERENCES plans (id),
            plans jsonb,
            uses integer NOT NULL DEFAULT 0,
            uses_max integer,
            first_purchase boolean NOT NULL,
            valid_from timestamptz NOT NULL,
            valid_until timestamptz,
            created_by bigint NOT NULL,
            created_at timestamptz NOT NULL,
            ended_at timestamptz,
            CONSTRAINT ck_promo_codes_uses_within_limit CHECK (uses >= 0 AND (uses_max IS NULL OR uses <= uses_max)),
            CONSTRAINT ck_promo_codes_terms_of_kind CHECK (
                CASE kind
                    WHEN 'tokens' THEN tokens > 0 AND days > 0 AND percent IS NULL AND plan_id IS NULL
                    WHEN 'days' THEN tokens IS NULL AND days > 0 AND percent IS NULL AND plan_id IS NOT NULL
                    ELSE tokens IS NULL AND days IS NULL AND percent BETWEEN 1 AND 99 AND plan_id IS NULL
                END IS TRUE
            )
        )
        """
    )
    op.execute(
        """
        CREATE TABLE promo_redemptions (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_promo_redemptions PRIMARY KEY,
            code_id bigint NOT NULL
                CONSTRAINT fk_promo_redemptions_code_id_promo_codes REFERENCES promo_codes (id),
            person_id bigint NOT NULL CONSTRAINT fk_promo_redemptions_person_id_persons REFERENCES persons (id),
            status text NOT NULL CONSTRAINT ck_promo_redemptions_status_known
                CHECK (status IN ('held', 'used', 'released', 'honoured')),
            expires_at timestamptz,
            payment_id bigint CONSTRAINT uq_promo_redemptions_payment_id UNIQUE
                CONSTRAINT fk_promo_redemptions_payment_id_payments REFERENCES payments (id),
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT ck_promo_redemptions_held_for_a_time CHECK (status <> 'held' OR expires_at IS NOT NULL)
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX uq_promo_redemptions_counted ON promo_redemptions (code_id, person_id)"
        " WHERE status IN ('held', 'used')"
    )
    op.execute("CREATE UNIQUE INDEX uq_promo_redemptions_held ON promo_redemptions (person_id) WHERE status = 'held'")
    op.execute("CREATE INDEX ix_promo_redemptions_person_id ON promo_redemptions (person_id)")
    op.execute("CREATE INDEX ix_promo_redemptions_due ON promo_redemptions (expires_at) WHERE status = 'held'")
    op.execute(
        """
        CREATE TABLE promo_orders (
            order_id bigint CONSTRAINT pk_promo_orders PRIMARY KEY
                CONSTRAINT fk_promo_orders_order_id_orders REFERENCES orders (id),
            redemption_id bigint NOT NULL
                CONSTRAINT fk_promo_orders_redemption_id_promo_redemptions REFERENCES promo_redemptions (id),
            full_amount bigint NOT NULL,
            bonus_tokens bigint NOT NULL,
            CONSTRAINT ck_promo_orders_something_off CHECK (full_amount > 0 AND bonus_tokens >= 0)
        )
        """
    )
    op.execute("CREATE INDEX ix_promo_orders_redemption_id ON promo_orders (redemption_id)")


def _invitations() -> None:
    op.execute(
        """
        CREATE TABLE invites (
            person_id bigint CONSTRAINT pk_invites PRIMARY KEY
                CONSTRAINT fk_invites_person_id_persons REFERENCES persons (id),
            code text NOT NULL CONSTRAINT uq_invites_code UNIQUE,
            created_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE referrals (
            friend_id bigint CONSTRAINT pk_referrals PRIMARY KEY
                CONSTRAINT fk_referrals_friend_id_persons REFERENCES persons (id),
            inviter_id bigint NOT NULL CONSTRAINT fk_referrals_inviter_id_persons REFERENCES persons (id),
            status text NOT NULL CONSTRAINT ck_referrals_status_known CHECK (status IN ('bound', 'rewarded')),
            payment_id bigint CONSTRAINT uq_referrals_payment_id UNIQUE
                CONSTRAINT fk_referrals_payment_id_payments REFERENCES payments (id),
            inviter_tokens bigint NOT NULL DEFAULT 0,
            friend_tokens bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            rewarded_at timestamptz,
            CONSTRAINT ck_referrals_never_oneself CHECK (friend_id <> inviter_id),
            CONSTRAINT ck_referrals_rewarded_for_a_payment CHECK (
                (status = 'rewarded') = (rewarded_at IS NOT NULL) AND (status = 'rewarded') = (payment_id IS NOT NULL)
            )
        )
        """
    )
    op.execute("CREATE INDEX ix_referrals_inviter_id_rewarded_at ON referrals (inviter_id, rewarded_at)")
    op.execute("CREATE INDEX ix_referrals_bound ON referrals (friend_id) WHERE status = 'bound'")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
