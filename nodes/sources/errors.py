"""What can go wrong with a node's own data, beside single rows (those are counted in a report, see `report`)."""

from __future__ import annotations

from nodes.errors import NodeError


class SourcesInvalid(NodeError):
    """`sources.toml` cannot be used: nothing was loaded."""

    code = "SOURCES_INVALID"


class SourceUnreadable(NodeError):
    """One source could not be read: its item keeps the snapshot that it had."""

    code = "SOURCE_UNREADABLE"


class DriverMissing(SourceUnreadable):
    """The software that reads this type of source is not installed."""

    code = "SOURCE_DRIVER_MISSING"


class LoadInterrupted(NodeError):
    """A load ended without a result: every item keeps the snapshot that it had."""

    code = "LOAD_INTERRUPTED"


class ItemNotLoaded(NodeError):
    """The node has no data of an item. Nothing is answered: no data is another thing than no record."""

    code = "ITEM_NOT_LOADED"


class SnapshotDamaged(NodeError):
    """A snapshot is missing or does not have its form."""

    code = "SNAPSHOT_DAMAGED"


def without_result(why: str) -> LoadInterrupted:
    """A load that ended because of `why`, which completes "ended without a result (…)"."""
    return LoadInterrupted(
        f"The load ended without a result ({why}); queries see the data from before. If memory or disk is short, give the "
        "machine more or load smaller sources one by one; the node's log may say more."
    )
