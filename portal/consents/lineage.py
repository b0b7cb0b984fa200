"""Lineage: which joint computations and models an enterprise's data went into, read off its verified receipts. Pure.

Rules:
1. A receipt of a training's end, or of a score, states the commitment to the model; that is proved. Its name is the registry's.
2. A computation whose receipts state no model made none, or has not ended yet.
3. Refused uses went into nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consent.audit import PERMIT
from consent.audit_uses import VerifiedUse, model_of
from consent.documents import ExchangeMode
from portal.hub_link import KnownModel


@dataclass(frozen=True, kw_only=True)
class Involvement:
    """A model, or a joint computation without one (`commitment` empty). `jobs`: exchanges that trained it on this enterprise's data.

    `scores`: how often it scored this enterprise. `entries`: places in the usage log.
    """

    commitment: str
    model: KnownModel | None
    institutions: tuple[str, ...]
    jobs: tuple[str, ...]
    scores: int
    first_ms: int
    last_ms: int
    entries: tuple[int, ...]


def lineage(uses: Iterable[VerifiedUse], models: Iterable[KnownModel]) -> Sequence[Involvement]:
    """What the data went into, the newest first."""
    permitted = [each for each in uses if each.receipt.decision == PERMIT]
    modelled = {each.receipt.exchange_id: model for each in permitted if (model := model_of(each))}
    known = {each.version.commitment: each for each in models}
    together: dict[tuple[str, str], list[VerifiedUse]] = {}
    for each in permitted:
        told = each.receipt
        if told.mode in {ExchangeMode.JOINT, ExchangeMode.SCORE}:
            model = model_of(each) or modelled.get(told.exchange_id, "")
            together.setdefault((model, "" if model else told.exchange_id), []).append(each)
    found = [_involvement(model, members, known.get(model)) for (model, _), members in together.items()]
    return sorted(found, key=lambda each: each.last_ms, reverse=True)


def _involvement(commitment: str, uses: Sequence[VerifiedUse], model: KnownModel | None) -> Involvement:
    times = [each.receipt.time_ms for each in uses]
    trained = [each.receipt.exchange_id for each in uses if each.receipt.mode is ExchangeMode.JOINT]
    scored = {
        (each.receipt.exchange_id, each.receipt.request_no) for each in uses if each.receipt.mode is ExchangeMode.SCORE
    }
    return Involvement(
        commitment=commitment,
        model=model,
        institutions=tuple(dict.fromkeys(each.receipt.institution for each in uses)),
        jobs=tuple(dict.fromkeys(trained)),
        scores=len(scored),
        first_ms=min(times),
        last_ms=max(times),
        entries=tuple(sorted(each.log_index for each in uses)),
    )
