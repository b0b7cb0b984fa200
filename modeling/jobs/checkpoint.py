"""What a party keeps of its job: how its columns are prepared, and where its training stands."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from modeling.errors import DataUnusable
from modeling.jobs.table import Prepared
from modeling.jobs.work import Work

T = TypeVar("T", bound=msgspec.Struct)


class JobCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`training`: the algorithm's own checkpoint, null before it has begun. `curve`: the active party's, of boosting.

    `prepared`: None while columns are being chosen; `choices`: how often that was begun.
    """

    prepared: Prepared | None
    choices: int = 0
    training: msgspec.Raw = msgspec.Raw(b"null")
    curve: tuple[float, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether the training has begun."""
        return bytes(self.training) != b"null"

    def of_training(self, kind: type[T]) -> T | None:
        """The algorithm's checkpoint. Raises DataUnusable if it is another's."""
        try:
            return msgspec.json.decode(self.training, type=kind | None)
        except msgspec.DecodeError as error:
            raise DataUnusable(f"the checkpoint cannot be read: {error}") from None


def kept_by(work: Work) -> JobCheckpoint | None:
    """What was kept last. Raises DataUnusable if it cannot be read."""
    data = work.kept()
    try:
        return None if data is None else msgspec.json.decode(data, type=JobCheckpoint)
    except msgspec.DecodeError as error:
        raise DataUnusable(f"the checkpoint cannot be read: {error}") from None


def keep(
    work: Work,
    prepared: Prepared | None,
    training: msgspec.Struct | None = None,
    curve: tuple[float, ...] = (),
    choices: int = 0,
) -> None:
    """Durable when this returns."""
    raw = msgspec.Raw(msgspec.json.encode(training))
    kept = JobCheckpoint(prepared=prepared, choices=choices, training=raw, curve=curve)
    work.keep(msgspec.json.encode(kept))
