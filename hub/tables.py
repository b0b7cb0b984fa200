"""Every table of the hub: importing this module fills `metadata` (the migrations compare the database with it)."""

from __future__ import annotations

from hub.logs import tables as _logs
from hub.members import tables as _members
from hub.schema import metadata
from hub.subjects import tables as _subjects

# Subjects of the other half of the hub add their line above and their module here.
SUBJECTS = (_logs, _members, _subjects)

__all__ = ["SUBJECTS", "metadata"]
