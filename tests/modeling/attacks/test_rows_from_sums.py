"""Rows out of sums: the active party of boosting knows every gradient, and looks which few of them make a sum that a passive sends.

Sources: Weng et al., "Privacy leakage of real-world vertical federated learning", 2020 (reverse sum attack: sums of a passive's bins
give the order of its feature), here without any change of the gradients; Chamani, Papadopoulos, "Mitigating leakage in federated
learning with trusted hardware", 2020, for the sums of SecureBoost in general.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.gbdt import wire
from modeling.gbdt.gradients import seen, unpacked
from modeling.gbdt.settings import Settings, layout_for
from tests.modeling.gbdt.test_training import Cohort, key
from tests.modeling.transcripts import Transcript, recorded

ROWS = 62
SETTINGS = Settings(trees=1, depth=1, bins=ROWS - 2, min_rows=1, key_bits=2048)
"""A bin for each row, but the lowest and the highest value share theirs with their neighbours."""


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch) -> Transcript:
    return recorded(monkeypatch)


def cohort() -> Cohort:
    return Cohort(rows=ROWS, widths=(1, 1))  # of uneven weights: every row has a gradient of its own


def named(transcript: Transcript, given: Cohort, settings: Settings) -> set[int]:
    """Rows that the active party recognises as the one or two on a side of a candidate in the first node."""
    (message,) = transcript.of_kind(wire.SUMS, sender="p1")
    (count,) = (each.fields["candidates"] for each in transcript.of_kind(wire.READY, sender="p1"))
    target = given.target()
    rows = seen(settings, 0, 0, *target.gradients(np.full(ROWS, target.base)), np.zeros(ROWS, np.bool_))
    pair = key(settings.scheme)
    values = pair.decrypt(pair.public.from_wire(message.arrays["sums"]))
    g, _ = unpacked(values, count, layout_for(settings, ROWS), float(rows.h.sum()))
    pairs: Any = rows.g[:, None] + rows.g[None, :]
    found: set[int] = set()
    for side in (g, rows.g.sum() - g):
        for total in side[side != 0]:
            found |= set(np.flatnonzero(rows.g == total).tolist())
            one, other = np.nonzero(np.triu(pairs, 1) == total)
            found |= {*one.tolist(), *other.tolist()} if len(one) == 1 else set()
    return found


def extremes(given: Cohort) -> set[int]:
    """The four rows of the lowest and of the highest values: two bins of two rows each, a side's smallest sums."""
    order = np.argsort(given.parts[1][:, 0])
    return {*order[:2].tolist(), *order[-2:].tolist()}


def test_sums_of_many_rows_do_not_name_them(transcript: Transcript) -> None:
    """Reverse sums, where a side has ten rows at least.

    Seen by the active party: gradient sums of each candidate of the passive's column. Success: which enterprises have its lowest and
    highest values. Sums of fewer than ten rows are not told, and of ten rows no single row nor pair explains one.
    """
    given, settings = cohort(), msgspec.structs.replace(SETTINGS, min_rows=10)
    given.train(settings)
    assert not named(transcript, given, settings)


def test_sums_of_few_rows_name_them(transcript: Transcript) -> None:
    """The same where a side may have one row, as in `min_rows` of 1: declared for it, and a reason for a provider to ask for more."""
    given = cohort()
    given.train(SETTINGS)
    assert named(transcript, given, SETTINGS) >= extremes(given)
