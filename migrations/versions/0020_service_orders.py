"""Service orders: slow lanes and maintenance windows that an operator has set. Going down ends and forgets them."""

from alembic import op

revision = "0020_service_orders"
down_revision = "0019_groups"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE service_orders (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_service_orders PRIMARY KEY,
            kind text NOT NULL CONSTRAINT ck_service_orders_kind_known CHECK (kind IN ('slow', 'maintenance')),
            about text NOT NULL
                CONSTRAINT ck_service_orders_about_known CHECK (about IN ('person', 'model', 'everybody')),
            person_id bigint,
            model text,
            until timestamptz NOT NULL,
            reason text NOT NULL,
            created_by bigint NOT NULL,
            created_at timestamptz NOT NULL,
            ended_at timestamptz,
            ended_by bigint,
            CONSTRAINT ck_service_orders_subject_of_about
                CHECK ((about = 'person') = (person_id IS NOT NULL) AND (about = 'model') = (model IS NOT NULL)),
            CONSTRAINT ck_service_orders_bounded CHECK (until > created_at AND until <= created_at
                + CASE kind WHEN 'slow' THEN interval '30 days' ELSE interval '12 hours' END),
            CONSTRAINT ck_service_orders_ended_with_time CHECK (ended_by IS NULL OR ended_at IS NOT NULL)
        )
    """)
    op.execute("""
        CREATE UNIQUE INDEX uq_service_orders_open ON service_orders
            (kind, about, coalesce(person_id, 0), coalesce(model, '')) WHERE ended_at IS NULL
    """)
    op.execute("CREATE INDEX ix_service_orders_until ON service_orders (until)")


def downgrade() -> None:
    op.execute("DROP TABLE service_orders")
