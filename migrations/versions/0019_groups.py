"""Dialogs of groups and their topics; answers that are reworked by a button; answers that were thought about."""

from alembic import op

revision = "0019_groups"
down_revision = "0018_dialogs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE dialogs
            ALTER COLUMN person_id DROP NOT NULL,
            ADD COLUMN thread_id bigint NOT NULL DEFAULT 0,
            ADD COLUMN thinking text NOT NULL DEFAULT 'off'
                CONSTRAINT ck_dialogs_thinking_known CHECK (thinking IN ('off', 'next', 'on')),
            ADD CONSTRAINT ck_dialogs_only_groups_without_person CHECK (person_id IS NOT NULL OR chat_id < 0)
    """)
    op.execute("DROP INDEX uq_dialogs_active")
    op.execute("CREATE UNIQUE INDEX uq_dialogs_active ON dialogs (chat_id, thread_id) WHERE active")
    op.execute("""
        ALTER TABLE turns
            ADD COLUMN thread_id bigint NOT NULL DEFAULT 0,
            ADD COLUMN thinking boolean NOT NULL DEFAULT false,
            ADD COLUMN instruction text
                CONSTRAINT ck_turns_instruction_known CHECK (instruction IN ('shorter', 'deeper', 'continue')),
            ADD COLUMN about_turn_id bigint,
            ADD COLUMN pressed_turn_id bigint,
            ADD CONSTRAINT ck_turns_instruction_about_a_turn CHECK (
                (instruction IS NULL) = (about_turn_id IS NULL) AND (instruction IS NULL) = (pressed_turn_id IS NULL))
    """)
    op.execute("""
        CREATE UNIQUE INDEX uq_turns_pressed ON turns (pressed_turn_id, instruction) WHERE status <> 'failed'
    """)
    op.execute("CREATE INDEX ix_turns_about_turn_id ON turns (about_turn_id) WHERE about_turn_id IS NOT NULL")
    op.execute("""
        ALTER TABLE messages
            ADD COLUMN author_id bigint,
            ADD COLUMN author text,
            ADD COLUMN thoughts text,
            ADD CONSTRAINT ck_messages_author_whole CHECK ((author_id IS NULL) = (author IS NULL))
    """)
    op.execute("""
        CREATE INDEX ix_messages_waiting_author ON messages (author_id)
            WHERE turn_id IS NULL AND role = 'user' AND author_id IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE answer_keyboards (
            chat_id bigint NOT NULL,
            thread_id bigint NOT NULL,
            message_id bigint NOT NULL,
            CONSTRAINT pk_answer_keyboards PRIMARY KEY (chat_id, thread_id)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE answer_keyboards")
    op.execute("DROP INDEX ix_messages_waiting_author")
    op.execute("""
        ALTER TABLE messages
            DROP CONSTRAINT ck_messages_author_whole,
            DROP COLUMN author_id, DROP COLUMN author, DROP COLUMN thoughts
    """)
    op.execute("DROP INDEX ix_turns_about_turn_id")
    op.execute("DROP INDEX uq_turns_pressed")
    op.execute("""
        ALTER TABLE turns
            DROP CONSTRAINT ck_turns_instruction_about_a_turn,
            DROP COLUMN thread_id, DROP COLUMN thinking, DROP COLUMN instruction,
            DROP COLUMN about_turn_id, DROP COLUMN pressed_turn_id
    """)
    # A group's dialogs belong to no person, and the older schema knows none such.
    op.execute("DELETE FROM messages WHERE dialog_id IN (SELECT id FROM dialogs WHERE person_id IS NULL)")
    op.execute("DELETE FROM dialogs WHERE person_id IS NULL")
    op.execute("DROP INDEX uq_dialogs_active")
    op.execute("CREATE UNIQUE INDEX uq_dialogs_active ON dialogs (chat_id) WHERE active")
    op.execute("""
        ALTER TABLE dialogs
            DROP CONSTRAINT ck_dialogs_only_groups_without_person,
            DROP COLUMN thread_id, DROP COLUMN thinking,
            ALTER COLUMN person_id SET NOT NULL
    """)
