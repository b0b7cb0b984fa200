"""One contract for every executor, and the heavy maps of the protocols on each: a death is survived once, an error told as it is."""

from __future__ import annotations

import importlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from modeling import bfv
from modeling.additive import SecretKey
from modeling.additive_rows import encrypted
from modeling.channel import Channel
from modeling.errors import ProtocolViolation, WorkersFailed
from modeling.executor import AHEAD, Executor, Processes, executor_at
from modeling.gbdt import active, passive, row_sums
from modeling.gbdt.features import binned
from modeling.gbdt.gradients import Target
from modeling.gbdt.settings import Settings
from modeling.local import run_in_threads
from modeling.logistic import active as logistic_active
from modeling.logistic import grid_sums
from modeling.logistic import passive as logistic_passive
from modeling.logistic.layout import Layout
from modeling.logistic.own import Columns
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.preparation import joint_bins
from modeling.psi import intersection
from modeling.psi.group import tagged
from modeling.psi.intersection import Terms, intersect
from tests.modeling.ray_cluster import RayCluster, ray_cluster

WORK = """
import os, pathlib, signal, time

def doubled(chunk):
    return chunk * 2

def dies_once(mark, chunk):
    if chunk == b"3" and not pathlib.Path(mark).exists():
        pathlib.Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk * 2

def dies(chunk):
    os.kill(os.getpid(), signal.SIGKILL)

def sleeps(chunk):
    time.sleep(60)

def threads(chunk):
    return os.environ["YACL_NUM_THREADS"].encode()
"""
CHUNKS = [str(n).encode() for n in range(20)]
WORKERS = 2


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A module that workers find by its name, as they do not find a module of tests."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "work_of_workers.py").write_text(WORK)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("work_of_workers")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def cluster(work: ModuleType) -> Iterator[RayCluster]:
    assert work.__file__ is not None
    with ray_cluster(Path(work.__file__).parent) as cluster:
        cluster.start((WORKERS,))
        yield cluster


@pytest.fixture(scope="module", params=["caller", "processes", "ray"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "ray":
        with executor_at(request.getfixturevalue("cluster").address) as executor:
            yield executor
    else:
        with Processes(0 if request.param == "caller" else WORKERS) as processes:
            yield processes


with_workers = pytest.mark.parametrize("executor", ["processes", "ray"], indirect=True)
"""Where workers may die, and where the whole of a training is worth its time."""
on_ray = pytest.mark.parametrize("executor", ["ray"], indirect=True)


def test_it_is_a_map_in_order(executor: Executor, work: ModuleType) -> None:
    assert list(executor.map(work.doubled, CHUNKS)) == [chunk * 2 for chunk in CHUNKS]
    assert list(executor.map(work.doubled, [])) == []


def test_it_takes_no_more_chunks_than_it_needs_to_keep_its_workers_busy(executor: Executor, work: ModuleType) -> None:
    taken: list[bytes] = []
    found = executor.map(work.doubled, (taken.append(chunk) or chunk for chunk in CHUNKS))  # type: ignore[func-returns-value]
    assert next(found) == CHUNKS[0] * 2
    assert len(taken) <= AHEAD * WORKERS
    found.close()  # type: ignore[attr-defined]
    assert list(executor.map(work.doubled, CHUNKS[:2])) == [chunk * 2 for chunk in CHUNKS[:2]]


@with_workers
def test_a_worker_that_dies_is_replaced(executor: Executor, work: ModuleType, tmp_path: Path) -> None:
    told = list(executor.map(partial(work.dies_once, str(tmp_path / "mark")), CHUNKS))
    assert (tmp_path / "mark").exists()
    assert told == [chunk * 2 for chunk in CHUNKS]
    assert list(executor.map(work.doubled, CHUNKS)) == told


@with_workers
def test_workers_that_die_again_are_told_of(executor: Executor, work: ModuleType) -> None:
    with pytest.raises(WorkersFailed, match="twice"):
        list(executor.map(work.dies, CHUNKS[:1]))
    assert list(executor.map(work.doubled, CHUNKS[:1])) == [CHUNKS[0] * 2]


@with_workers
def test_a_library_in_a_worker_has_one_thread(executor: Executor, work: ModuleType) -> None:
    assert set(executor.map(work.threads, CHUNKS[:3])) == {b"1"}


def test_an_error_of_a_worker_comes_home_as_it_was(executor: Executor) -> None:
    with pytest.raises(ProtocolViolation, match=r"^the other party sent what is no element") as caught:
        list(executor.map(partial(tagged, b"\1" * 32, b""), [b"\xff" * 32]))
    assert type(caught.value) is ProtocolViolation


def test_an_intersection_is_the_same_everywhere(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intersection, "CHUNK", 64)
    terms = Terms(exchange="executor", minimum=1)
    ours, theirs = [f"s{n}" for n in range(200)], [f"s{n}" for n in range(150, 300)]

    def party(peer: str, identifiers: list[str]) -> Any:
        return lambda channels: intersect(
            channels[peer], identifiers, terms, leads=peer == "b", folder=tmp_path, executor=executor
        )

    found = run_in_threads({"a": party("b", ours), "b": party("a", theirs)}, deadline_s=60)
    assert [ours[row] for row in found["a"].rows] == [theirs[row] for row in found["b"].rows]
    assert {ours[row] for row in found["a"].rows} == set(ours) & set(theirs)


RNG = np.random.default_rng(3)
ROWS = 260
X = RNG.normal(size=(ROWS, 4))
LABEL = (X.sum(axis=1) + RNG.normal(size=ROWS) > 0).astype(float)
KEY = SecretKey("okamoto-uchiyama", 2048)


def test_row_sums_are_the_same_everywhere(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_sums, "PIECE", 100)
    values, table, seen = np.arange(ROWS - 9), binned(X, 6), np.arange(9, ROWS)
    pieces = list(encrypted(KEY.public, values, 100, executor))
    assert [len(piece) for piece in pieces] == [100, 100, 51]
    found = {}
    members = values % 3 == 0
    for name, where in {"there": executor, "here": None}.items():
        sums = row_sums.RowSums(KEY.public, table, seen, where)
        found[name] = [KEY.decrypt(sums.take(iter(pieces))), KEY.decrypt(sums.of(members))]
        assert KEY.decrypt(sums.of(np.zeros(len(values), np.bool_))) == [0] * len(found[name][0])
    assert found["there"] == found["here"]
    assert max(found["here"][0]) == values.sum()
    assert max(found["here"][1]) == values[members].sum()


def test_labels_of_bins_are_counted_the_same_everywhere(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_bins, "CHUNK", 100)
    places = {"x": (np.arange(ROWS) % 4).astype(np.int32), "y": np.where(X[:, 0] > 0, -1, 0).astype(np.int32)}

    def bank(channels: Mapping[str, Channel]) -> None:
        joint_bins.count_for_passive(channels["tax"], KEY, LABEL, executor=executor)

    def tax(channels: Mapping[str, Channel]) -> Any:
        return joint_bins.count_bins(channels["bank"], places, {"x": 4, "y": 1}, executor=executor)

    found = run_in_threads({"bank": bank, "tax": tax}, deadline_s=60)["tax"]
    for name, column in places.items():
        for bin_ in range(1 + column.max()):
            members = LABEL[column == bin_]
            told = (found[name].positives[bin_], found[name].negatives[bin_])
            assert told == (members.sum(), len(members) - members.sum())


def test_a_worker_checks_what_came_from_another_party(executor: Executor) -> None:
    sums = row_sums.RowSums(KEY.public, binned(X, 6), np.arange(2), executor)
    with pytest.raises(ProtocolViolation, match="not below the modulus"):
        sums.take([np.full((2, KEY.public.width), 255, np.uint8)])
    with pytest.raises(ProtocolViolation, match="BFV"):
        grid_sums.gradient_sums([secrets.token_bytes(200)], np.ones((5, 1), np.int64), Layout(groups=1), executor)


@pytest.mark.parametrize("groups", [1, 4])
def test_sums_of_a_grid_are_the_same_everywhere(
    executor: Executor, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_sums, "BLOCKS", 2)
    owner, layout, rows = bfv.SecretKey(), Layout(groups=groups), bfv.SLOTS + 10
    helper = bfv.PublicKey(owner.public)
    residuals, coordinates = bfv.uniform(rows), bfv.uniform(6)
    matrix = RNG.integers(-(1 << 20), 1 << 20, (rows, 6)) * np.array([1, 0, 0, 0, 0, 1])  # columns of zeros: no term

    def opened(sums: list[bfv.Sum]) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
        masked = [helper.masked(each) for each in sums]
        return owner.decrypt([cipher for cipher, _ in masked]), [mask for _, mask in masked]

    blobs = [owner.encrypt(each) for each in layout.residuals(residuals)]
    found, masks = opened(grid_sums.gradient_sums(blobs, matrix, layout, executor))
    gradient = (layout.within_groups(found, 6) - layout.within_groups(masks, 6)) % bfv.PLAIN_MODULUS
    assert gradient.tolist() == (residuals.astype(object) @ matrix.astype(object) % bfv.PLAIN_MODULUS).tolist()
    blobs = [owner.encrypt(each) for each in layout.coordinates(coordinates)]
    found, masks = opened(grid_sums.predictor_sums(blobs, matrix, layout, executor))
    predictor = (layout.over_groups(found, rows) - layout.over_groups(masks, rows)) % bfv.PLAIN_MODULUS
    assert predictor.tolist() == (matrix.astype(object) @ coordinates.astype(object) % bfv.PLAIN_MODULUS).tolist()


@with_workers
def test_boosting_grows_the_same_trees_everywhere(executor: Executor) -> None:
    settings = Settings(trees=1, depth=2, bins=6, key_bits=2048)
    target = Target(label=LABEL, weights=np.ones(ROWS), validation=np.zeros(ROWS, np.bool_))

    def trained(where: Executor | None) -> tuple[Any, Any]:
        def bank(channels: Mapping[str, Channel]) -> Any:
            return active.train(X[:, :1], target, channels, settings, key=KEY, executor=where)

        found = run_in_threads(
            {"bank": bank, "tax": lambda channels: passive.train(X[:, 1:], channels["bank"], executor=where)},
            deadline_s=60,
        )
        return found["bank"].trees, [each.split for each in found["tax"].splits]

    there, here = trained(executor), trained(None)
    assert there == here
    assert here[1], "the passive has no split: nothing was summed"


@with_workers
def test_logistic_regression_takes_the_same_steps_everywhere(executor: Executor) -> None:
    settings = LogisticSettings(steps=2, tolerance=0.0)

    def trained(where: Executor | None) -> np.ndarray[Any, Any]:
        def bank(channels: Mapping[str, Channel]) -> Any:
            own = Columns(features=X[:, :1], weights=np.ones(ROWS), intercept=True)
            return logistic_active.train(own, LABEL, channels, settings, executor=where)

        def tax(channels: Mapping[str, Channel]) -> Any:
            own = Columns(features=X[:, 1:], weights=np.ones(ROWS))
            return logistic_passive.train(own, "bank", "tax", channels, executor=where)

        found = run_in_threads({"bank": bank, "tax": tax}, deadline_s=60)
        return np.concatenate([found["bank"].coefficients, found["tax"].coefficients])

    here = trained(None)
    np.testing.assert_allclose(trained(executor), here, atol=2e-3)  # two steps under two dithers
    assert np.abs(here).max() > 0.3


@pytest.mark.parametrize("name", ["threads", "ray:", "http://127.0.0.1:1", "processes "])
def test_an_unknown_executor_is_refused(name: str) -> None:
    with pytest.raises(WorkersFailed, match="there is no executor"):
        executor_at(name)


def test_without_the_library_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "modeling.ray_executor", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkersFailed, match=r"install xinqiao\[ray\]"):
        executor_at("ray://127.0.0.1:1")


def test_an_address_where_nothing_listens_is_told_at_once() -> None:
    for address in ("ray://127.0.0.1:1", "ray://nowhere.invalid:10001", "ray://127.0.0.1:99999"):
        with pytest.raises(WorkersFailed, match=f"nothing answers at {address}"):
            executor_at(address)


@on_ray
def test_what_does_not_let_this_process_in_is_told_with_its_reason(executor: Executor, cluster: RayCluster) -> None:
    with pytest.raises(WorkersFailed, match=r"does not let this node into a Ray cluster: .*already connected"):
        executor_at(cluster.address)
    assert list(executor.map(bytes, [b"1"])) == [b"1"], "the first connection stays"


@on_ray
def test_a_machine_with_another_release_does_nothing_and_is_told_of(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_release", "0.0.1")
    with pytest.raises(WorkersFailed, match=r"a machine of the cluster .* has release .*, the node 0\.0\.1$"):
        list(executor.map(bytes, [b"1"]))


@on_ray
def test_work_that_a_machine_does_not_have_is_told_of(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "work_of_nobody.py").write_text("def doubled(chunk): return chunk * 2")
    sys.path.insert(0, str(tmp_path))
    try:
        work = importlib.import_module("work_of_nobody")
    finally:
        sys.path.remove(str(tmp_path))
    with pytest.raises(WorkersFailed, match=r"cannot do this node's work: No module named 'work_of_nobody'"):
        list(executor.map(work.doubled, [b"1"]))


@on_ray
def test_a_cluster_that_takes_too_long_is_told_of(
    executor: Executor, work: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_patience_s", 0.2)
    with pytest.raises(WorkersFailed, match=r"took more than 0\.2 s"):
        list(executor.map(work.sleeps, CHUNKS[:1]))


@on_ray
def test_a_cluster_that_goes_away_is_told_of(executor: Executor, work: ModuleType, cluster: RayCluster) -> None:
    """The last one with it."""
    found = executor.map(work.doubled, CHUNKS)
    assert next(found) == CHUNKS[0] * 2
    cluster.kill(0)
    with pytest.raises(WorkersFailed, match=rf"the cluster at {cluster.address} went away"):
        list(found)
    with pytest.raises(WorkersFailed, match="went away"):
        list(executor.map(work.doubled, CHUNKS))


PARENT = """
import os, sys
from modeling.executor import Processes
import work_of_workers

if __name__ == "__main__":
    processes = Processes(1)
    list(processes.map(work_of_workers.doubled, [b"1"]))
    (child,) = [p.pid for p in processes._pool._processes.values()]
    print(child, flush=True)
    sys.stdin.read()
"""


def test_the_workers_of_a_parent_that_was_killed_end(work: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    assert work.__file__ is not None
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(work.__file__).parent), *sys.path])}
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until = time.monotonic() + 5
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}/stat").exists()
