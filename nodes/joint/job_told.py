"""What the user of a job is told: what it will cost and tell before it begins, and where its report lies after."""

from __future__ import annotations

from typing import Final

import msgspec

from modeling.jobs.estimate import Estimate
from modeling.jobs.leaks import Leak
from modeling.jobs.plan import Algorithm

REPORT_FILE: Final = "report.json"
PAGE_FILE: Final = "report.html"


class JobPlanned(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan` finds."""

    name: str
    algorithm: Algorithm
    estimate: Estimate
    leaks: tuple[Leak, ...]
