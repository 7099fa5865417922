-- Telegram's list of Star transactions beside ours, what differs between them, and debts of chargebacks.
CREATE TABLE star_transactions (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_star_transactions PRIMARY KEY,
    transaction_id text NOT NULL,
    direction text NOT NULL CONSTRAINT ck_star_transactions_direction_known CHECK (direction IN ('in', 'out')),
    nanostars bigint NOT NULL CONSTRAINT ck_star_transactions_amount_not_negative CHECK (nanostars >= 0),
    share_nanostars bigint NOT NULL DEFAULT 0,
    partner text NOT NULL,
    kind text,
    person_id bigint,
    payload text,
    period_s bigint,
    raw jsonb NOT NULL,
    class text,
    at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL,
    CONSTRAINT uq_star_transactions_transaction_id_direction UNIQUE (transaction_id, direction)
)
--;
CREATE INDEX ix_star_transactions_at_id ON star_transactions (at, id)
--;
CREATE INDEX ix_star_transactions_open ON star_transactions (at, id) WHERE class IS NULL
--;
CREATE INDEX ix_star_transactions_payload ON star_transactions (payload) WHERE payload IS NOT NULL
--;
CREATE TRIGGER star_transactions_stay BEFORE DELETE OR TRUNCATE ON star_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE TABLE star_list (
    id smallint CONSTRAINT pk_star_list PRIMARY KEY CONSTRAINT ck_star_list_single CHECK (id = 1),
    position bigint NOT NULL CONSTRAINT ck_star_list_position_not_negative CHECK (position >= 0),
    balance_nanostars bigint,
    listed_nanostars bigint,
    read_to timestamptz,
    updated_at timestamptz NOT NULL
)
--;
CREATE TABLE star_differences (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_star_differences PRIMARY KEY,
    subject text NOT NULL CONSTRAINT uq_star_differences_subject UNIQUE,
    class text NOT NULL,
    nanostars bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    closed_at timestamptz
)
--;
CREATE INDEX ix_star_differences_open ON star_differences (id) WHERE closed_at IS NULL
--;
CREATE TABLE star_reconciliations (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_star_reconciliations PRIMARY KEY,
    cause text NOT NULL,
    credited integer NOT NULL,
    refunded integer NOT NULL,
    charged_back integer NOT NULL,
    failed integer NOT NULL,
    transactions bigint NOT NULL,
    theirs_nanostars bigint NOT NULL,
    ours_nanostars bigint NOT NULL,
    explained_nanostars bigint NOT NULL,
    classes jsonb NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL
)
--;
CREATE TABLE renewal_stops (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_renewal_stops PRIMARY KEY,
    subscription_id bigint NOT NULL
        CONSTRAINT fk_renewal_stops_subscription_id_subscriptions REFERENCES subscriptions (id),
    person_id bigint NOT NULL,
    reason text NOT NULL CONSTRAINT ck_renewal_stops_reason_known CHECK (reason IN ('blocked', 'deleted')),
    at timestamptz NOT NULL,
    told_at timestamptz
)
--;
CREATE INDEX ix_renewal_stops_untold ON renewal_stops (person_id) WHERE told_at IS NULL AND reason = 'blocked'
--;
CREATE INDEX ix_renewal_stops_subscription_id ON renewal_stops (subscription_id)
--;
CREATE INDEX ix_persons_blocked_at ON persons (blocked_at) WHERE blocked_at IS NOT NULL
--;
ALTER TABLE refunds
    ADD COLUMN tokens_repaid bigint NOT NULL DEFAULT 0,
    ADD COLUMN debt_account_id bigint CONSTRAINT fk_refunds_debt_account_id_accounts REFERENCES accounts (id),
    ADD CONSTRAINT ck_refunds_repaid_within_owed CHECK (tokens_repaid BETWEEN 0 AND tokens_owed),
    ADD CONSTRAINT ck_refunds_debt_has_account CHECK (tokens_owed = 0 OR debt_account_id IS NOT NULL)
--;
CREATE INDEX ix_refunds_owed ON refunds (debt_account_id) WHERE tokens_owed > tokens_repaid
--;
-- A debt is the balance of a person's debt account, below zero by what is owed. Tokens that were spent before their
-- purchase was charged back are taken back from that account; paid credits bring it up to zero again. In the ledger
-- both are of kind 'takeback', with ref_type 'debt' and 'repayment'. The caller has locked the wallet.
CREATE FUNCTION debt_add(p_refund bigint, p_wallet bigint, p_ref text, p_amount bigint, p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    owner bigint;
    debt bigint;
    tx bigint;
BEGIN
    SELECT person_id INTO STRICT owner FROM accounts WHERE id = p_wallet;
    INSERT INTO accounts (person_id, kind, unit, created_at) VALUES (owner, 'debt', 'token', p_now)
    ON CONFLICT (person_id, kind) DO NOTHING;
    SELECT id INTO STRICT debt FROM accounts WHERE person_id = owner AND kind = 'debt';
    INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at) VALUES ('takeback', 'debt', p_ref, p_now)
    RETURNING id INTO tx;
    INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES
        (tx, debt, -p_amount), (tx, house('tokens_taken_back'), p_amount);
    UPDATE refunds SET tokens_owed = tokens_owed + p_amount, debt_account_id = debt WHERE id = p_refund;
END $$
--;
-- Repays what the owner of a lot that was just paid for owes, the oldest debt first, from that lot alone.
-- Returns the tokens that went.
CREATE FUNCTION debt_repay(p_lot bigint, p_now timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    lot record;
    owed record;
    part bigint;
    gone bigint := 0;
    tx bigint;
BEGIN
    SELECT l.account_id, d.id AS debt, least(l.remaining, w.posted - w.reserved) AS free INTO STRICT lot
    FROM lots l JOIN accounts w ON w.id = l.account_id
    LEFT JOIN accounts d ON d.person_id = w.person_id AND d.kind = 'debt'
    WHERE l.id = p_lot;
    FOR owed IN
        SELECT id, tokens_owed - tokens_repaid AS due FROM refunds
        WHERE debt_account_id = lot.debt AND tokens_owed > tokens_repaid ORDER BY id
    LOOP
        part := least(owed.due, lot.free - gone);
        EXIT WHEN part <= 0;
        INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at)
        VALUES ('takeback', 'repayment', p_lot || ':' || owed.id, p_now) RETURNING id INTO tx;
        INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES (tx, lot.account_id, -part), (tx, lot.debt, part);
        INSERT INTO lot_consumptions (lot_id, tx_id, amount) VALUES (p_lot, tx, part);
        UPDATE refunds SET tokens_repaid = tokens_repaid + part WHERE id = owed.id;
        gone := gone + part;
    END LOOP;
    IF gone > 0 THEN
        UPDATE lots SET remaining = remaining - gone WHERE id = p_lot;
        UPDATE accounts SET posted = posted - gone WHERE id = lot.account_id;
    END IF;
    RETURN gone;
END $$
--;
-- Undoes what a payment's lots repaid, once each: the payment is being taken back itself. Returns the tokens.
CREATE FUNCTION debt_revive(p_payment bigint, p_now timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    repaid record;
    revived bigint := 0;
    tx bigint;
BEGIN
    FOR repaid IN
        SELECT t.id, c.amount, r.id AS refund_id, r.debt_account_id FROM lots l
        JOIN lot_consumptions c ON c.lot_id = l.id
        JOIN ledger_tx t ON t.id = c.tx_id AND t.kind = 'takeback' AND t.ref_type = 'repayment'
        JOIN refunds r ON r.id = split_part(t.ref_id, ':', 2)::bigint
        WHERE l.payment_id = p_payment AND NOT EXISTS (
            SELECT FROM ledger_tx u
            WHERE u.kind = 'takeback' AND u.ref_type = 'debt' AND u.ref_id = 'revived:' || t.id
        )
        ORDER BY t.id
    LOOP
        INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at)
        VALUES ('takeback', 'debt', 'revived:' || repaid.id, p_now) RETURNING id INTO tx;
        INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES
            (tx, repaid.debt_account_id, -repaid.amount), (tx, house('tokens_taken_back'), repaid.amount);
        UPDATE refunds SET tokens_repaid = tokens_repaid - repaid.amount WHERE id = repaid.refund_id;
        revived := revived + repaid.amount;
    END LOOP;
    RETURN revived;
END $$
--;
CREATE OR REPLACE FUNCTION lots_consume(p_account bigint, p_tx bigint, p_amount bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lot record;
    due bigint := p_amount;
    part bigint;
BEGIN
    FOR lot IN
        SELECT l.id, l.remaining, l.refund_id, r.kind FROM lots l LEFT JOIN refunds r ON r.id = l.refund_id
        WHERE l.account_id = p_account AND l.live ORDER BY l.expires_at, l.id
    LOOP
        part := least(lot.remaining, due);
        UPDATE lots SET remaining = remaining - part WHERE id = lot.id;
        INSERT INTO lot_consumptions (lot_id, tx_id, amount) VALUES (lot.id, p_tx, part);
        -- Spent by a hold that was open when the refund came.
        IF lot.kind = 'refund' THEN
            UPDATE refunds SET tokens_forgiven = tokens_forgiven + part WHERE id = lot.refund_id;
        ELSIF lot.kind = 'chargeback' THEN
            PERFORM debt_add(lot.refund_id, p_account, lot.id || ':' || p_tx, part, created_at)
            FROM ledger_tx WHERE id = p_tx;
        END IF;
        due := due - part;
        EXIT WHEN due = 0;
    END LOOP;
    IF due <> 0 THEN
        RAISE EXCEPTION 'lots of account % lack % tokens that its balance has', p_account, due;
    END IF;
END $$
