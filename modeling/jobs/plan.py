"""What the active party tells a passive before anything else, and the algorithms that there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from modeling.channel import Channel
from modeling.errors import ProtocolViolation
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.messages import Message
from modeling.preparation.binning import Cut
from modeling.preparation.columns import Rule
from modeling.preparation.woe import Limits

PLAN: Final = "job-plan"
READY: Final = "job-ready"

MAX_COLUMNS: Final = 5000
"""Of one party."""

Algorithm = Literal["logistic", "boosting"]


class SelectionRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Before the training columns are binned, judged by the labels in their bins, and chosen.

    `bins`: at most, of a number, as `cut` says; `monotone`: merged until the default rate only rises or only falls. `encode`: "woe"
    makes a column of each column, the weight of evidence of its bins (logistic regression only). `across`: a provider's column that
    is too correlated with one of the active party's, or of a provider before it, is left out too. `key_bits`: of the key under which
    labels are counted.
    """

    bins: Annotated[int, msgspec.Meta(ge=2, le=20)] = 8
    cut: Cut = "quantile"
    monotone: bool = True
    encode: Literal["woe"] | None = None
    across: bool = True
    limits: Limits = Limits()
    key_bits: Literal[2048, 3072] = 3072


class JobPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job, as a passive needs to know it. The settings of the algorithm that is not used are None.

    `rows`: of the cohort, in its common order; the first `training` of them train, the others test. `columns`: the passive's own
    columns and how each is prepared; None: numbers are standardised, texts become a column for each frequent category.
    """

    job: str
    algorithm: Algorithm
    logistic: LogisticSettings | None = None
    boosting: BoostingSettings | None = None
    rows: Annotated[int, msgspec.Meta(ge=1)]
    training: Annotated[int, msgspec.Meta(ge=1)]
    columns: Annotated[dict[str, Rule | None], msgspec.Meta(min_length=1, max_length=MAX_COLUMNS)]
    selection: SelectionRules | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.training > self.rows or (self.logistic is None) == (self.boosting is None):
            raise ValueError("a job has settings of one algorithm, and trains on no more rows than it has")
        if (self.algorithm == "logistic") != (self.logistic is not None):
            raise ValueError(f"a job of {self.algorithm} has the settings of {self.algorithm}")
        if self.boosting is not None and self.selection is not None and self.selection.encode is not None:
            raise ValueError("boosting bins columns itself: encode is for logistic regression")


msgspec.json.Decoder(JobPlan)
"""msgspec works out a type when it is first met: in several threads at once, as parties of a notebook are, that can crash (0.22)."""


def passives_talk(algorithm: Algorithm, selection: SelectionRules | None, passives: int) -> bool:
    """Whether passives talk to each other in such a job: in boosting only to compare columns."""
    return passives > 1 and (algorithm == "logistic" or (selection is not None and selection.across))


def send_plan(channel: Channel, plan: JobPlan, choosers: Sequence[str]) -> None:
    """The first message to a passive. `choosers`: all passives in their order, where columns are still to be chosen; else nobody."""
    channel.send(Message(kind=PLAN, fields={"plan": msgspec.to_builtins(plan), "choosers": list(choosers)}))


def receive_plan(channel: Channel) -> tuple[JobPlan, tuple[str, ...]]:
    """The plan, and who chooses columns now. Raises ProtocolViolation."""
    fields = channel.receive(PLAN).fields
    try:
        plan = msgspec.convert(fields.get("plan"), JobPlan)
        choosers = msgspec.convert(fields.get("choosers"), tuple[str, ...])
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the plan of a job cannot be read: {error}") from None
    if choosers and plan.selection is None:
        raise ProtocolViolation(f"{channel.peer} chooses columns in a job without rules for it")
    return plan, choosers
