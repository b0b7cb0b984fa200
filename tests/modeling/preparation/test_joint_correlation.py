"""Correlation across parties against numpy, and what each of them sees of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import BudgetExceeded, CohortTooSmall, DataUnusable, PeerFailed, ProtocolViolation
from modeling.local import run_in_threads
from modeling.messages import Message
from modeling.preparation import joint_correlation
from modeling.preparation.joint_correlation import (
    PRODUCTS,
    READY,
    RESULT,
    START,
    SUMS,
    _scaled,
    _unit,
    answer,
    correlate,
)
from tests.modeling.transcripts import Sent, Transcript, recorded

ROWS = 600
CHI_SQUARE_LIMIT = 60.0
"""Of 15 degrees of freedom: beyond one in ten million."""


def table(rows: int = ROWS, widths: tuple[int, int] = (3, 2), seed: int = 1, missing: float = 0.1) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, sum(widths)))
    x += rng.normal(size=(rows, 1)) * rng.choice([-1, 1], sum(widths))
    x[rng.random(x.shape) < missing] = np.nan
    x *= 10.0 ** rng.integers(-8, 9, sum(widths))
    return x[:, : widths[0]], x[:, widths[0] :]


def plain(own: Any, theirs: Any) -> Any:
    """numpy's, of the columns filled with their means."""
    both = np.hstack([own, theirs])
    filled = np.where(np.isnan(both), np.nanmean(both, axis=0), both)
    return np.corrcoef(filled.T)[: own.shape[1], own.shape[1] :]


def run(own: Any, theirs: Any, **replaced: Any) -> tuple[Any, Any]:
    parties: dict[str, Callable[[Mapping[str, Channel]], Any]] = {
        "a": lambda channels: correlate(channels["p"], own),
        "p": lambda channels: answer(channels["a"], theirs),
    }
    found = run_in_threads(parties | replaced, deadline_s=30)
    return found["a"], found["p"]


@pytest.mark.parametrize(("rows", "widths"), [(ROWS, (3, 2)), (120, (1, 4)), (9000, (2, 1))])
def test_it_is_numpy_s_to_a_thousandth_at_both_parties(rows: int, widths: tuple[int, int]) -> None:
    own, theirs = table(rows, widths, missing=0.0 if rows < 200 else 0.1)
    mine, other = run(own, theirs)
    np.testing.assert_allclose(mine, plain(own, theirs), atol=0.00101)
    assert (mine == other).all() and np.abs(mine).max() > 0.3
    assert (mine == np.round(mine, 3)).all()


def test_the_same_column_and_its_negation_are_one_and_minus_one() -> None:
    own, _ = table(missing=0.2)
    found, _ = run(own, np.hstack([own[:, :1] * 7 - 3, -own[:, 1:2]]))
    assert found[0, 0] == pytest.approx(1, abs=0.001) and found[1, 1] == pytest.approx(-1, abs=0.001)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(100, 400), outlier=st.sampled_from([1.0, 1e6, 1e150, 1e308]))
def test_no_data_wraps_around(seed: int, rows: int, outlier: float) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 2))
    features[0] = [outlier, -outlier]
    features[rng.random(rows) < 0.1 * (rows > 200)] = np.nan
    columns = _scaled(features, 50)
    products = columns.T.astype(object) @ columns.astype(object)
    assert max(abs(int(value)) for value in products.ravel()) < bfv.PLAIN_MODULUS // 4
    np.testing.assert_allclose(products.diagonal().astype(float) / _unit(rows), 1.0, rtol=1e-3)


# -- what is seen


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    return recorded(monkeypatch).sent


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch) -> Transcript:
    return recorded(monkeypatch)


def chi_square(values: Any) -> float:
    counts = np.bincount(np.minimum(values // (bfv.PLAIN_MODULUS // 16), 15), minlength=16)
    return float(((counts - len(values) / 16) ** 2 / (len(values) / 16)).sum())


def test_what_the_active_party_decrypts_is_uniform(transcript: Transcript) -> None:
    run(*table())
    assert len(transcript.opened()) == 3 * 2
    for vector in transcript.opened():
        assert chi_square(vector) < CHI_SQUARE_LIMIT


def test_products_without_masks_would_be_noticed(transcript: Transcript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfv, "uniform", lambda count: np.zeros(count, np.int64))
    run(*table())
    assert max(map(chi_square, transcript.opened())) > CHI_SQUARE_LIMIT


def test_each_message_is_fresh_and_names_what_the_statement_names(sent: list[Sent]) -> None:
    own, theirs = table()
    for _ in range(2):
        run(own, theirs)
    blobs = [blob for _, _, message in sent for blob in message.blobs]
    assert len(blobs) == len(set(blobs)) == 2 * (1 + 3 + 6)
    told = {(party, name) for party, _, message in sent for name in (*message.fields, *message.arrays)}
    assert told == {("a", "rows"), ("a", "columns"), ("a", "sums"), ("p", "columns"), ("p", "thousandths")}


def test_what_the_passive_opens_hides_what_is_below_a_thousandth(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    opening = joint_correlation._opened

    def seen(sums: Any, masks: Any) -> Any:
        opened.append(np.array(opening(sums, masks), np.float64))
        return opening(sums, masks)

    monkeypatch.setattr(joint_correlation, "_opened", seen)
    own, theirs = table(widths=(10, 10))
    run(own, theirs)
    off = (opened[0] / _unit(ROWS) - plain(own, theirs)).ravel() * 1000
    assert np.abs(off).max() < 0.51
    assert np.histogram(off, bins=4, range=(-0.5, 0.5))[0].min() > 8, "uniform over the thousandth"


# -- what may not be


def bad_column(column: Any) -> Any:
    own, theirs = table()
    own = own.copy()
    own[:, 1] = column
    return own, theirs


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (np.full(ROWS, 3.7), DataUnusable),
        (np.full(ROWS, np.inf), DataUnusable),
        (np.where(np.arange(ROWS) < 99, np.arange(ROWS), np.nan), CohortTooSmall),
        (np.full(ROWS, np.nan), CohortTooSmall),
    ],
)
@pytest.mark.parametrize("party", ["a", "p"])
def test_unusable_columns_are_refused_before_anything_is_sent(
    column: Any, error: type[Exception], party: str, sent: list[Sent]
) -> None:
    bad, good = bad_column(column)
    with pytest.raises(error):
        run(*((bad, good) if party == "a" else (good, bad)))
    assert not [message for name, _, message in sent if name == party and message.kind != "failed"]


def test_more_pairs_than_a_quarter_of_the_rows_are_refused(sent: list[Sent]) -> None:
    with pytest.raises(BudgetExceeded, match="at most 30"):
        run(*table(120, (8, 4), missing=0.0))
    assert {message.kind for _, _, message in sent} == {START, "failed"}


@pytest.mark.parametrize("party", ["a", "p"])
def test_what_others_were_told_before_counts(party: str) -> None:
    own, theirs = table(120, (3, 2), missing=0.0)

    def told(many: int) -> dict[str, Any]:
        parties = {
            "a": lambda channels: correlate(channels["p"], own, told=many),
            "p": lambda channels: answer(channels["a"], theirs, told=many),
        }
        return {party: parties[party]}

    run(own, theirs, **told(24))
    with pytest.raises(BudgetExceeded, match="after 25 with others"):
        run(own, theirs, **told(25))


def test_parties_of_other_rows_do_not_begin() -> None:
    own, theirs = table()
    with pytest.raises(ProtocolViolation, match="rows"):
        run(own, theirs[:-1])


def changing(kind: str, change: Callable[[Message], Message], party: Any) -> Any:
    def changed(channels: Mapping[str, Channel]) -> Any:
        (channel,) = channels.values()
        send = channel.send
        channel.send = lambda message: send(change(message) if message.kind == kind else message)  # type: ignore[method-assign]
        return party(channel)

    return changed


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (READY, lambda m: replace(m, fields={"columns": 0})),
        (READY, lambda m: replace(m, fields={"columns": "two"})),
        (PRODUCTS, lambda m: replace(m, blobs=m.blobs[1:])),
        (PRODUCTS, lambda m: replace(m, blobs=(b"cipher", *m.blobs[1:]))),
        (PRODUCTS, lambda m: replace(m, blobs=(bfv.SecretKey().encrypt(bfv.uniform(bfv.SLOTS)), *m.blobs[1:]))),
        (RESULT, lambda m: replace(m, arrays={"thousandths": np.full((3, 2), 1001, np.int16)})),
        (RESULT, lambda m: replace(m, arrays={"thousandths": np.full((3, 2), -32768, np.int16)})),
        (RESULT, lambda m: replace(m, arrays={"thousandths": np.zeros((2, 3), np.int16)})),
    ],
)
def test_a_passive_that_lies_ends_it(kind: str, change: Any) -> None:
    own, theirs = table()
    with pytest.raises(ProtocolViolation):
        run(own, theirs, p=changing(kind, change, lambda channel: answer(channel, theirs)))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (START, lambda m: replace(m, blobs=())),
        (START, lambda m: replace(m, blobs=(b"key",))),
        (START, lambda m: replace(m, fields={"rows": ROWS, "columns": 0})),
        ("correlation-column", lambda m: replace(m, blobs=m.blobs * 2)),
        ("correlation-column", lambda m: replace(m, blobs=(b"cipher",))),
        (SUMS, lambda m: replace(m, arrays={"sums": np.full((3, 2), -1, np.int64)})),
        (SUMS, lambda m: replace(m, arrays={"sums": np.full((3, 2), bfv.PLAIN_MODULUS, np.int64)})),
        (SUMS, lambda m: replace(m, arrays={"sums": bfv.uniform(6).reshape(3, 2)})),
    ],
)
def test_an_active_that_lies_ends_it(kind: str, change: Any) -> None:
    own, theirs = table()
    with pytest.raises(ProtocolViolation):
        run(own, theirs, a=changing(kind, change, lambda channel: correlate(channel, own)))


def test_silence_ends_after_the_deadline() -> None:
    own, _ = table()
    parties: Any = {
        "a": lambda channels: correlate(channels["p"], own),
        "p": lambda channels: channels["a"].receive(START),
    }
    with pytest.raises(PeerFailed, match="said nothing"):
        run_in_threads(parties, deadline_s=0.3)
