"""What a batch costs and tells, before it begins: nothing leaves this node for it."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from typing import Final

import msgspec

from consent.model_state import Model
from nodes.exchanges.context import ExchangeContext
from nodes.models.registry import Registry
from nodes.scoring.batch import BLOCK, choose_slowly
from nodes.scoring.batch_files import BatchRequest, read_batch
from nodes.scoring.computer import Computer
from nodes.scoring.recipe import recipe_of
from nodes.scoring.scores import require_asker
from nodes.scoring.work import Drop

ANSWER_BYTES: Final = 131_200
"""Of a block of a linear model: one ciphertext after its modulus was switched down."""
SENT_BYTES: Final = 131_200
"""Of a column that travels encrypted, a block of it."""
PLAIN_BYTES: Final = 8
ROW_BYTES: Final = 16 + 1 + 16
"""Of a row: the consent that names it, its code, the consent that was used."""
BLOCK_S: Final = 0.9
"""Seconds a block on the reference machine, most of them for decisions and records; providers work side by side."""


class LeakTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a party learns, in words."""

    to: str
    what: str


class ScorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """`permitted`: enterprises whose consents, as this node knows them, cover the model at every provider; the others by reason."""

    model: str
    version: int
    mode: str
    providers: tuple[str, ...]
    subjects: int
    permitted: int
    refused: dict[str, int]
    blocks: int
    bytes: int
    seconds: float
    error_bound: float
    leaks: tuple[LeakTold, ...]


_HUB: Final = LeakTold(
    to="hub", what="who exchanges with whom, when, and how many bytes; no number, no enterprise, no column"
)


_ALONE: Final = "of each enterprise that it permits, what the provider's columns count for in all"
_SUM: Final = "of each enterprise that every provider permits, the sum of what the providers' columns count for, and no part of it"
_READ: Final = (
    "which of its columns the model reads, that they were scored for which of its enterprises and when; no weight"
)
_USED: Final = "that its part of the model was used, for which of its enterprises and when"
_OF_KIND: Final[dict[tuple[str, bool], tuple[str, str]]] = {
    ("linear", False): (_ALONE, _READ),
    ("linear", True): (_SUM, _READ),
    ("joint_logistic", False): (_ALONE, _USED),
    ("joint_logistic", True): (_SUM, _USED),
    ("joint_boosting", False): (
        "of each enterprise that it permits, the score, and no side of any split",
        f"{_USED}; once, which of its splits share a path",
    ),
    ("joint_boosting", True): (
        "of each enterprise that every provider permits, on which side of each split of each provider it lies, without thresholds and "
        "columns (docs/adr/0010)",
        _USED,
    ),
}
"""To the owner and to a provider, by kind and whether there are several providers."""


async def plan_batch(
    context: ExchangeContext, registry: Registry, computer: Computer, request: BatchRequest
) -> ScorePlan:
    """Raises NodeError, ModelingError: a model whose precision does not do is refused here."""
    model = registry.usable(request.model_id)
    require_asker(context, model)
    recipe = recipe_of(model, registry, computer)
    subjects, _, _ = await asyncio.to_thread(read_batch, request, recipe)
    chosen = await choose_slowly(context, model, subjects)
    session = secrets.token_hex(16)
    begun = await recipe.begin(session)
    await computer.do(Drop(session=session))
    blocks, providers = -(-len(subjects) // BLOCK), len(model.version.parts)
    answer = ANSWER_BYTES if model.version.kind == "linear" else PLAIN_BYTES * BLOCK
    opening = sum(len(blob) for each in begun.blobs.values() for blob in each)
    refused = Counter(each.code for each in chosen.refused.values())
    return ScorePlan(
        model=model.version.name,
        version=model.version.version,
        mode=model.version.mode,
        providers=model.version.providers,
        subjects=len(subjects),
        permitted=len(chosen.subjects),
        refused=dict(refused.most_common()),
        blocks=blocks,
        bytes=opening
        + blocks * begun.sent * SENT_BYTES
        + providers * (blocks * answer + len(chosen.subjects) * ROW_BYTES),
        seconds=round(blocks * BLOCK_S, 1),
        error_bound=begun.bound,
        leaks=leaks_of(model),
    )


def leaks_of(model: Model) -> tuple[LeakTold, ...]:
    """The leak statement of the model's mode (docs/scoring.md)."""
    version = model.version
    if version.mode == "data_to_model":
        return (
            LeakTold(
                to="this node",
                what="the score of each enterprise that the owner permits, and why not the others; from scores of chosen columns, if "
                "the owner allows more of them than the model has, the model itself, and what the owner's columns count for",
            ),
            LeakTold(to=version.owner, what="which of its enterprises are scored, and when; no value, no score"),
            LeakTold(to="hub", what=f"{_HUB.what} but what the registry says the model is sent"),
        )
    to_owner, to_provider = _OF_KIND[version.kind, len(version.parts) > 1]
    return (
        LeakTold(to=version.owner, what=to_owner + "; which enterprises a provider refuses, and why"),
        *(LeakTold(to=each, what=to_provider) for each in version.providers),
        _HUB,
    )
