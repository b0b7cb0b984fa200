"""Write the first migration anew from the tables: `python -m hub.migrations.freeze`. Only until the first release.

After that a change of the tables is a migration of its own (`alembic revision`), and a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from hub.tables import metadata

TARGET: Final = Path(__file__).parent / "versions" / "0001_initial.py"
HEAD: Final = '''"""The first schema (made by hub.migrations.freeze)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


'''


def frozen() -> str:
    """The text of the first migration for the tables as they are."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        script = produce_migrations(MigrationContext.configure(connection), metadata)
    engine.dispose()
    parts = []
    for name, operations in (("upgrade", script.upgrade_ops), ("downgrade", script.downgrade_ops)):
        if operations is not None:
            body = render_python_code(operations)
            parts.append(f"def {name}() -> None:\n    {body}\n")
    return HEAD + "\n\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(frozen(), encoding="utf-8")
