"""Alignment of several parties: every party's row is the same subject, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeling.channel import Channel
from modeling.errors import CohortTooSmall, ProtocolViolation
from modeling.executor import Processes
from modeling.local import Party, run_in_threads
from modeling.messages import Message
from modeling.psi.align import align_active, align_passive
from modeling.psi.intersection import Terms

TERMS = Terms(exchange="job", minimum=10)
INPUT = {"a": range(200), "p": range(50, 300), "q": range(399, 99, -1)}
IDS = {name: [f"id-{n}" for n in numbers] for name, numbers in INPUT.items()}


def parties(folder: Path, keep: Any, terms: Terms = TERMS, ids: Mapping[str, list[str]] = IDS) -> dict[str, Party[Any]]:
    def active(channels: Mapping[str, Channel]) -> Any:
        return align_active(channels, ids["a"], terms, folder=folder, executor=Processes(0), keep=keep)

    def passive(name: str) -> Party[Any]:
        def run(channels: Mapping[str, Channel]) -> Any:
            return align_passive(channels["a"], name, ids[name], terms, folder=folder, executor=Processes(0), keep=keep)

        return run

    return {"a": active, "p": passive("p"), "q": passive("q")}


def subjects(name: str, rows: Any) -> list[str | None]:
    return [IDS[name][row] if row >= 0 else None for row in rows]


def test_rows_that_all_have_stand_in_one_order(tmp_path: Path) -> None:
    told = run_in_threads(parties(tmp_path, "all"))
    a, p, q = (subjects(name, told[name]) for name in "apq")
    assert a == p == q
    assert set(a) == {f"id-{n}" for n in range(100, 200)}
    assert a != sorted(a, key=str)


def test_rows_that_any_has_are_blank_where_a_party_has_none(tmp_path: Path) -> None:
    told = run_in_threads(parties(tmp_path, "any"))
    a, p, q = (subjects(name, told[name]) for name in "apq")
    assert set(a) == {f"id-{n}" for n in range(50, 200)}
    assert p == a
    assert q == [each if int(str(each)[3:]) >= 100 else None for each in a]


def test_every_party_is_told_what_each_pair_has_in_common(tmp_path: Path) -> None:
    told: dict[tuple[str, str], list[int]] = {}

    def active(channels: Mapping[str, Channel]) -> Any:
        def known(name: str, rows: Any) -> None:
            told["a", name] = rows.tolist()

        return align_active(channels, IDS["a"], TERMS, folder=tmp_path, executor=Processes(0), known=known)

    def passive(name: str) -> Party[Any]:
        def known(rows: Any) -> None:
            told[name, "a"] = rows.tolist()

        def run(channels: Mapping[str, Channel]) -> Any:
            channel = channels["a"]
            return align_passive(channel, name, IDS[name], TERMS, folder=tmp_path, executor=Processes(0), known=known)

        return run

    run_in_threads({"a": active, "p": passive("p"), "q": passive("q")})
    for name in "pq":
        assert subjects("a", told["a", name]) == [IDS[name][row] for row in told[name, "a"]]
        assert set(subjects("a", told["a", name])) == set(IDS["a"]) & set(IDS[name])


def test_too_few_rows_in_all_are_refused_at_every_party(tmp_path: Path) -> None:
    ids = {"a": IDS["a"], "p": IDS["a"][:60], "q": IDS["a"][55:]}
    ended: dict[str, Exception] = {}

    def kept(name: str, inner: Party[Any]) -> Party[Any]:
        def run(channels: Mapping[str, Channel]) -> None:
            try:
                inner(channels)
            except CohortTooSmall as error:
                ended[name] = error

        return run

    run_in_threads({name: kept(name, inner) for name, inner in parties(tmp_path, "all", ids=ids).items()})
    assert set(ended) == {"a", "p", "q"}


def places(change: Callable[[Any], Any]) -> Callable[[Message], Message]:
    return lambda m: Message(kind=m.kind, fields=m.fields, arrays={"places": change(m.arrays["places"])})


@pytest.mark.parametrize(
    "change",
    [
        lambda m: Message(kind=m.kind, fields={**m.fields, "rows": -5}),
        lambda m: Message(kind=m.kind, fields={**m.fields, "rows": 1 << 40}, arrays=m.arrays),
        lambda m: Message(kind=m.kind, fields={**m.fields, "keep": "any"}, arrays=m.arrays),
        lambda m: Message(kind=m.kind, fields=m.fields),
        places(lambda v: v[1:]),
        places(lambda v: np.full_like(v, 3)),
        places(lambda v: np.full_like(v, -7)),
        places(lambda v: v + 1),
        places(lambda v: np.where(v == 0, -1, v)),
    ],
)
def test_an_active_party_that_aligns_nonsense_is_told_of(tmp_path: Path, change: Callable[[Message], Message]) -> None:
    sides = parties(tmp_path, "all")
    honest = sides["a"]

    def bad(channels: Mapping[str, Channel]) -> Any:
        channel = channels["p"]
        send = channel.send
        channel.send = lambda m: send(change(m) if m.kind == "psi.order" else m)  # type: ignore[method-assign]
        return honest(channels)

    with pytest.raises(ProtocolViolation):
        run_in_threads({**sides, "a": bad}, deadline_s=20)
