-- The ledger's operations, each one call. The wallet's row is locked by a statement of its own: the next statements
-- then see everything that its earlier holders committed, which one CTE with a single snapshot would not.
-- Lock order: account, then lots and refunds. Times come in as p_now. See docs/decisions/ledger-in-plpgsql.md.
CREATE FUNCTION house(p_code text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_code
        WHEN 'tokens_sold' THEN 1 WHEN 'tokens_given' THEN 2 WHEN 'tokens_used' THEN 3
        WHEN 'tokens_lapsed' THEN 4 WHEN 'tokens_taken_back' THEN 5
        WHEN 'stars' THEN 10 WHEN 'stars_earned' THEN 11 WHEN 'stars_unclear' THEN 12
        WHEN 'roubles' THEN 20 WHEN 'roubles_earned' THEN 21 WHEN 'roubles_unclear' THEN 22
    END::bigint
$$
--;
CREATE FUNCTION lots_consume(p_account bigint, p_tx bigint, p_amount bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lot record;
    due bigint := p_amount;
    part bigint;
BEGIN
    FOR lot IN
        SELECT id, remaining, refund_id FROM lots
        WHERE account_id = p_account AND live ORDER BY expires_at, id
    LOOP
        part := least(lot.remaining, due);
        UPDATE lots SET remaining = remaining - part WHERE id = lot.id;
        INSERT INTO lot_consumptions (lot_id, tx_id, amount) VALUES (lot.id, p_tx, part);
        IF lot.refund_id IS NOT NULL THEN
            -- Spent by a hold that was open when the refund came.
            UPDATE refunds SET
                tokens_forgiven = tokens_forgiven + CASE kind WHEN 'refund' THEN part ELSE 0 END,
                tokens_owed = tokens_owed + CASE kind WHEN 'chargeback' THEN part ELSE 0 END
            WHERE id = lot.refund_id;
        END IF;
        due := due - part;
        EXIT WHEN due = 0;
    END LOOP;
    IF due <> 0 THEN
        RAISE EXCEPTION 'lots of account % lack % tokens that its balance has', p_account, due;
    END IF;
END $$
--;
-- Ends lots that are due (expired or being refunded), within what no hold reserves; the caller has locked the wallet.
-- Returns the tokens that went.
CREATE FUNCTION lots_expire(p_account bigint, p_now timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    lot record;
    free bigint;
    part bigint;
    gone bigint := 0;
    tx bigint;
BEGIN
    SELECT posted - reserved INTO STRICT free FROM accounts WHERE id = p_account;
    FOR lot IN
        SELECT id, remaining, refund_id FROM lots
        WHERE account_id = p_account AND live AND expires_at <= p_now ORDER BY expires_at, id
    LOOP
        part := least(lot.remaining, free - gone);
        EXIT WHEN part = 0;
        -- What remained names the portion: a lot may end in several, as the holds on it resolve.
        INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at)
        VALUES (
            CASE WHEN lot.refund_id IS NULL THEN 'expiry' ELSE 'takeback' END,
            'lot', lot.id || ':' || lot.remaining, p_now
        ) RETURNING id INTO tx;
        INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES
            (tx, p_account, -part),
            (tx, house(CASE WHEN lot.refund_id IS NULL THEN 'tokens_lapsed' ELSE 'tokens_taken_back' END), part);
        UPDATE lots SET remaining = remaining - part WHERE id = lot.id;
        INSERT INTO lot_consumptions (lot_id, tx_id, amount) VALUES (lot.id, tx, part);
        IF lot.refund_id IS NOT NULL THEN
            UPDATE refunds SET tokens_taken = tokens_taken + part WHERE id = lot.refund_id;
        END IF;
        gone := gone + part;
    END LOOP;
    IF gone > 0 THEN
        UPDATE accounts SET posted = posted - gone WHERE id = p_account;
    END IF;
    RETURN gone;
END $$
--;
-- The statement that locks also looks for an earlier hold and for due lots. If it had to wait for the lock, that look is
-- as old as the statement: an earlier hold is then found by the INSERT, and lots that became due in between were expired
-- by whoever held the lock.
CREATE FUNCTION hold_place(
    p_person bigint, p_turn bigint, p_step integer, p_min bigint, p_max bigint, p_now timestamptz,
    OUT outcome text, OUT held bigint, OUT wallet_posted bigint, OUT wallet_reserved bigint
) LANGUAGE plpgsql AS $$
DECLARE
    wallet bigint;
    known bigint;
    due boolean;
BEGIN
    SELECT a.id, a.posted, a.reserved, h.turn_id,
        EXISTS (SELECT FROM lots l WHERE l.account_id = a.id AND l.live AND l.expires_at <= p_now)
    INTO wallet, wallet_posted, wallet_reserved, known, due
    FROM accounts a LEFT JOIN holds h ON h.turn_id = p_turn AND h.step = p_step
    WHERE a.person_id = p_person AND a.kind = 'wallet' FOR NO KEY UPDATE OF a;
    -- Without a wallet there is nothing to hold; least() below would take the missing balance for a boundless one.
    IF wallet IS NOT NULL AND known IS NULL THEN
        IF due THEN
            wallet_posted := wallet_posted - lots_expire(wallet, p_now);
        END IF;
        held := least(wallet_posted - wallet_reserved, p_max);
        IF held >= p_min THEN
            WITH placed AS (
                INSERT INTO holds (turn_id, step, account_id, amount, created_at)
                VALUES (p_turn, p_step, wallet, held, p_now)
                ON CONFLICT (turn_id, step) DO NOTHING RETURNING amount
            )
            UPDATE accounts SET reserved = reserved + placed.amount FROM placed WHERE id = wallet;
            IF FOUND THEN
                outcome := 'held';
                wallet_reserved := wallet_reserved + held;
                RETURN;
            END IF;
        END IF;
    END IF;
    SELECT CASE WHEN account_id = wallet THEN status ELSE 'conflict' END, amount INTO outcome, held
    FROM holds WHERE turn_id = p_turn AND step = p_step;
    outcome := CASE WHEN FOUND THEN coalesce(outcome, 'conflict') ELSE 'insufficient' END;
END $$
--;
-- Resolves a hold. p_tokens: what was used; NULL releases. Gives no outcome when there is nothing left to resolve.
CREATE FUNCTION hold_settle(
    p_turn bigint, p_step integer, p_tokens bigint, p_courtesy_max bigint, p_now timestamptz,
    OUT outcome text, OUT held bigint, OUT charged bigint, OUT courtesy bigint,
    OUT wallet_posted bigint, OUT wallet_reserved bigint
) LANGUAGE plpgsql AS $$
DECLARE
    wallet bigint;
    tx bigint;
    gift bigint;
    lot record;
    used bigint := coalesce(p_tokens, 0);
    extra bigint := 0;
BEGIN
    SELECT a.id, a.posted, a.reserved, h.amount INTO wallet, wallet_posted, wallet_reserved, held
    FROM holds h JOIN accounts a ON a.id = h.account_id
    WHERE h.turn_id = p_turn AND h.step = p_step AND h.status = 'held' FOR NO KEY UPDATE OF a;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    charged := least(used, held);
    courtesy := 0;
    IF used > held THEN
        extra := least(used - held, wallet_posted - wallet_reserved);
        courtesy := least(used - held - extra, p_courtesy_max);
    END IF;
    -- Another settlement may have been first while this one waited for the lock: the status decides.
    UPDATE holds SET status = CASE WHEN p_tokens IS NULL THEN 'released' ELSE 'settled' END,
        settled = charged, overrun = extra, courtesy = hold_settle.courtesy, resolved_at = p_now
    WHERE turn_id = p_turn AND step = p_step AND status = 'held' RETURNING status INTO outcome;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    charged := charged + extra;
    wallet_posted := wallet_posted - charged;
    wallet_reserved := wallet_reserved - held;
    -- The lot that lapses first pays; only when it cannot pay alone is the longer way gone.
    SELECT id, remaining, expires_at, refund_id INTO lot FROM lots
    WHERE account_id = wallet AND live ORDER BY expires_at, id LIMIT 1;
    IF charged > 0 AND courtesy = 0 AND lot.remaining >= charged AND lot.refund_id IS NULL THEN
        WITH t AS (
            INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at)
            VALUES ('usage', 'hold', p_turn || ':' || p_step, p_now) RETURNING id
        ), l AS (
            UPDATE lots SET remaining = remaining - charged WHERE id = lot.id
        ), c AS (
            INSERT INTO lot_consumptions (lot_id, tx_id, amount) SELECT lot.id, t.id, charged FROM t
        ), a AS (
            UPDATE accounts SET posted = wallet_posted, reserved = wallet_reserved WHERE id = wallet
        )
        INSERT INTO ledger_entries (tx_id, account_id, amount)
        SELECT t.id, v.account_id, v.amount
        FROM t, (VALUES (wallet, -charged), (house('tokens_used'), charged)) AS v (account_id, amount);
    ELSE
        IF charged + courtesy > 0 THEN
            INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at)
            VALUES ('usage', 'hold', p_turn || ':' || p_step, p_now) RETURNING id INTO tx;
            INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES
                (tx, wallet, -charged - courtesy), (tx, house('tokens_used'), charged + courtesy);
        END IF;
        IF charged > 0 THEN
            PERFORM lots_consume(wallet, tx, charged);
        END IF;
        IF courtesy > 0 THEN
            -- The lot is used up by the same usage that called for it, so the balance does not see it.
            INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at)
            VALUES ('courtesy', 'hold', p_turn || ':' || p_step, p_now) RETURNING id INTO gift;
            INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES
                (gift, wallet, courtesy), (gift, house('tokens_given'), -courtesy);
            WITH given AS (
                INSERT INTO lots (account_id, tx_id, kind, granted, remaining, expires_at, created_at)
                VALUES (wallet, gift, 'courtesy', hold_settle.courtesy, 0, p_now, p_now) RETURNING id
            )
            INSERT INTO lot_consumptions (lot_id, tx_id, amount) SELECT id, tx, hold_settle.courtesy FROM given;
        END IF;
        UPDATE accounts SET posted = wallet_posted, reserved = wallet_reserved WHERE id = wallet;
    END IF;
    -- What this hold kept from lapsing lapses now. Without an expiry a lot comes last, so the first one tells.
    IF lot.expires_at <= p_now THEN
        wallet_posted := wallet_posted - lots_expire(wallet, p_now);
    END IF;
END $$
--;
-- Credits a lot, once for each (ledger kind, ref_type, ref_id); makes and locks the wallet. With p_money, the money
-- that paid for it is posted in the same ledger transaction. Gives the earlier lot when there is one.
CREATE FUNCTION lot_grant(
    p_person bigint, p_tokens bigint, p_kind text, p_ledger_kind text, p_ref_type text, p_ref_id text,
    p_expires_at timestamptz, p_now timestamptz, p_payment bigint, p_plan_version bigint,
    p_currency text, p_money bigint,
    OUT outcome text, OUT lot_id bigint
) LANGUAGE plpgsql AS $$
DECLARE
    wallet bigint;
    tx bigint;
    earlier record;
BEGIN
    SELECT id INTO wallet FROM accounts WHERE person_id = p_person AND kind = 'wallet' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO accounts (person_id, kind, unit, created_at) VALUES (p_person, 'wallet', 'token', p_now)
        ON CONFLICT (person_id, kind) DO NOTHING;
        SELECT id INTO STRICT wallet FROM accounts WHERE person_id = p_person AND kind = 'wallet' FOR NO KEY UPDATE;
    END IF;
    INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at) VALUES (p_ledger_kind, p_ref_type, p_ref_id, p_now)
    ON CONFLICT (kind, ref_type, ref_id) DO NOTHING RETURNING id INTO tx;
    IF tx IS NULL THEN
        SELECT l.id, l.account_id, l.granted INTO earlier FROM ledger_tx t LEFT JOIN lots l ON l.tx_id = t.id
        WHERE t.kind = p_ledger_kind AND t.ref_type = p_ref_type AND t.ref_id = p_ref_id;
        lot_id := earlier.id;
        outcome := CASE WHEN earlier.account_id = wallet AND earlier.granted = p_tokens
            THEN 'repeated' ELSE 'conflict' END;
        RETURN;
    END IF;
    INSERT INTO ledger_entries (tx_id, account_id, amount)
    SELECT tx, v.account_id, v.amount FROM (VALUES
        (wallet, p_tokens),
        (house(CASE p_ledger_kind WHEN 'purchase' THEN 'tokens_sold' ELSE 'tokens_given' END), -p_tokens),
        (house(CASE p_currency WHEN 'XTR' THEN 'stars' WHEN 'RUB' THEN 'roubles' END), p_money),
        (house(CASE p_currency WHEN 'XTR' THEN 'stars_earned' WHEN 'RUB' THEN 'roubles_earned' END), -p_money)
    ) AS v (account_id, amount) WHERE v.amount IS NOT NULL;
    INSERT INTO lots (account_id, tx_id, kind, granted, remaining, expires_at, payment_id, plan_version_id, created_at)
    VALUES (wallet, tx, p_kind, p_tokens, p_tokens, p_expires_at, p_payment, p_plan_version, p_now)
    RETURNING id INTO lot_id;
    UPDATE accounts SET posted = posted + p_tokens WHERE id = wallet;
    outcome := 'granted';
END $$
--;
-- What a person may use now: the best plan among the periods that cover p_now, else the free plan.
CREATE FUNCTION entitlement_at(p_person bigint, p_now timestamptz)
RETURNS TABLE (plan_version_id bigint, subscription_id bigint) LANGUAGE sql STABLE AS $$
    (
        SELECT p.plan_version_id, p.subscription_id
        FROM subscription_periods p JOIN plan_versions v ON v.id = p.plan_version_id
        WHERE p.person_id = p_person AND p.ends_at > p_now AND p.starts_at <= p_now
        ORDER BY v.weight DESC, p.ends_at DESC LIMIT 1
    )
    UNION ALL
    (
        SELECT v.id, NULL FROM plans f JOIN plan_versions v ON v.plan_id = f.id
        WHERE f.kind = 'free' AND f.withdrawn_at IS NULL ORDER BY v.version DESC LIMIT 1
    )
    LIMIT 1
$$
--;
-- Grants the welcome lot once and today's daily lot (UTC).
CREATE FUNCTION allowance_ensure(p_person bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    today date := (p_now AT TIME ZONE 'UTC')::date;
    wallet record;
    plan record;
    free record;
BEGIN
    SELECT allowance_on, welcomed_at INTO wallet FROM accounts WHERE person_id = p_person AND kind = 'wallet';
    IF wallet.allowance_on >= today AND wallet.welcomed_at IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT v.id, v.daily_tokens INTO plan
    FROM entitlement_at(p_person, p_now) e JOIN plan_versions v ON v.id = e.plan_version_id;
    IF wallet.welcomed_at IS NULL THEN
        SELECT v.id, v.welcome_tokens, v.welcome_days INTO free FROM plans f JOIN plan_versions v ON v.plan_id = f.id
        WHERE f.kind = 'free' AND f.withdrawn_at IS NULL ORDER BY v.version DESC LIMIT 1;
        IF free.welcome_tokens > 0 THEN
            PERFORM lot_grant(
                p_person, free.welcome_tokens, 'welcome', 'grant', 'welcome', p_person::text,
                p_now + make_interval(days => free.welcome_days), p_now, NULL, free.id, NULL, NULL
            );
        END IF;
    END IF;
    IF plan.daily_tokens > 0 AND (wallet.allowance_on IS NULL OR wallet.allowance_on < today) THEN
        PERFORM lot_grant(
            p_person, plan.daily_tokens, 'daily', 'grant', 'day', p_person || ':' || today,
            (today + 1)::timestamp AT TIME ZONE 'UTC', p_now, NULL, plan.id, NULL, NULL
        );
    ELSE
        today := wallet.allowance_on;
    END IF;
    UPDATE accounts SET allowance_on = today, welcomed_at = coalesce(welcomed_at, p_now)
    WHERE person_id = p_person AND kind = 'wallet';
END $$
