"""How a party of a training waits: it makes the masks of a step meanwhile, and no more than these."""

from __future__ import annotations

import pytest

from modeling import bfv
from modeling.channel import memory_pair
from modeling.errors import ProtocolViolation
from modeling.logistic import wire
from modeling.logistic.group import Group

ROWS = 5000


@pytest.fixture(scope="module")
def key() -> bfv.SecretKey:
    return bfv.SecretKey()


@pytest.mark.parametrize(("own", "holders", "answers"), [("a", {"p1"}, 6), ("p1", {"a"}, 6), ("p2", {"a", "p1"}, 3)])
def test_who_waits_makes_the_masks_of_a_step_until_something_comes(
    own: str, holders: set[str], answers: int, key: bfv.SecretKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To each holder of shares two blocks of rows and one of columns; who computes answers residuals, bits and a change besides."""
    others = [name for name in ("a", "p1", "p2") if name != own]
    ends = {name: memory_pair(own, name, 5.0) for name in others}
    keys = {name: bfv.PublicKey(key.public) for name in others}
    group = Group(
        rows=ROWS,
        own=own,
        names=("a", "p1", "p2"),
        widths=(2, 2, 2),
        channels={name: end for name, (end, _) in ends.items()},
        key=key,
        keys=keys,
    )
    made: list[bfv.PublicKey] = []
    fresh = bfv.PublicKey._fresh

    def noted(holder: bfv.PublicKey) -> object:
        made.append(holder)
        assert len(made) < 20
        return fresh(holder)

    monkeypatch.setattr(bfv.PublicKey, "_fresh", noted)
    group.wait(others[0])
    counts = {name: made.count(keys[name]) for name in others}
    assert {name for name, count in counts.items() if count} == holders
    assert {counts[name] for name in holders} == {answers}
    made.clear()
    other = ends[others[0]][1]
    wire.send_blobs(other, wire.SHARES, [b"one", b"two"])
    assert group.receive(others[0], wire.SHARES, 2) == (b"one", b"two") and not made
    wire.send_blobs(other, wire.SHARES, [b"one"])
    with pytest.raises(ProtocolViolation, match="1 ciphertexts"):
        group.receive(others[0], wire.SHARES, 2)
