"""What each party learns from a job, in words for a risk officer. The exact statements stand with the protocols (docs/protocols.md)."""

from __future__ import annotations

from typing import Final

import msgspec

from modeling.jobs.plan import Algorithm, SelectionRules, passives_talk


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
_LEFT_BANK: Final = "Which enterprises left while it ran, and at which provider."
_LEFT_PROVIDER: Final = (
    "Which of the job's rows left while it ran, not whose consent ended; how many parties there are."
)
_NODES: Final = "The other providers' nodes: with these it talks too, sealed, through the bank."
_LOGISTIC_BANK: Final = (
    "Nothing of a provider's features, coefficients, gradients or single predictors in training: shares and masked sums are random.",
    "How its columns and each provider's move together, in directions that only their owners know; how many columns a provider has; "
    "by how much each step changed the model.",
)
_LOGISTIC_PROVIDER: Final = (
    "Its own coefficients, once, at the end: an equation for each of its columns, kept below a sixteenth of the rows. No gradient.",
    "The first provider: how all parties' columns move together, in directions that only their owners know.",
    "The number of steps and everybody's number of columns; no label, no coefficient of others, no score.",
)
_BOOSTING_BANK: Final = (
    "For each node of a tree the sums of its own gradients left of each candidate split of a provider, in an order that says nothing "
    "of feature or threshold; sums over fewer rows than the job's `min_rows` are left out.",
    "Which enterprises go left at a split of a provider that it chose; how many candidate splits a provider has.",
)
_BOOSTING_SCORED: Final = "For each test enterprise, on which side of each split of a provider it stands."
_BOOSTING_PROVIDER: Final = (
    "Which enterprises are together in a node of a tree, whoever parted them, and how many trees there are; gradients are encrypted.",
    "Its own splits: feature and threshold. No label, no gradient, no leaf weight, no score.",
)
_LEARNS: Final[dict[Algorithm, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "logistic": (_LOGISTIC_BANK, _LOGISTIC_PROVIDER),
    "boosting": (_BOOSTING_BANK, _BOOSTING_PROVIDER),
}
_COUNTS_BANK: Final = (
    "For each bin of a provider's columns, in an order that says nothing of column or value, how many training rows and how many "
    "defaults it holds: not for fewer than 20 rows."
)
_COUNTS_PROVIDER: Final = (
    "How many training rows with a label, and how many defaults, each bin of its columns holds: their weight of evidence and "
    "information value."
)
_CORRELATIONS: Final = (
    "How strongly each of its columns that it would keep moves with each one of the other side, to a thousandth."
)
_CORRELATIONS_OF_ALL: Final = (
    "How strongly each of its columns that it would keep moves with each one of every other party, to a thousandth, and how many "
    "columns each would keep."
)
_SAME_BANK: Final = "How many columns each provider leaves out because they say the same as another provider's."


def statement(
    algorithm: Algorithm,
    bank: str,
    providers: tuple[str, ...],
    *,
    rows_scored: int,
    selection: SelectionRules | None = None,
) -> tuple[Leak, ...]:
    """For every party of this very run, the hub included. `rows_scored`: none if the model was trained only."""
    bank_counts, provider_counts = _counts(selection, len(providers))
    left = (_LEFT_PROVIDER, _NODES) if passives_talk(algorithm, selection, len(providers)) else (_LEFT_PROVIDER,)
    if algorithm == "logistic":
        scored = (
            f"The sum of the providers' parts of the score of each of {rows_scored:,} test enterprises."
            if len(providers) > 1
            else f"The provider's part of the score of each of {rows_scored:,} test enterprises: one number each, of unknown weights."
        )
    else:
        scored = _BOOSTING_SCORED
    bank_learns, provider_learns = _LEARNS[algorithm]
    scores_learn = (scored,) if rows_scored else ()
    return (
        Leak(party=bank, learns=(_COHORT_BANK, *bank_counts, *bank_learns, *scores_learn, _LEFT_BANK)),
        *(Leak(party=name, learns=(_COHORT_PROVIDER, *provider_counts, *provider_learns, *left)) for name in providers),
        _HUB,
    )


def _counts(selection: SelectionRules | None, providers: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the choice of columns tells bank and provider."""
    if selection is None:
        return (), ()
    if not selection.across:
        return (_COUNTS_BANK,), (_COUNTS_PROVIDER,)
    if providers == 1:
        return (_COUNTS_BANK, _CORRELATIONS), (_COUNTS_PROVIDER, _CORRELATIONS)
    return (_COUNTS_BANK, _CORRELATIONS, _SAME_BANK), (_COUNTS_PROVIDER, _CORRELATIONS_OF_ALL)
