"""Several dialogs of a chat: titles and deletion; summaries of what is old; what the house has to do for a dialog."""

from alembic import op

revision = "0018_dialogs"
down_revision = "0017_replicas"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE dialogs
            ADD COLUMN title text,
            ADD COLUMN deleted_at timestamptz,
            ADD CONSTRAINT ck_dialogs_deleted_is_empty
                CHECK (deleted_at IS NULL OR (NOT active AND title IS NULL))
    """)
    op.execute("CREATE INDEX ix_dialogs_chat_id ON dialogs (chat_id) WHERE deleted_at IS NULL")
    op.execute("""
        ALTER TABLE messages
            ADD COLUMN tokens integer,
            ADD COLUMN tokens_model text
    """)
    op.execute("""
        CREATE TABLE summaries (
            dialog_id bigint CONSTRAINT pk_summaries PRIMARY KEY
                CONSTRAINT fk_summaries_dialog_id_dialogs REFERENCES dialogs (id) ON DELETE CASCADE,
            text text NOT NULL,
            covers_turn_id bigint NOT NULL,
            turns integer NOT NULL,
            prompt_tokens integer,
            version integer NOT NULL,
            made_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE house_work (
            dialog_id bigint NOT NULL
                CONSTRAINT fk_house_work_dialog_id_dialogs REFERENCES dialogs (id) ON DELETE CASCADE,
            kind text NOT NULL CONSTRAINT ck_house_work_kind_known CHECK (kind IN ('title', 'summary')),
            due_at timestamptz,
            tries smallint NOT NULL DEFAULT 0,
            tried_at timestamptz,
            CONSTRAINT pk_house_work PRIMARY KEY (dialog_id, kind)
        )
    """)
    op.execute("CREATE INDEX ix_house_work_due_at ON house_work (due_at) WHERE due_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP TABLE house_work")
    op.execute("DROP TABLE summaries")
    op.execute("ALTER TABLE messages DROP COLUMN tokens, DROP COLUMN tokens_model")
    op.execute("DROP INDEX ix_dialogs_chat_id")
    op.execute("""
        ALTER TABLE dialogs
            DROP CONSTRAINT ck_dialogs_deleted_is_empty,
            DROP COLUMN title,
            DROP COLUMN deleted_at
    """)
