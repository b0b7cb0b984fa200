"""The report of a job as a document: everything that the page shows, in one JSON file with a version."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from modeling.errors import DataUnusable
from modeling.evaluation import Evaluation, Stability
from modeling.jobs.leaks import Leak
from modeling.jobs.plan import Algorithm

VERSION: Final = 1


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a report."""


class Party(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party. `columns`: how many it brought; names are the active party's own only."""

    name: str
    role: Literal["active", "passive"]
    product: str = ""
    columns: int
    names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Cohort(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is in the model. `usable`: rows with a label that everybody let in; `refused`: by provider, then by reason."""

    rows: int
    usable: int
    training: int
    test: int
    withdrawn: int
    refused: dict[str, dict[str, int]]


class PhaseCost(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a phase cost the active party."""

    name: str
    seconds: float
    messages: int
    sent_bytes: int
    received_bytes: int


class Importance(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a column of the active party, or all of a provider's together (`of_party`), contributes."""

    name: str
    value: float
    of_party: bool = False


class Points(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the active party's part of the scorecard: points at the lowest and highest value of a column."""

    name: str
    coefficient: float
    lowest: float
    highest: float
    points_lowest: int
    points_highest: int


class ScorecardPart(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The active party's part of the scorecard. `base`: the points of the intercept and the scale."""

    base_score: float
    base_odds: float
    pdo: float
    base: int
    lines: tuple[Points, ...]


class Bin(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bin of an own column over the training rows."""

    label: str
    rows: int
    events: int
    rate: float
    woe: float


class BinTable(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An own column's bins, its information value, and its stability between training and test rows."""

    name: str
    value: float
    stability: float
    bins: tuple[Bin, ...]


class Baseline(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another model on the same test rows. `own_alone` is the name of the one by the active party's columns only."""

    name: str
    auc: float
    ks: float


class Report(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job, from its file to its model.

    `curve`: the mean log loss of the training rows after each tree; of logistic regression by how much each step changed the log
    odds of the training rows, root mean square. `made_ms`: Unix time in milliseconds; `commitment`: hexadecimal;
    `versions`: of the software that computed it.
    """

    version: int = VERSION
    job: str
    name: str
    reason: str
    purpose: str
    algorithm: Algorithm
    settings: dict[str, Any]
    made_ms: int
    commitment: str
    parties: tuple[Party, ...]
    cohort: Cohort
    test: Evaluation
    train: Evaluation | None = None
    score_stability: Stability | None = None
    steps: int
    settled: bool
    curve: tuple[float, ...] = ()
    importance: tuple[Importance, ...] = ()
    scorecard: ScorecardPart | None = None
    tables: tuple[BinTable, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    phases: tuple[PhaseCost, ...]
    attempts: int = 1
    leaks: tuple[Leak, ...]
    versions: dict[str, str] = {}


class _AnyVersion(msgspec.Struct, frozen=True):
    """What can be read of a report that another version of this software wrote."""

    version: int


def to_json(report: Report) -> bytes:
    """As it is written beside the page: equal reports have equal bytes, whatever order their mappings were filled in."""
    return msgspec.json.format(msgspec.json.encode(report, order="deterministic"), indent=1) + b"\n"


def from_json(data: bytes) -> Report:
    """Read what `to_json` writes. Raises DataUnusable: for another version before anything else in it is looked at."""
    try:
        version = msgspec.json.decode(data, type=_AnyVersion).version
        if version != VERSION:
            raise DataUnusable(f"the report is of version {version}; this software reads version {VERSION}")
        return msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataUnusable(f"the report cannot be read: {error}") from None
