-- Billing's tables. One statement ends at each line that holds only "--;".
CREATE TABLE plans (
    id text CONSTRAINT pk_plans PRIMARY KEY,
    kind text NOT NULL CONSTRAINT ck_plans_kind_known
        CHECK (kind IN ('free', 'subscription', 'pack', 'trial', 'once')),
    position smallint NOT NULL,
    titles jsonb NOT NULL,
    withdrawn_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
)
--;
CREATE UNIQUE INDEX uq_plans_free ON plans (kind) WHERE kind = 'free' AND withdrawn_at IS NULL
--;
CREATE TABLE plan_versions (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_plan_versions PRIMARY KEY,
    plan_id text NOT NULL CONSTRAINT fk_plan_versions_plan_id_plans REFERENCES plans (id),
    version integer NOT NULL,
    price_xtr bigint,
    price_rub bigint,
    period_months smallint,
    period_days smallint,
    tokens bigint NOT NULL,
    tokens_days smallint,
    tokens_roll_over boolean NOT NULL,
    daily_tokens bigint NOT NULL,
    welcome_tokens bigint NOT NULL,
    welcome_days smallint NOT NULL,
    requests_per_minute integer NOT NULL,
    tokens_per_minute bigint NOT NULL,
    tokens_per_day bigint NOT NULL,
    in_flight smallint NOT NULL,
    queued smallint NOT NULL,
    context_tokens integer NOT NULL,
    answer_tokens integer NOT NULL,
    photos_per_day integer NOT NULL,
    weight smallint NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT uq_plan_versions_plan_id_version UNIQUE (plan_id, version),
    CONSTRAINT ck_plan_versions_prices_positive CHECK (price_xtr > 0 AND price_rub > 0),
    CONSTRAINT ck_plan_versions_period_one_unit CHECK (period_months IS NULL OR period_days IS NULL),
    CONSTRAINT ck_plan_versions_amounts_not_negative CHECK (
        version > 0 AND tokens >= 0 AND daily_tokens >= 0 AND welcome_tokens >= 0 AND welcome_days >= 0
        AND requests_per_minute >= 0 AND tokens_per_minute >= 0 AND tokens_per_day >= 0 AND in_flight >= 0
        AND queued >= 0 AND context_tokens >= 0 AND answer_tokens >= 0 AND photos_per_day >= 0 AND weight >= 0
    )
)
--;
CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000) CONSTRAINT pk_accounts PRIMARY KEY,
    kind text NOT NULL CONSTRAINT ck_accounts_kind_known CHECK (kind IN ('wallet', 'debt', 'house')),
    code text CONSTRAINT uq_accounts_code UNIQUE,
    person_id bigint CONSTRAINT fk_accounts_person_id_persons REFERENCES persons (id),
    unit text NOT NULL CONSTRAINT ck_accounts_unit_known CHECK (unit IN ('token', 'XTR', 'RUB')),
    posted bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    allowance_on date,
    welcomed_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT uq_accounts_person_id_kind UNIQUE (person_id, kind),
    CONSTRAINT ck_accounts_owner_of_kind
        CHECK ((kind = 'house') = (person_id IS NULL) AND (kind = 'house') = (code IS NOT NULL)),
    CONSTRAINT ck_accounts_never_below_zero CHECK (0 <= reserved AND reserved <= posted),
    CONSTRAINT ck_accounts_only_wallets_cache CHECK (kind = 'wallet' OR (posted = 0 AND reserved = 0)),
    CONSTRAINT ck_accounts_persons_own_tokens CHECK (kind = 'house' OR unit = 'token')
) WITH (fillfactor = 70)
--;
CREATE TABLE ledger_tx (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_ledger_tx PRIMARY KEY,
    kind text NOT NULL CONSTRAINT ck_ledger_tx_kind_known CHECK (kind IN (
        'purchase', 'grant', 'courtesy', 'usage', 'expiry', 'takeback', 'quarantine', 'refund'
    )),
    ref_type text NOT NULL,
    ref_id text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT uq_ledger_tx_kind_ref_type_ref_id UNIQUE (kind, ref_type, ref_id)
)
--;
CREATE TABLE ledger_entries (
    tx_id bigint NOT NULL,
    account_id bigint NOT NULL,
    amount bigint NOT NULL CONSTRAINT ck_ledger_entries_amount_not_zero CHECK (amount <> 0),
    CONSTRAINT pk_ledger_entries PRIMARY KEY (tx_id, account_id)
)
--;
CREATE INDEX ix_ledger_entries_account_id_tx_id ON ledger_entries (account_id, tx_id)
--;
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_orders PRIMARY KEY,
    person_id bigint NOT NULL CONSTRAINT fk_orders_person_id_persons REFERENCES persons (id),
    plan_id text NOT NULL CONSTRAINT fk_orders_plan_id_plans REFERENCES plans (id),
    plan_version_id bigint NOT NULL
        CONSTRAINT fk_orders_plan_version_id_plan_versions REFERENCES plan_versions (id),
    kind text NOT NULL CONSTRAINT ck_orders_kind_known CHECK (kind IN ('subscription', 'pack', 'once')),
    currency text NOT NULL CONSTRAINT ck_orders_currency_known CHECK (currency IN ('XTR', 'RUB')),
    amount bigint NOT NULL CONSTRAINT ck_orders_amount_positive CHECK (amount > 0),
    tokens bigint NOT NULL CONSTRAINT ck_orders_tokens_positive CHECK (tokens > 0),
    payload text NOT NULL CONSTRAINT uq_orders_payload UNIQUE
        CONSTRAINT ck_orders_payload_fits CHECK (octet_length(payload) BETWEEN 1 AND 128),
    status text NOT NULL CONSTRAINT ck_orders_status_known
        CHECK (status IN ('open', 'paid', 'expired', 'canceled')),
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
)
--;
CREATE UNIQUE INDEX uq_orders_open ON orders (person_id, plan_id) WHERE status = 'open'
--;
CREATE INDEX ix_orders_open_expires_at ON orders (expires_at) WHERE status = 'open'
--;
CREATE TABLE subscriptions (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_subscriptions PRIMARY KEY,
    person_id bigint NOT NULL CONSTRAINT fk_subscriptions_person_id_persons REFERENCES persons (id),
    plan_version_id bigint NOT NULL
        CONSTRAINT fk_subscriptions_plan_version_id_plan_versions REFERENCES plan_versions (id),
    provider text NOT NULL CONSTRAINT ck_subscriptions_provider_known
        CHECK (provider IN ('stars', 'yookassa', 'house')),
    order_id bigint CONSTRAINT fk_subscriptions_order_id_orders REFERENCES orders (id),
    first_charge_id text,
    predecessor_id bigint CONSTRAINT uq_subscriptions_predecessor_id UNIQUE
        CONSTRAINT fk_subscriptions_predecessor_id_subscriptions REFERENCES subscriptions (id),
    status text NOT NULL CONSTRAINT ck_subscriptions_status_known CHECK (status IN (
        'incomplete', 'trialing', 'active', 'cancel_scheduled', 'past_due', 'expired', 'revoked'
    )),
    until timestamptz,
    anchor_day smallint CONSTRAINT ck_subscriptions_anchor_day_of_month CHECK (anchor_day BETWEEN 1 AND 31),
    told_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_subscriptions_order_of_provider CHECK ((provider = 'house') = (order_id IS NULL))
)
--;
CREATE UNIQUE INDEX uq_subscriptions_living ON subscriptions (order_id)
    WHERE status NOT IN ('expired', 'revoked')
--;
CREATE INDEX ix_subscriptions_person_id ON subscriptions (person_id)
--;
CREATE INDEX ix_subscriptions_order_id ON subscriptions (order_id)
--;
CREATE INDEX ix_subscriptions_due ON subscriptions (until) WHERE status NOT IN ('expired', 'revoked')
--;
CREATE TABLE payments (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_payments PRIMARY KEY,
    provider text NOT NULL CONSTRAINT ck_payments_provider_known CHECK (provider IN ('stars', 'yookassa')),
    provider_payment_id text,
    idempotency_key text CONSTRAINT uq_payments_idempotency_key UNIQUE,
    payer_id bigint NOT NULL,
    payload text,
    order_id bigint CONSTRAINT fk_payments_order_id_orders REFERENCES orders (id),
    subscription_id bigint CONSTRAINT fk_payments_subscription_id_subscriptions REFERENCES subscriptions (id),
    currency text NOT NULL CONSTRAINT ck_payments_currency_known CHECK (currency IN ('XTR', 'RUB')),
    amount bigint NOT NULL CONSTRAINT ck_payments_amount_positive CHECK (amount > 0),
    status text NOT NULL CONSTRAINT ck_payments_status_known CHECK (status IN (
        'intent', 'sent', 'pending', 'unknown', 'succeeded', 'canceled',
        'partially_refunded', 'refunded', 'charged_back'
    )),
    provider_expires_at timestamptz,
    quarantine_reason text,
    resolved_at timestamptz,
    sent_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT uq_payments_provider_provider_payment_id UNIQUE (provider, provider_payment_id),
    CONSTRAINT ck_payments_evidence_has_id CHECK (
        provider_payment_id IS NOT NULL OR status IN ('intent', 'sent', 'unknown', 'canceled')
    )
)
--;
CREATE INDEX ix_payments_payer_id_id ON payments (payer_id, id)
--;
CREATE INDEX ix_payments_order_id ON payments (order_id)
--;
CREATE INDEX ix_payments_subscription_id ON payments (subscription_id)
--;
CREATE INDEX ix_payments_unsettled ON payments (updated_at)
    WHERE status IN ('intent', 'sent', 'pending', 'unknown')
--;
CREATE INDEX ix_payments_quarantine ON payments (id) WHERE quarantine_reason IS NOT NULL AND resolved_at IS NULL
--;
CREATE TABLE subscription_periods (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_subscription_periods PRIMARY KEY,
    subscription_id bigint NOT NULL
        CONSTRAINT fk_subscription_periods_subscription_id_subscriptions REFERENCES subscriptions (id),
    person_id bigint NOT NULL,
    plan_version_id bigint NOT NULL
        CONSTRAINT fk_subscription_periods_plan_version_id_plan_versions REFERENCES plan_versions (id),
    kind text NOT NULL CONSTRAINT ck_subscription_periods_kind_known
        CHECK (kind IN ('paid', 'trial', 'grace', 'granted')),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    payment_id bigint CONSTRAINT uq_subscription_periods_payment_id UNIQUE
        CONSTRAINT fk_subscription_periods_payment_id_payments REFERENCES payments (id),
    created_at timestamptz NOT NULL,
    CONSTRAINT uq_subscription_periods_subscription_id_starts_at UNIQUE (subscription_id, starts_at),
    CONSTRAINT ck_subscription_periods_not_backwards CHECK (starts_at <= ends_at),
    CONSTRAINT ck_subscription_periods_paid_by_a_payment CHECK ((kind = 'paid') = (payment_id IS NOT NULL))
)
--;
CREATE INDEX ix_subscription_periods_person_id_ends_at ON subscription_periods (person_id, ends_at)
--;
CREATE TABLE refunds (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_refunds PRIMARY KEY,
    payment_id bigint NOT NULL CONSTRAINT fk_refunds_payment_id_payments REFERENCES payments (id),
    kind text NOT NULL CONSTRAINT ck_refunds_kind_known CHECK (kind IN ('refund', 'chargeback')),
    amount bigint NOT NULL CONSTRAINT ck_refunds_amount_positive CHECK (amount > 0),
    status text NOT NULL CONSTRAINT ck_refunds_status_known
        CHECK (status IN ('intent', 'sent', 'pending', 'unknown', 'succeeded', 'canceled')),
    idempotency_key text NOT NULL CONSTRAINT uq_refunds_idempotency_key UNIQUE,
    provider_refund_id text,
    requested_by bigint,
    reason text NOT NULL,
    tokens bigint NOT NULL DEFAULT 0,
    tokens_taken bigint NOT NULL DEFAULT 0,
    tokens_forgiven bigint NOT NULL DEFAULT 0,
    tokens_owed bigint NOT NULL DEFAULT 0,
    tokens_restored bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_refunds_tokens_accounted_for CHECK (
        tokens_taken >= 0 AND tokens_forgiven >= 0 AND tokens_owed >= 0
        AND tokens_taken + tokens_forgiven + tokens_owed <= tokens
        AND tokens_restored BETWEEN 0 AND tokens_taken
    )
)
--;
CREATE INDEX ix_refunds_payment_id ON refunds (payment_id)
--;
CREATE TABLE lots (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_lots PRIMARY KEY,
    account_id bigint NOT NULL CONSTRAINT fk_lots_account_id_accounts REFERENCES accounts (id),
    tx_id bigint NOT NULL CONSTRAINT uq_lots_tx_id UNIQUE
        CONSTRAINT fk_lots_tx_id_ledger_tx REFERENCES ledger_tx (id),
    kind text NOT NULL CONSTRAINT ck_lots_kind_known CHECK (kind IN (
        'daily', 'welcome', 'plan', 'pack', 'grant', 'gift', 'trial', 'promo', 'courtesy', 'restored'
    )),
    granted bigint NOT NULL,
    remaining bigint NOT NULL,
    live boolean NOT NULL GENERATED ALWAYS AS (remaining > 0) STORED,
    expires_at timestamptz,
    payment_id bigint CONSTRAINT fk_lots_payment_id_payments REFERENCES payments (id),
    plan_version_id bigint CONSTRAINT fk_lots_plan_version_id_plan_versions REFERENCES plan_versions (id),
    refund_id bigint CONSTRAINT fk_lots_refund_id_refunds REFERENCES refunds (id),
    expires_at_before_refund timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT ck_lots_remaining_within_granted CHECK (granted > 0 AND remaining BETWEEN 0 AND granted)
) WITH (fillfactor = 80)
--;
CREATE INDEX ix_lots_live ON lots (account_id, expires_at, id) WHERE live
--;
CREATE INDEX ix_lots_due ON lots (expires_at) WHERE live
--;
CREATE INDEX ix_lots_payment_id ON lots (payment_id) WHERE payment_id IS NOT NULL
--;
CREATE TABLE lot_consumptions (
    lot_id bigint NOT NULL,
    tx_id bigint NOT NULL,
    amount bigint NOT NULL CONSTRAINT ck_lot_consumptions_amount_positive CHECK (amount > 0),
    CONSTRAINT pk_lot_consumptions PRIMARY KEY (lot_id, tx_id)
)
--;
CREATE TABLE holds (
    turn_id bigint NOT NULL,
    step smallint NOT NULL CONSTRAINT ck_holds_step_not_negative CHECK (step >= 0),
    account_id bigint NOT NULL CONSTRAINT fk_holds_account_id_accounts REFERENCES accounts (id),
    amount bigint NOT NULL CONSTRAINT ck_holds_amount_positive CHECK (amount > 0),
    status text NOT NULL DEFAULT 'held' CONSTRAINT ck_holds_status_known
        CHECK (status IN ('held', 'settled', 'released')),
    settled bigint NOT NULL DEFAULT 0,
    overrun bigint NOT NULL DEFAULT 0,
    courtesy bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    resolved_at timestamptz,
    CONSTRAINT pk_holds PRIMARY KEY (turn_id, step),
    CONSTRAINT ck_holds_settled_within_amount CHECK (settled BETWEEN 0 AND amount),
    CONSTRAINT ck_holds_overrun_after_amount CHECK (
        overrun >= 0 AND courtesy >= 0 AND (settled = amount OR (overrun = 0 AND courtesy = 0))
    ),
    CONSTRAINT ck_holds_resolved_once CHECK (
        (status = 'held') = (resolved_at IS NULL) AND (status = 'settled' OR settled = 0)
    )
) WITH (fillfactor = 80)
--;
CREATE INDEX ix_holds_open ON holds (account_id) WHERE status = 'held'
--;
CREATE TABLE status_edges (
    subject text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    CONSTRAINT pk_status_edges PRIMARY KEY (subject, before, after)
)
--;
CREATE TABLE status_changes (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_status_changes PRIMARY KEY,
    subject text NOT NULL,
    subject_id bigint NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT fk_status_changes_subject_status_edges
        FOREIGN KEY (subject, before, after) REFERENCES status_edges (subject, before, after)
)
--;
CREATE INDEX ix_status_changes_subject_subject_id ON status_changes (subject, subject_id, id)
