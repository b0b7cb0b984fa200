"""The directory's own entries about nodes, for whoever has to be shown who a node is."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from hub.logs import service as logs
from hub.state import Hub


def node_entries(hub: Hub, connection: Connection, node_ids: Iterable[str]) -> tuple[bytes, ...]:
    """The "node-enrolled" entries of these nodes, by name; none for a node that is not in the directory."""
    known = (hub.directory.current.node(node_id) for node_id in sorted(set(node_ids)))
    return tuple(logs.read_leaf(connection, logs.DIRECTORY, node.index) for node in known if node is not None)
