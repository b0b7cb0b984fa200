"""What two agents say to each other in an exchange of scoring.

A → P  Open      which model, the preparation of P's columns; with it the bank's public key, the encrypted weights, and its signed
                 word on them (none if joint)
P ↔ P  Sealed    through A, which cannot read it: the two providers of a pair agree on a seed of masks
P → A  Opened    keys and weights are loaded; P and the other providers share their seeds
A → P  Ask       some rows, each named by the consent that covers it at P
P → A  Answer    which rows P permits and why not the others, what P recorded, and the masked parts of the score
P → A  Declined  of one request or of the opening: why there is no answer
A → P  Leave     the session is over; P forgets its keys

A message may bring blobs of bytes; they follow as data frames, and nothing comes between. A *session* is one opening: keys, weights and
seeds live as long as it. A row whose permission is missing at any provider never opens: there its part is hidden by a mask that
nobody takes away. Nor does a row that names different enterprises to different providers: the masks of a pair depend on who it is.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from consent.documents import Sm3Hex, Uuid
from nodes.errors import ExchangeFailed

MAX_ROWS: Final = 65_536
"""Of one request."""
MAX_BYTES: Final = 512 << 20
"""Of the blobs of one message."""
CONSENT_BYTES: Final = 16
SEED_BYTES: Final = 32

Layout = Literal["tiled", "columns", "plain"]
"""How parts of scores come: some rows in one ciphertext, many rows a ciphertext, masked numbers (a joint logistic model)."""

_Session = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Place = Annotated[int, msgspec.Meta(ge=1, le=4)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=(1 << 53))]
_Rows = Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
_Code = Annotated[str, msgspec.Meta(max_length=60)]
_Text = Annotated[str, msgspec.Meta(max_length=1000)]


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="say"):
    """Anything that is said in a session. `sizes`: of the blobs that follow."""

    session: _Session
    sizes: tuple[Annotated[int, msgspec.Meta(ge=0, le=MAX_BYTES)], ...] = ()


class Open(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="open"):
    """Blobs of a linear model: the preparation, the public key, the encrypted weights, the signed word on these (`evidence`).

    `others`: other providers' nodes by place.
    """

    model_id: Uuid
    model_sm3: Sm3Hex
    place: _Place
    others: dict[_Place, _Code]


class Sealed(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sealed"):
    """A frame between two providers (the blob). To A `place` is where it goes, from A where it comes from."""

    place: _Place


class Opened(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="opened"):
    """P is ready."""


class Ask(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ask"):
    """Blob: the consents, 16 bytes a row. `single`: one enterprise by itself, with a receipt of its own.

    `request_no` ascends and comes once in an exchange; a question that is asked again keeps its `request_key`.
    """

    layout: Layout
    request_no: _Number
    request_key: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    rows: _Rows
    single: bool


class Answer(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="answer"):
    """Blobs: uint8[rows], 0 where permitted, else the place in `reasons` from 1; the 32-byte seed of the salts; then the parts.

    `reasons`: code and sentence. `receipt_id`, `root`, `recorded_no`: of what P recorded when it was asked first, with that request's
    number; the root is empty for a single row.
    """

    request_no: _Number
    recorded_no: _Number
    reasons: tuple[tuple[_Code, _Text], ...]
    receipt_id: Uuid
    root: str


class Declined(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="declined"):
    """`request_no` 0: the opening. `again`: the session is lost, a new one may do."""

    request_no: Annotated[int, msgspec.Meta(ge=0, le=(1 << 53))]
    code: _Code
    message: _Text
    reason: _Code = ""
    again: bool = False


class Leave(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="leave"):
    """A is done with the session."""


Said = Open | Sealed | Opened | Ask | Answer | Declined | Leave
_DECODER: Final = msgspec.json.Decoder(Said)


def decode(payload: bytes) -> Said:
    """Raises ExchangeFailed."""
    try:
        said: Said = _DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExchangeFailed(
            f"The other node said something malformed ({error}). Check that both nodes run the same version."
        ) from error
    if sum(said.sizes) > MAX_BYTES or len(said.sizes) > 4096:
        raise ExchangeFailed(
            "The other node announced more bytes than one message may bring.", code="PROTOCOL_VIOLATION"
        )
    return said
