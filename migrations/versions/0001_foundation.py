"""Stamp, inbox, outbox, audit log, persons."""

from alembic import op

revision = "0001_foundation"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE stamp (
            id smallint CONSTRAINT pk_stamp PRIMARY KEY CONSTRAINT ck_stamp_single CHECK (id = 1),
            kind text NOT NULL CONSTRAINT ck_stamp_kind_known CHECK (kind = 'sandbox' OR kind LIKE 'live:%'),
            clock_offset_s bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            CONSTRAINT ck_stamp_clock_sandbox_only
                CHECK (clock_offset_s >= 0 AND (kind = 'sandbox' OR clock_offset_s = 0))
        )
    """)
    op.execute("""
        CREATE TABLE inbox (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_inbox PRIMARY KEY,
            source text NOT NULL,
            dedup_key text NOT NULL,
            body jsonb NOT NULL,
            received_at timestamptz NOT NULL,
            handled_at timestamptz,
            attempts smallint NOT NULL DEFAULT 0,
            error text,
            CONSTRAINT uq_inbox_source_dedup_key UNIQUE (source, dedup_key)
        )
    """)
    op.execute("CREATE INDEX ix_inbox_open ON inbox (id) WHERE handled_at IS NULL")
    op.execute("""
        CREATE TABLE outbox (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_outbox PRIMARY KEY,
            kind text NOT NULL CONSTRAINT ck_outbox_kind_known
                CHECK (kind IN ('answer', 'notice', 'alert', 'call', 'broadcast')),
            chat_id bigint NOT NULL,
            payload jsonb NOT NULL,
            dedup_key text CONSTRAINT uq_outbox_dedup_key UNIQUE,
            turn_id bigint,
            status text NOT NULL DEFAULT 'pending' CONSTRAINT ck_outbox_status_known
                CHECK (status IN ('pending', 'sending', 'sent', 'failed', 'unknown')),
            parts_sent smallint NOT NULL DEFAULT 0,
            attempts smallint NOT NULL DEFAULT 0,
            not_before timestamptz,
            created_at timestamptz NOT NULL,
            sent_at timestamptz,
            error text
        )
    """)
    op.execute("CREATE INDEX ix_outbox_open ON outbox (id) WHERE status IN ('pending', 'sending')")
    op.execute("CREATE INDEX ix_outbox_sent_at ON outbox (sent_at)")
    op.execute("""
        CREATE TABLE audit_log (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_audit_log PRIMARY KEY,
            actor_id bigint NOT NULL,
            action text NOT NULL,
            subject_id bigint,
            details jsonb NOT NULL,
            at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX ix_audit_log_subject_id_at ON audit_log (subject_id, at)")
    op.execute("""
        CREATE FUNCTION forma_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'table % is append only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION forma_append_only()
    """)
    op.execute("""
        CREATE TABLE persons (
            id bigint CONSTRAINT pk_persons PRIMARY KEY,
            first_name text NOT NULL DEFAULT '',
            username text,
            language text NOT NULL CONSTRAINT ck_persons_language_known CHECK (language IN ('ru', 'en')),
            settings jsonb NOT NULL DEFAULT '{}',
            source text,
            blocked_at timestamptz,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX ix_persons_username ON persons (lower(username))")
    op.execute("CREATE INDEX ix_persons_created_at ON persons (created_at)")
    op.execute("""
        CREATE TABLE admin_requests (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_admin_requests PRIMARY KEY,
            actor_id bigint NOT NULL,
            action text NOT NULL,
            subject_id bigint NOT NULL,
            details jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            resolved_at timestamptz,
            confirmed boolean,
            CONSTRAINT ck_admin_requests_resolved_with_time CHECK ((resolved_at IS NULL) = (confirmed IS NULL))
        )
    """)
    op.execute("""
        CREATE TABLE chat_migrations (
            old_chat_id bigint CONSTRAINT pk_chat_migrations PRIMARY KEY,
            new_chat_id bigint NOT NULL,
            at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    for table in ("chat_migrations", "admin_requests", "persons", "audit_log", "outbox", "inbox", "stamp"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION forma_append_only()")
