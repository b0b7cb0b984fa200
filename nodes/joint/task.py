"""What a party's process of a joint job is to do."""

from __future__ import annotations

import sys
from typing import Final

from modeling.jobs.plan import JobPlan
from nodes.party.process import PartyTask

WORKER: Final = (sys.executable, "-m", "nodes.joint.worker")


class Task(PartyTask, frozen=True, kw_only=True):
    """`own`: the job with this party's own columns; a passive takes part in no other.

    `plans`: for the active party, what it tells each passive. `label`: the column of the table that is the label.
    """

    table: str
    checkpoint: str
    plans: dict[str, JobPlan] = {}  # noqa: RUF012 - msgspec copies it
    own: JobPlan | None = None
    label: str = ""
    validation: float = 0.0
