"""What Alembic runs to migrate: it uses the connection that `labels.store.migrations` hands over."""

from __future__ import annotations

from alembic import context

from labels.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
