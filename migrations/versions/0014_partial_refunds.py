"""A part of a payment goes back: its share of the tokens goes with it, and refunds never come to more than was paid."""

from alembic import op

revision = "0014_partial_refunds"
down_revision = "0013_cards"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE refunds ADD COLUMN partial boolean NOT NULL DEFAULT false")
    # Takes up to so many tokens of a payment's lots (or of one of them) back in a refund's name, those that lapse first
    # before the others. What holds reserve stays, and so do the lots. The caller has locked the wallet. Returns the
    # tokens that went.
    op.execute(
        """
        CREATE FUNCTION part_take_back(
            p_refund bigint, p_wallet bigint, p_payment bigint, p_lot bigint, p_tokens bigint, p_now timestamptz
        ) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            lot record;
            free bigint;
            part bigint;
            gone bigint := 0;
            tx bigint;
        BEGIN
            SELECT least(p_tokens, posted - reserved) INTO STRICT free FROM accounts WHERE id = p_wallet;
            FOR lot IN
                SELECT id, remaining FROM lots
                WHERE payment_id = p_payment AND account_id = p_wallet AND live AND refund_id IS NULL
                  AND (p_lot IS NULL OR id = p_lot)
                ORDER BY expires_at, id
            LOOP
                part := least(lot.remaining, free - gone);
                EXIT WHEN part <= 0;
                INSERT INTO ledger_tx (kind, ref_type, ref_id, created_at)
                VALUES ('takeback', 'part', p_refund || ':' || lot.id, p_now) RETURNING id INTO tx;
                INSERT INTO ledger_entries (tx_id, account_id, amount) VALUES
                    (tx, p_wallet, -part), (tx, house('tokens_taken_back'), part);
                UPDATE lots SET remaining = remaining - part WHERE id = lot.id;
                INSERT INTO lot_consumptions (lot_id, tx_id, amount) VALUES (lot.id, tx, part);
                gone := gone + part;
            END LOOP;
            IF gone > 0 THEN
                UPDATE accounts SET posted = posted - gone WHERE id = p_wallet;
                UPDATE refunds SET tokens = tokens + gone, tokens_taken = tokens_taken + gone WHERE id = p_refund;
            END IF;
            RETURN gone;
        END $$
        """
    )
    # Locking the payment makes two that refund it come one after the other, so that each sees what the other wrote.
    op.execute(
        """
        CREATE FUNCTION refunds_within_payment() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            paid bigint;
        BEGIN
            SELECT amount INTO paid FROM payments WHERE id = NEW.payment_id FOR NO KEY UPDATE;
            PERFORM 1 FROM refunds
            WHERE payment_id = NEW.payment_id AND id <> NEW.id AND status <> 'canceled'
            HAVING coalesce(sum(amount), 0) + NEW.amount > paid;
            IF FOUND THEN
                RAISE EXCEPTION 'refunds of payment % would exceed it', NEW.payment_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_within_payment';
            END IF;
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER refunds_within_payment BEFORE INSERT OR UPDATE OF amount ON refunds
        FOR EACH ROW EXECUTE FUNCTION refunds_within_payment()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER refunds_within_payment ON refunds")
    op.execute("DROP FUNCTION refunds_within_payment()")
    op.execute("DROP FUNCTION part_take_back(bigint, bigint, bigint, bigint, bigint, timestamptz)")
    op.execute("ALTER TABLE refunds DROP COLUMN partial")
