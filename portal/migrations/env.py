"""Alembic's entry: run the migrations on the connection that the portal opened."""

from __future__ import annotations

from alembic import context

from portal.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
