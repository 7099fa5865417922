"""Alembic's environment: runs the migrations on the connection that `kit.migrate` hands over."""

from alembic import context

import app.tables  # noqa: F401 - registers every table on the metadata
from kit.db import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transaction_per_migration=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
