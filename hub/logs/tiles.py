"""Merkle tiles of one log in the table log_tiles (`trust.tiles.TileStore`)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

_GET: Final = text("SELECT hashes FROM log_tiles WHERE origin = :origin AND level = :level AND idx = :idx")
_PUT: Final = text(
    "INSERT INTO log_tiles (origin, level, idx, hashes) VALUES (:origin, :level, :idx, :hashes) "
    "ON CONFLICT (origin, level, idx) DO UPDATE SET hashes = excluded.hashes"
)


class SqlTileStore:
    """The tiles of one log within one transaction."""

    def __init__(self, connection: Connection, origin: str) -> None:
        """Bind to a transaction and a log."""
        self._connection = connection
        self._origin = origin

    def get(self, level: int, index: int) -> bytes | None:
        """Return what was last put there, or None."""
        found = self._connection.execute(_GET, {"origin": self._origin, "level": level, "idx": index}).scalar()
        return None if found is None else bytes(found)

    def put(self, level: int, index: int, hashes: bytes) -> None:
        """Store a tile in place of what was there."""
        self._connection.execute(_PUT, {"origin": self._origin, "level": level, "idx": index, "hashes": hashes})
