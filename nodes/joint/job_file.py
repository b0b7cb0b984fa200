"""The job file: what a bank wants to train, in YAML that a person reads. What is unknown or out of bounds is an error with its place.

name: default-risk-2026
reason: joint default model of small loans
algorithm: boosting            # or logistic
parameters: {trees: 30, depth: 3}
own:
  file: applications.parquet   # or .csv; beside the job file
  subject: uscc
  label: {column: Class, event: bad}      # or a column of 0 and 1
  features: [annual_inc, addr_state]
providers:
  - member: tax-bureau
    product: demo-delinquency
    items:
      - item: demo_delinquency
        features: {delinq_2yrs: number, inq_last_6mths: {type: number, winsorise: [0.01, 0.99]}}
cohort: {rows: all, minimum: 100}
split: {test: 0.3}
selection: {bins: 8, limits: {lowest_value: 0.02}}  # optional: judge and choose columns first
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from yaml import YAMLError

from consent.decision import ItemUse
from consent.documents import ItemMode, Purpose
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs.plan import MAX_COLUMNS, Algorithm, SelectionRules
from modeling.jobs.table import Aggregate
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.preparation.columns import NumberRule, OneHotRule, Rule
from modeling.scorecard import Scale
from nodes.errors import NodeError
from nodes.joint.cohort import MINIMUM, Rows
from nodes.joint.messages import MAX_FIELDS, ItemColumns
from nodes.joint.plain_yaml import read_yaml

MAX_FILE_BYTES = 1 << 20

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,80}\Z")]
_Chosen = Rule | Literal["number", "one_hot"] | None
_Features = (
    Annotated[dict[_Text, _Chosen], msgspec.Meta(min_length=1, max_length=MAX_FIELDS)]
    | Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1, max_length=MAX_FIELDS)]
)


class JobFileInvalid(NodeError):
    """A job file cannot be used; the message names the place."""

    code = "JOB_INVALID"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a job file."""


class Label(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The column that is to be predicted, and the value of it that counts as the event."""

    column: _Text
    event: str | int | float | bool = 1


class Own(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bank's own data."""

    file: _Text
    subject: _Text = "uscc"
    label: _Text | Label
    features: _Features

    @property
    def target(self) -> Label:
        """The label, spelled out."""
        return self.label if isinstance(self.label, Label) else Label(column=self.label)


class ItemPart(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Features from one item of a product."""

    item: _Text
    features: _Features
    aggregate: Aggregate = "latest"

    def columns(self) -> ItemColumns:
        """As it is proposed to the provider."""
        return ItemColumns(item_id=self.item, fields=rules_of(self.features), aggregate=self.aggregate)


class ProviderPart(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider and what it brings."""

    member: _Text
    product: _Text
    items: Annotated[tuple[ItemPart, ...], msgspec.Meta(min_length=1, max_length=100)]

    def uses(self) -> tuple[ItemUse, ...]:
        """What the exchange is opened for."""
        return tuple(
            ItemUse(item_id=each.item, mode=ItemMode.J, fields=tuple(rules_of(each.features))) for each in self.items
        )


class CohortPart(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which subjects; fewer than `minimum` are refused."""

    rows: Rows = "all"
    minimum: Annotated[int, msgspec.Meta(ge=20)] = MINIMUM


class SplitPart(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`test`: the share of the rows that only tests; `validation`: the share of the training rows that decides when to stop."""

    test: Annotated[float, msgspec.Meta(ge=0.05, le=0.9)] = 0.3
    validation: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0


class JobFile(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole job file. `language`: of the report's page."""

    name: _Name
    reason: _Text
    purpose: Purpose = Purpose.JOINT_MODELLING
    algorithm: Algorithm
    parameters: dict[str, Any] = {}
    own: Own
    providers: Annotated[tuple[ProviderPart, ...], msgspec.Meta(min_length=1, max_length=4)]
    cohort: CohortPart = CohortPart()
    split: SplitPart = SplitPart()
    scorecard: Scale = Scale()
    selection: SelectionRules | None = None
    language: Literal["en", "zh"] = "en"

    def settings(self) -> LogisticSettings | BoostingSettings:
        """Of the algorithm. Raises JobFileInvalid."""
        try:
            if self.algorithm == "logistic":
                return msgspec.convert(self.parameters, LogisticSettings)
            return msgspec.convert(self.parameters, BoostingSettings)
        except msgspec.ValidationError as error:
            raise JobFileInvalid(f"parameters of {self.algorithm}: {error}. See `docs/modelling.md`.") from None


def rules_of(features: Mapping[str, _Chosen] | tuple[str, ...]) -> dict[str, Rule | None]:
    """The rule of each column; None where its kind decides."""
    named: dict[str, Rule] = {"number": NumberRule(), "one_hot": OneHotRule()}
    if isinstance(features, tuple):
        return dict.fromkeys(features)
    return {name: named[rule] if isinstance(rule, str) else rule for name, rule in features.items()}


def parse_job(text: str) -> JobFile:
    """Read a job file's text. Raises JobFileInvalid."""
    if len(text) > MAX_FILE_BYTES:
        raise JobFileInvalid("A job file of more than a megabyte cannot be meant; check its name.")
    try:
        found = read_yaml(text)
    except YAMLError as error:
        raise JobFileInvalid(f"The job file is not YAML: {' '.join(str(error).split())[:300]}") from None
    try:
        job = msgspec.convert(found, JobFile)
    except msgspec.ValidationError as error:
        raise JobFileInvalid(f"The job file cannot be used: {error}. See `docs/modelling.md`.") from None
    job.settings()
    if job.algorithm == "boosting" and job.selection is not None and job.selection.encode is not None:
        raise JobFileInvalid("selection.encode is for logistic regression: boosting bins columns itself. Leave it out.")
    _refuse_repeated("providers", [each.member for each in job.providers])
    _refuse_repeated("own.features", list(job.own.features))
    for provider in job.providers:
        _refuse_repeated(f"items of {provider.member}", [each.item for each in provider.items])
        for item in provider.items:
            _refuse_repeated(f"features of {item.item}", list(item.features))
        if sum(len(each.features) for each in provider.items) > MAX_COLUMNS:
            raise JobFileInvalid(f"{provider.member} would bring more than {MAX_COLUMNS} features; choose among them.")
    return job


def _refuse_repeated(place: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise JobFileInvalid(f"The job file names {twice[0]} twice in {place}; name each once.")


def own_path(job: JobFile, base: Path) -> Path:
    """Where the bank's own data is. Raises JobFileInvalid if it is not there or is of another kind."""
    path = base / job.own.file
    try:
        found = path.is_file()
    except OSError:  # too long a name
        found = False
    if not found:
        raise JobFileInvalid(f"own.file {path} does not exist; paths are relative to the job file.")
    path = path.resolve()
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise JobFileInvalid(f"own.file {job.own.file} should be .csv or .parquet.")
    return path
