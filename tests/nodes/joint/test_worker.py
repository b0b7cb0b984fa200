"""The real process of a provider's party, with the bank's party at the other end of its socket."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from modeling.errors import ModelingError, PeerFailed
from modeling.gbdt.settings import Settings
from modeling.jobs import active
from modeling.jobs.passive import PassiveResult
from modeling.jobs.plan import JobPlan
from modeling.jobs.work import Unattended
from modeling.local import SocketChannel
from nodes.errors import NodeError
from nodes.joint.own_table import write_own_table
from nodes.joint.task import WORKER, Task
from nodes.party.process import Answers, Ended, Told, start_party

ROWS, TRAINING = 120, 80
RNG = np.random.default_rng(3)
VALUES = RNG.normal(size=ROWS)
LABEL = (VALUES + RNG.normal(size=ROWS) > 0).astype(float)
EVERY = np.full(ROWS, True)


def plan(column: str, trees: int = 2) -> JobPlan:
    return JobPlan(
        job="ab" * 16,
        algorithm="boosting",
        boosting=Settings(trees=trees, depth=2, key_bits=2048),
        rows=ROWS,
        training=TRAINING,
        columns={column: None},
    )


def bank(channel: SocketChannel, told: JobPlan) -> bytes:
    """The bank's party, which tells the provider's this plan."""
    table = {"own": RNG.normal(size=ROWS), "label": LABEL}
    own = msgspec.structs.replace(told, columns={"own": None})
    try:
        return active.run(table, EVERY, "label", {"p1": channel}, {"p1": told}, own, Unattended())
    except ModelingError as error:
        channel.fail(error)
        raise


def answering(withdrawn: Callable[[], Sequence[int]]) -> Answers:
    async def answers(_question: str) -> Sequence[int]:
        return withdrawn()

    return answers


async def together(
    folder: Path,
    told: JobPlan,
    withdrawn: Callable[[], Sequence[int]] = tuple,
    progress: Callable[[Told], None] = lambda _told: None,
    executor: str = "",
) -> tuple[Ended, Any]:
    """How the provider's process ended, and what the bank's party has, or the error that it met."""

    def task(peers: Mapping[str, int], control: int) -> Task:
        return Task(
            party="p1",
            active="active",
            table=str(folder / "table.arrow"),
            checkpoint=str(folder / "checkpoint.json"),
            result=str(folder / "result.json"),
            peers=dict(peers),
            control=control,
            own=plan("i.x"),
            deadline_s=20,
            executor=executor,
        )

    party = await start_party(WORKER, task, ("active",), progress=progress, answers=answering(withdrawn))
    channel = SocketChannel("p1", party.sockets["active"], 20)
    try:
        found, how = await asyncio.gather(asyncio.to_thread(bank, channel, told), party.ended, return_exceptions=True)
    finally:
        await party.kill()
        channel.close()
    assert isinstance(how, Ended)
    return how, found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_own_table(tmp_path / "table.arrow", {"i.x": pa.array(VALUES)}, EVERY)
    return tmp_path


async def test_a_process_trains_keeps_checkpoints_and_leaves_its_part(folder: Path) -> None:
    seen: list[Told] = []
    how, found = await together(folder, plan("i.x"), lambda: (4,), seen.append)
    assert how == Ended()
    assert msgspec.json.decode(found, type=active.ActiveResult).columns == {"p1": 1}
    part = msgspec.json.decode((folder / "result.json").read_bytes(), type=PassiveResult)
    assert part.boosting is not None
    assert part.withdrawn == (4,)
    assert json.loads((folder / "checkpoint.json").read_bytes())["training"]["done"] == 2
    assert [each.done for each in seen if each.phase == "train"] == [1, 2]


async def test_a_process_gives_its_heavy_maps_to_the_executor_that_the_operator_names(folder: Path) -> None:
    how, _ = await together(folder, plan("i.x"), executor="processes")
    assert how == Ended()
    how, found = await together(folder, plan("i.x"), executor="nowhere")
    assert (how.failed, how.again) == ("WORKERS_FAILED", True)
    assert isinstance(found, PeerFailed)


async def test_a_process_takes_part_in_the_agreed_job_only(folder: Path) -> None:
    how, found = await together(folder, plan("i.x", trees=3))
    assert (how.failed, how.again) == ("PROTOCOL_VIOLATION", False)
    assert isinstance(found, PeerFailed)
    assert not (folder / "result.json").exists()


async def test_a_process_stops_where_its_node_does_not_know_who_has_left_and_may_go_on_later(folder: Path) -> None:
    asked = []

    def stale_after_the_first_tree() -> Sequence[int]:
        asked.append(1)
        if len(asked) > 2:
            raise NodeError("too old", code="CONSENT_STALE")
        return ()

    how, found = await together(folder, plan("i.x"), stale_after_the_first_tree)
    assert (how.failed, how.again) == ("CONSENT_STALE", True)
    assert isinstance(found, PeerFailed)
    assert "CONSENT_STALE" in str(found)
    assert (folder / "checkpoint.json").exists()
    assert not (folder / "result.json").exists()


async def test_an_error_that_nobody_expected_tells_its_kind_and_no_value(tmp_path: Path) -> None:
    (tmp_path / "table.arrow").write_bytes(b"secret values")
    how, found = await together(tmp_path, plan("i.x"))
    assert (how.failed, how.again) == ("INTERNAL", False)
    assert "ArrowInvalid" in how.message
    assert "secret" not in how.message
    assert isinstance(found, PeerFailed)


async def test_a_process_ends_with_its_agent(folder: Path) -> None:
    def task(peers: Mapping[str, int], control: int) -> Task:
        files = {name: str(folder / f"{name}.json") for name in ("checkpoint", "result")}
        table = str(folder / "table.arrow")
        return Task(party="p1", active="active", table=table, peers=dict(peers), control=control, **files)

    party = await start_party(WORKER, task, ("active",), progress=lambda _told: None, answers=answering(tuple))
    party._writer.close()  # as the kernel does for an agent that was killed
    async with asyncio.timeout(10):
        assert await party.child.wait() == 1
    with pytest.raises(ProcessLookupError):
        os.kill(party.child.pid, 0)
    await party.kill()
    party.sockets["active"].close()
