-- What the tables cannot say by constraints, said by triggers.
--
-- Every INSERT into ledger_entries carries whole ledger transactions: entries that sum to zero in each unit. Judging
-- the statement's rows instead of each row at commit keeps the check at one short query, and a transaction that was
-- balanced once stays so, since entries are append only. The same query stands in for foreign keys to accounts and
-- ledger_tx: a key share lock on the few house accounts would make every settlement meet on the same rows, and
-- neither table ever loses a row.
CREATE FUNCTION ledger_entries_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1
    FROM written w
    LEFT JOIN accounts a ON a.id = w.account_id
    LEFT JOIN ledger_tx t ON t.id = w.tx_id
    GROUP BY w.tx_id, a.unit
    HAVING sum(w.amount) <> 0 OR a.unit IS NULL OR bool_or(t.id IS NULL);
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entries do not sum to zero per unit, or name no transaction or account'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_balanced';
    END IF;
    RETURN NULL;
END $$
--;
CREATE TRIGGER ledger_entries_balanced AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION ledger_entries_balanced()
--;
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE TRIGGER ledger_tx_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_tx
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE TRIGGER lot_consumptions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lot_consumptions
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE TRIGGER plan_versions_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON plan_versions
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE TRIGGER status_changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON status_changes
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE TRIGGER accounts_stay BEFORE DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE TRIGGER payments_stay BEFORE DELETE OR TRUNCATE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
--;
CREATE FUNCTION hold_resolved_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'hold %/% is resolved or would change its terms', OLD.turn_id, OLD.step
        USING ERRCODE = 'check_violation', CONSTRAINT = 'hold_resolved_once';
END $$
--;
CREATE TRIGGER hold_resolved_once BEFORE UPDATE ON holds FOR EACH ROW
    WHEN (OLD.status <> 'held' OR NEW.amount <> OLD.amount OR NEW.account_id <> OLD.account_id)
    EXECUTE FUNCTION hold_resolved_once()
--;
-- Invariant 11: the table of edges is the graph; a change of status that is not on it fails with its transaction.
INSERT INTO status_edges (subject, before, after) VALUES
    ('orders', '', 'open'),
    ('orders', 'open', 'paid'), ('orders', 'open', 'expired'), ('orders', 'open', 'canceled'),
    ('orders', 'expired', 'paid'), ('orders', 'canceled', 'paid'),
    ('payments', '', 'intent'), ('payments', '', 'succeeded'),
    ('payments', 'intent', 'sent'), ('payments', 'intent', 'canceled'),
    ('payments', 'sent', 'pending'), ('payments', 'sent', 'unknown'),
    ('payments', 'sent', 'succeeded'), ('payments', 'sent', 'canceled'),
    ('payments', 'pending', 'succeeded'), ('payments', 'pending', 'canceled'),
    ('payments', 'unknown', 'pending'), ('payments', 'unknown', 'succeeded'), ('payments', 'unknown', 'canceled'),
    ('payments', 'succeeded', 'partially_refunded'), ('payments', 'succeeded', 'refunded'),
    ('payments', 'succeeded', 'charged_back'), ('payments', 'partially_refunded', 'refunded'),
    ('payments', 'partially_refunded', 'charged_back'),
    ('refunds', '', 'intent'), ('refunds', 'intent', 'sent'), ('refunds', 'intent', 'succeeded'),
    ('refunds', 'intent', 'canceled'), ('refunds', 'sent', 'pending'), ('refunds', 'sent', 'unknown'),
    ('refunds', 'sent', 'succeeded'), ('refunds', 'sent', 'canceled'), ('refunds', 'pending', 'succeeded'),
    ('refunds', 'pending', 'canceled'), ('refunds', 'unknown', 'succeeded'), ('refunds', 'unknown', 'canceled'),
    ('subscriptions', '', 'incomplete'),
    ('subscriptions', 'incomplete', 'trialing'), ('subscriptions', 'incomplete', 'active'),
    ('subscriptions', 'incomplete', 'expired'), ('subscriptions', 'trialing', 'active'),
    ('subscriptions', 'trialing', 'expired'), ('subscriptions', 'active', 'cancel_scheduled'),
    ('subscriptions', 'cancel_scheduled', 'active'), ('subscriptions', 'cancel_scheduled', 'expired'),
    ('subscriptions', 'active', 'past_due'), ('subscriptions', 'past_due', 'active'),
    ('subscriptions', 'past_due', 'expired'),
    ('subscriptions', 'incomplete', 'revoked'), ('subscriptions', 'trialing', 'revoked'),
    ('subscriptions', 'active', 'revoked'), ('subscriptions', 'cancel_scheduled', 'revoked'),
    ('subscriptions', 'past_due', 'revoked')
--;
CREATE FUNCTION status_path() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO status_changes (subject, subject_id, before, after, at)
    VALUES (TG_TABLE_NAME, NEW.id, CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.status END, NEW.status, NEW.updated_at);
    RETURN NULL;
END $$
--;
CREATE TRIGGER orders_status_begins AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION status_path()
--;
CREATE TRIGGER orders_status_path AFTER UPDATE ON orders
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION status_path()
--;
CREATE TRIGGER payments_status_begins AFTER INSERT ON payments
    FOR EACH ROW EXECUTE FUNCTION status_path()
--;
CREATE TRIGGER payments_status_path AFTER UPDATE ON payments
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION status_path()
--;
CREATE TRIGGER refunds_status_begins AFTER INSERT ON refunds
    FOR EACH ROW EXECUTE FUNCTION status_path()
--;
CREATE TRIGGER refunds_status_path AFTER UPDATE ON refunds
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION status_path()
--;
CREATE TRIGGER subscriptions_status_begins AFTER INSERT ON subscriptions
    FOR EACH ROW EXECUTE FUNCTION status_path()
--;
CREATE TRIGGER subscriptions_status_path AFTER UPDATE ON subscriptions
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION status_path()
--;
-- An exclusion constraint would need btree_gist, which the embedded server does not carry. Locking the subscription
-- first makes two writers of its periods come one after the other, so that each sees what the other wrote.
CREATE FUNCTION subscription_periods_apart() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM subscriptions WHERE id = NEW.subscription_id FOR NO KEY UPDATE;
    PERFORM 1 FROM subscription_periods p
    WHERE p.subscription_id = NEW.subscription_id AND p.id <> NEW.id
      AND p.starts_at < NEW.ends_at AND NEW.starts_at < p.ends_at
      AND p.starts_at < p.ends_at AND NEW.starts_at < NEW.ends_at;
    IF FOUND THEN
        RAISE EXCEPTION 'periods of subscription % overlap', NEW.subscription_id
            USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'subscription_periods_apart';
    END IF;
    RETURN NEW;
END $$
--;
CREATE TRIGGER subscription_periods_apart BEFORE INSERT OR UPDATE ON subscription_periods
    FOR EACH ROW EXECUTE FUNCTION subscription_periods_apart()
--;
-- House accounts: where tokens and money come from and go to. They cache nothing; their balance is a sum.
INSERT INTO accounts (id, kind, code, unit, created_at) OVERRIDING SYSTEM VALUE VALUES
    (1, 'house', 'tokens_sold', 'token', 'epoch'),
    (2, 'house', 'tokens_given', 'token', 'epoch'),
    (3, 'house', 'tokens_used', 'token', 'epoch'),
    (4, 'house', 'tokens_lapsed', 'token', 'epoch'),
    (5, 'house', 'tokens_taken_back', 'token', 'epoch'),
    (10, 'house', 'stars', 'XTR', 'epoch'),
    (11, 'house', 'stars_earned', 'XTR', 'epoch'),
    (12, 'house', 'stars_unclear', 'XTR', 'epoch'),
    (20, 'house', 'roubles', 'RUB', 'epoch'),
    (21, 'house', 'roubles_earned', 'RUB', 'epoch'),
    (22, 'house', 'roubles_unclear', 'RUB', 'epoch')
