"""What the active party tells a passive before anything else, and the algorithms that there are."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from modeling.channel import Channel
from modeling.errors import ProtocolViolation
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.messages import Message
from modeling.preparation.columns import Rule

PLAN: Final = "job-plan"
READY: Final = "job-ready"

Algorithm = Literal["logistic", "boosting"]


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
    columns: Annotated[dict[str, Rule | None], msgspec.Meta(min_length=1, max_length=5000)]

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.training > self.rows or (self.logistic is None) == (self.boosting is None):
            raise ValueError("a job has settings of one algorithm, and trains on no more rows than it has")
        if (self.algorithm == "logistic") != (self.logistic is not None):
            raise ValueError(f"a job of {self.algorithm} has the settings of {self.algorithm}")


def send_plan(channel: Channel, plan: JobPlan) -> None:
    """The first message to a passive."""
    channel.send(Message(kind=PLAN, fields={"plan": msgspec.to_builtins(plan)}))


def receive_plan(channel: Channel) -> JobPlan:
    """Raises ProtocolViolation."""
    try:
        return msgspec.convert(channel.receive(PLAN).fields.get("plan"), JobPlan)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the plan of a job cannot be read: {error}") from None
