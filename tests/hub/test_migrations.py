from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from hub.database import Database, open_database
from hub.tables import metadata


def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    differences = database.read_now(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    assert differences == [], "write a migration (hub/migrations/versions)"


def test_opening_twice_changes_nothing_and_keeps_the_rows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    first = open_database(url)
    first.write_now(lambda c: c.exec_driver_sql("INSERT INTO logs (origin, size) VALUES ('a', 1)"))
    first.close()
    again = open_database(url)
    assert again.read_now(lambda c: c.exec_driver_sql("SELECT size FROM logs").scalar()) == 1
    again.close()


def test_sqlite_is_durable_and_checks_references(tmp_path: Path) -> None:
    db = open_database(f"sqlite:///{tmp_path / 'hub.db'}")

    def pragma(name: str) -> object:
        return db.write_now(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar())

    assert [pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", 2, 1]
    db.close()
