-- The statement that locks also looks for an earlier hold and for due lots. If it had to wait for the lock, that look is
-- as old as the statement: an earlier hold is then found by the INSERT, and lots that became due in between were expired
-- by whoever held the lock.
CREATE OR REPLACE FUNCTION hold_place(
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