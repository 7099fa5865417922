"""Cases: what a person asks about a payment, the operator's answers, and where a person's next message belongs."""

from alembic import op

revision = "0008_cases"
down_revision = "0007_growth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE cases (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_cases PRIMARY KEY,
            person_id bigint NOT NULL CONSTRAINT fk_cases_person_id_persons REFERENCES persons (id),
            payment_id bigint CONSTRAINT fk_cases_payment_id_payments REFERENCES payments (id),
            status text NOT NULL CONSTRAINT ck_cases_status_known CHECK (status IN ('open', 'answered', 'closed')),
            answer_due_at timestamptz,
            reminders smallint NOT NULL DEFAULT 0 CONSTRAINT ck_cases_reminders_not_negative CHECK (reminders >= 0),
            closed_by bigint,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT ck_cases_open_is_due CHECK ((status = 'open') = (answer_due_at IS NOT NULL))
        )
    """)
    op.execute("CREATE INDEX ix_cases_person_id_id ON cases (person_id, id)")
    op.execute("CREATE INDEX ix_cases_due ON cases (answer_due_at) WHERE status = 'open'")
    op.execute("CREATE INDEX ix_cases_status_updated_at ON cases (status, updated_at) WHERE status <> 'open'")
    op.execute("""
        CREATE TABLE case_messages (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_case_messages PRIMARY KEY,
            case_id bigint NOT NULL CONSTRAINT fk_case_messages_case_id_cases REFERENCES cases (id),
            author text NOT NULL CONSTRAINT ck_case_messages_author_known CHECK (author IN ('person', 'operator')),
            actor_id bigint NOT NULL,
            text text NOT NULL,
            at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX ix_case_messages_case_id_id ON case_messages (case_id, id)")
    op.execute("""
        CREATE TABLE case_prompts (
            person_id bigint CONSTRAINT pk_case_prompts PRIMARY KEY
                CONSTRAINT fk_case_prompts_person_id_persons REFERENCES persons (id),
            payment_id bigint CONSTRAINT fk_case_prompts_payment_id_payments REFERENCES payments (id),
            case_id bigint CONSTRAINT fk_case_prompts_case_id_cases REFERENCES cases (id),
            refused_at timestamptz,
            created_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    for table in ("case_prompts", "case_messages", "cases"):
        op.execute(f"DROP TABLE {table}")
