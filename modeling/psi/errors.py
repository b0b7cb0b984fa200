"""What can go wrong here and nowhere else in `modeling`."""

from __future__ import annotations

from typing import ClassVar

from modeling.errors import ModelingError


class WorkersFailed(ModelingError):
    """Worker processes of this machine died twice over the same piece of work: most often memory ran out."""

    code: ClassVar[str] = "WORKERS_FAILED"
