"""What two agents say to each other in a joint exchange, beside the messages of their parties.

A → P  Proposal, then a token for each row    what is to be trained, on which rows
P → A  Cohort, then which rows and their salts    decided by P on its own consents; both write a receipt over the same subjects
A → P  Begin        both start their party's process; from here on data frames carry the parties' messages
P → A  PartMade     P's process has its part of the model
A → P  ModelMade    the model's commitment; both write a second receipt, over the subjects that stayed to the end
P → A  Done
Broken              either: this attempt is over; A begins another from the last checkpoints, or gives up
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from consent.documents import Sm3Hex, Uuid
from modeling.jobs.plan import Algorithm, JobPlan, SelectionRules
from modeling.jobs.table import Aggregate
from modeling.preparation.columns import Rule
from nodes.errors import ExchangeFailed

MAX_ROWS: Final = 20_000_000
MAX_FIELDS: Final = 1000
"""Of one item."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_ROWS)]
_Attempt = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
"""Counts up; begins at the second at which the bank's node began, so that no number comes twice."""
_Place = Annotated[int, msgspec.Meta(ge=1, le=4)]
_Text = Annotated[str, msgspec.Meta(max_length=500)]


class ItemColumns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of one item that are features, and how each is prepared (None: by its kind)."""

    item_id: str
    fields: Annotated[dict[str, Rule | None], msgspec.Meta(min_length=1, max_length=MAX_FIELDS)]
    aggregate: Aggregate = "latest"


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="say"):
    """Anything that is said."""


class Proposal(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="proposal"):
    """`settings`: of the algorithm. `training`: so many of the `rows` train."""

    job: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    algorithm: Algorithm
    settings: dict[str, Any]
    items: Annotated[tuple[ItemColumns, ...], msgspec.Meta(min_length=1, max_length=100)]
    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
    training: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
    parties: Annotated[int, msgspec.Meta(ge=2, le=5)]
    selection: SelectionRules | None = None


def plan_of(proposal: Proposal) -> JobPlan:
    """The job as the provider's party knows it; columns are `item.field`. Raises ExchangeFailed for settings that there are not."""
    columns = {f"{item.item_id}.{name}": rule for item in proposal.items for name, rule in item.fields.items()}
    told = {
        "job": proposal.job,
        "algorithm": proposal.algorithm,
        proposal.algorithm: proposal.settings,
        "rows": proposal.rows,
        "training": proposal.training,
        "columns": msgspec.to_builtins(columns),
        "selection": msgspec.to_builtins(proposal.selection),
    }
    try:
        return msgspec.convert(told, JobPlan)
    except msgspec.ValidationError as error:
        raise ExchangeFailed(f"The proposed job cannot be read: {error}", code="JOB_INVALID") from error


class Cohort(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cohort"):
    """How many rows P takes part in; the root over their subjects; why others are not in it."""

    permitted: _Count
    batch_root: Sm3Hex
    receipt_id: Uuid
    refused: dict[str, int]


class Begin(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="begin"):
    """`place`: P's place among the passives, which names its party. `others`: nodes of those that P talks to, by their places."""

    attempt: _Attempt
    place: _Place
    others: Annotated[dict[_Place, _Text], msgspec.Meta(max_length=3)] = {}

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.place in self.others:
            raise ValueError("a party has a place of its own")


class Broken(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="broken"):
    """`again`: whether another attempt may help."""

    attempt: _Attempt
    code: _Text
    message: _Text
    again: bool


class PartMade(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="part"):
    """The commitment to P's part: SM3 over a salt and the part."""

    attempt: _Attempt
    commitment: Sm3Hex


class ModelMade(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="model"):
    """The model's commitment; the rows that left on the way; the root over the subjects that stayed."""

    commitment: Sm3Hex
    withdrawn: tuple[_Count, ...]
    batch_root: Sm3Hex


class Done(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="done"):
    """P keeps its part."""

    receipt_id: Uuid


Said = Proposal | Cohort | Begin | Broken | PartMade | ModelMade | Done

_DECODER = msgspec.json.Decoder(Said)


def decode(payload: bytes) -> Said:
    """Read the payload of a frame of type JOINT. Raises ExchangeFailed."""
    try:
        found: Said = _DECODER.decode(payload)
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExchangeFailed(
            f"The other node sent a malformed message of joint modelling ({error}); check that both nodes run the same version."
        ) from error
