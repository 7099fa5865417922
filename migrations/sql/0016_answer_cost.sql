-- What an answer need not pay for. One statement ends at each line that holds only "--;".
--
-- A CHECK is read from the catalogue and judged again by every statement that writes its table, whatever it writes. An
-- answer changes a wallet twice and never what it is; so what an account is, is judged when that is written.
CREATE FUNCTION account_terms() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken text := CASE
        WHEN NEW.kind NOT IN ('wallet', 'debt', 'house') THEN 'kind_known'
        WHEN NEW.unit NOT IN ('token', 'XTR', 'RUB') THEN 'unit_known'
        WHEN (NEW.kind = 'house') <> (NEW.person_id IS NULL) OR (NEW.kind = 'house') <> (NEW.code IS NOT NULL)
            THEN 'owner_of_kind'
        WHEN NEW.kind <> 'house' AND NEW.unit <> 'token' THEN 'persons_own_tokens'
    END;
BEGIN
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'account % breaks a rule: %', NEW.id, broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_accounts_' || broken, TABLE = 'accounts';
    END IF;
    RETURN NEW;
END $$
--;
CREATE TRIGGER account_terms BEFORE INSERT OR UPDATE OF kind, code, person_id, unit ON accounts
    FOR EACH ROW EXECUTE FUNCTION account_terms()
--;
-- What is reserved lies between zero and what is posted, so where nothing is posted nothing is reserved.
ALTER TABLE accounts
    DROP CONSTRAINT ck_accounts_kind_known,
    DROP CONSTRAINT ck_accounts_unit_known,
    DROP CONSTRAINT ck_accounts_owner_of_kind,
    DROP CONSTRAINT ck_accounts_persons_own_tokens,
    DROP CONSTRAINT ck_accounts_only_wallets_cache,
    ADD CONSTRAINT ck_accounts_only_wallets_cache CHECK (kind = 'wallet' OR posted = 0)
--;
-- Resolves a hold. p_tokens: what was used; NULL releases. Gives no outcome when there is nothing left to resolve.
-- An open hold is known by resolved_at, which says the same as its status: where a query names status = 'held', the
-- planner takes the small index of open holds for the better way, and reads all that the last vacuum left in it.
CREATE OR REPLACE FUNCTION hold_settle(
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
    WHERE h.turn_id = p_turn AND h.step = p_step AND h.resolved_at IS NULL FOR NO KEY UPDATE OF a;
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
    WHERE turn_id = p_turn AND step = p_step AND resolved_at IS NULL RETURNING status INTO outcome;
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
