"""What two agents say to each other in a comparison of sets, beside the messages of their parties.

A → P  Proposal     what is to be compared
P → A  Agreed       by a rule of P's; P has recorded it, and now A does
A → P  Begin        both start their party's process
P → A  Settled, then a salt for each common row    which rows: P has recorded them and A can record the same
P → A  Done         P has its result
A → P  Done         and A; only now the exchange may end
Broken              either: it is over
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from consent.documents import ShortText, Sm3Hex, Uuid
from modeling.psi.store import MAX_ROWS
from nodes.errors import ExchangeFailed

ACTIVE: Final = "active"
SALT_BYTES: Final = 16
Keep = Literal["all", "any"]

MOST_MINIMUM: Final = 1_000_000
_Minimum = Annotated[int, msgspec.Meta(ge=1, le=MOST_MINIMUM)]


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="say"):
    """Anything that is said."""


class Proposal(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="proposal"):
    """`place`: P's among the providers, which names its party. `keep`: rows that all have, or any (`modeling.psi.align`)."""

    run: Uuid
    place: Annotated[int, msgspec.Meta(ge=1, le=4)]
    keep: Keep


class Agreed(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="agreed"):
    """P takes part, by its rule."""

    minimum: _Minimum
    legal_basis: ShortText


class Begin(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="begin"):
    """`minimum`: the largest that any party asks for."""

    minimum: _Minimum


class Settled(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="settled"):
    """P has a receipt over the common subjects: their number, the root over them."""

    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
    batch_root: Sm3Hex


class Broken(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="broken"):
    """A code; the sentence stays where it may name something."""

    code: ShortText


class Done(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="done"):
    """Who says it has its result."""


Said = Proposal | Agreed | Begin | Settled | Broken | Done

_DECODER = msgspec.json.Decoder(Said)


def party_at(place: int) -> str:
    """What the provider at a place is called in the protocols."""
    return f"p{place}"


def decode(payload: bytes) -> Said:
    """Read the payload of a frame of type JOINT. Raises ExchangeFailed."""
    try:
        found: Said = _DECODER.decode(payload)
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExchangeFailed(
            f"The other node sent a malformed message of a comparison ({error}); check that both nodes run the same version."
        ) from error


def out_of_turn(said: object) -> ExchangeFailed:
    """An error for a message that was not due."""
    return ExchangeFailed(
        f"The other node said {type(said).__name__} where something else was due.", code="PROTOCOL_VIOLATION"
    )


def ended_by(said: Said) -> ExchangeFailed:
    """An error for what the other node said in place of what was due: how it ended the comparison, or anything else."""
    if not isinstance(said, Broken):
        return out_of_turn(said)
    told = "fewer enterprises are common than a result may be about" if said.code == "COHORT_TOO_SMALL" else said.code
    return ExchangeFailed(f"The comparison was ended: {told}.", code=said.code)
