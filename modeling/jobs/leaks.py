"""What each party learns from a job, in words for a risk officer. The exact statements stand with the protocols (docs/protocols.md)."""

from __future__ import annotations

from typing import Final

import msgspec

from modeling.jobs.plan import Algorithm


class Leak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one party learns beside its own part of the model."""

    party: str
    learns: tuple[str, ...]


_HUB: Final = Leak(
    party="hub",
    learns=(
        "Who trains with whom, for which purpose and with which items; when, and how many bytes pass. What passes is encrypted "
        "between the nodes.",
        "The commitment to the model, and a commitment to the enterprises that were in it.",
    ),
)
_COHORT_BANK: Final = (
    "Which of the enterprises that consented each provider lets in; not for which of them it has a record."
)
_COHORT_PROVIDER: Final = (
    "Which of its consents are in the job; no label, and not for whom the bank has one or a record."
)
_LOGISTIC_BANK: Final = (
    "Nothing of a provider's features, coefficients or single predictors in training: shares and masked sums are uniformly random.",
    "When a provider has settled, and how many columns it has.",
)
_LOGISTIC_PROVIDER: Final = (
    "Its own coefficients, and its own gradient in each step: the number of these equations is kept below a quarter of the rows.",
    "The number of steps and the bank's number of columns; no label, no coefficient, no score.",
)
_BOOSTING_BANK: Final = (
    "For each node of a tree the sums of its own gradients left of each candidate split of a provider, in an order that says nothing "
    "of feature or threshold; sums over few rows are left out.",
    "Which enterprises go left at a split of a provider that it chose; how many candidate splits a provider has.",
    "For each test enterprise, on which side of each split of a provider it stands.",
)
_BOOSTING_PROVIDER: Final = (
    "Which enterprises are together in a node of a tree, whoever parted them, and how many trees there are; gradients are encrypted.",
    "Its own splits: feature and threshold. No label, no gradient, no leaf weight, no score.",
)


def statement(algorithm: Algorithm, bank: str, providers: tuple[str, ...], *, rows_scored: int) -> tuple[Leak, ...]:
    """For every party of this very run, the hub included."""
    if algorithm == "logistic":
        scored = (
            f"The sum of the providers' parts of the score of each of {rows_scored:,} test enterprises"
            if len(providers) > 1
            else f"The provider's part of the score of each of {rows_scored:,} test enterprises: one number each, of unknown weights"
        )
        bank_learns, provider_learns = (*_LOGISTIC_BANK, f"{scored}."), _LOGISTIC_PROVIDER
    else:
        bank_learns, provider_learns = _BOOSTING_BANK, _BOOSTING_PROVIDER
    return (
        Leak(party=bank, learns=(_COHORT_BANK, *bank_learns)),
        *(Leak(party=name, learns=(_COHORT_PROVIDER, *provider_learns)) for name in providers),
        _HUB,
    )
