"""Dialogs, turns, messages."""

from alembic import op

revision = "0003_dialogs"
down_revision = "0002_billing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE dialogs (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_dialogs PRIMARY KEY,
            chat_id bigint NOT NULL,
            person_id bigint NOT NULL
                CONSTRAINT fk_dialogs_person_id_persons REFERENCES persons (id) ON DELETE CASCADE,
            active boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE UNIQUE INDEX uq_dialogs_active ON dialogs (chat_id) WHERE active")
    op.execute("CREATE INDEX ix_dialogs_person_id ON dialogs (person_id)")
    op.execute("""
        CREATE TABLE turns (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_turns PRIMARY KEY,
            dialog_id bigint NOT NULL
                CONSTRAINT fk_turns_dialog_id_dialogs REFERENCES dialogs (id) ON DELETE CASCADE,
            person_id bigint NOT NULL,
            chat_id bigint NOT NULL,
            reply_to_message_id bigint,
            model text NOT NULL,
            status text NOT NULL DEFAULT 'open' CONSTRAINT ck_turns_status_known
                CHECK (status IN ('open', 'done', 'stopped', 'failed')),
            ready_at timestamptz NOT NULL,
            input_max integer NOT NULL,
            output_max integer NOT NULL,
            price_input integer NOT NULL,
            price_cached integer NOT NULL,
            price_output integer NOT NULL,
            weight integer NOT NULL,
            in_flight_max integer NOT NULL,
            admit_key text NOT NULL,
            created_at timestamptz NOT NULL,
            started_at timestamptz,
            fence bigint,
            attempts smallint NOT NULL DEFAULT 0,
            first_token_at timestamptz,
            closed_at timestamptz,
            finish_reason text,
            input_tokens integer,
            cached_tokens integer,
            output_tokens integer,
            billed_tokens bigint,
            courtesy_tokens bigint,
            error_code text,
            error text,
            CONSTRAINT ck_turns_bounds_positive CHECK (input_max > 0 AND output_max > 0 AND weight > 0),
            CONSTRAINT ck_turns_closed_with_time CHECK ((status = 'open') = (closed_at IS NULL))
        )
    """)
    op.execute("CREATE UNIQUE INDEX uq_turns_open ON turns (dialog_id) WHERE status = 'open'")
    op.execute("CREATE INDEX ix_turns_open_ready_at ON turns (ready_at) WHERE status = 'open'")
    op.execute("CREATE INDEX ix_turns_person_id_id ON turns (person_id, id)")
    op.execute("CREATE INDEX ix_turns_error_code ON turns (error_code) WHERE error_code IS NOT NULL")
    op.execute("CREATE INDEX ix_turns_created_at ON turns (created_at)")
    op.execute("""
        CREATE TABLE messages (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_messages PRIMARY KEY,
            dialog_id bigint NOT NULL
                CONSTRAINT fk_messages_dialog_id_dialogs REFERENCES dialogs (id) ON DELETE CASCADE,
            turn_id bigint CONSTRAINT fk_messages_turn_id_turns REFERENCES turns (id),
            role text NOT NULL CONSTRAINT ck_messages_role_known CHECK (role IN ('user', 'assistant')),
            chat_id bigint NOT NULL,
            message_id bigint,
            text text NOT NULL,
            at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE UNIQUE INDEX uq_messages_chat_id_message_id ON messages (chat_id, message_id) WHERE role = 'user'
    """)
    op.execute("CREATE INDEX ix_messages_dialog_id_id ON messages (dialog_id, id)")
    op.execute("CREATE INDEX ix_messages_turn_id ON messages (turn_id)")
    op.execute("""
        CREATE INDEX ix_messages_waiting ON messages (dialog_id, id) WHERE turn_id IS NULL AND role = 'user'
    """)


def downgrade() -> None:
    for table in ("messages", "turns", "dialogs"):
        op.execute(f"DROP TABLE {table}")
