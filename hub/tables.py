"""Every table of the hub: importing this module fills `metadata` (the migrations compare the database with it)."""

from __future__ import annotations

from hub.consents import tables as _consents
from hub.exchanges import tables as _exchanges
from hub.logs import tables as _logs
from hub.members import tables as _members
from hub.models import tables as _models
from hub.products import tables as _products
from hub.schema import metadata
from hub.subjects import tables as _subjects
from hub.usage import tables as _usage

SUBJECTS = (_consents, _exchanges, _logs, _members, _models, _products, _subjects, _usage)

__all__ = ["SUBJECTS", "metadata"]
