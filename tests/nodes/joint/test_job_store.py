"""What the database keeps of jobs: what has ended is never changed, and a job that was left stays left."""

from __future__ import annotations

import pytest

from nodes.errors import StoreFailed
from nodes.joint.job_store import JobStore, OpenedExchange, StoredJob
from nodes.store import Store


def stored(job_id: str, directory: str = "/reports/a") -> StoredJob:
    return StoredJob(
        job_id=job_id, name="风险", job_text="name: 风险\n", base="/jobs", user="officer", directory=directory
    )


async def taken_part(store: Store, exchange_id: str, job_id: str = "j", created_ms: int = 1) -> None:
    """As `provider_plan.decide` writes it."""
    values = (exchange_id, job_id, "bank", "risk", created_ms)
    await store.write(
        lambda connection: (
            connection.execute(
                "INSERT INTO joint_out (exchange_id, job_id, requester, name, state, plan, subjects, created_ms)"
                " VALUES (?, ?, ?, ?, 'running', x'', 3, ?)",
                values,
            )
            and None
        )
    )


async def test_a_job_is_under_way_from_its_first_word_to_its_end(store: Store) -> None:
    jobs = JobStore(store)
    await jobs.add(stored("a"), 5)
    await jobs.add(stored("b", "/reports/b"), 6)
    assert sorted(each.job_id for each in await jobs.running()) == ["a", "b"]
    assert await jobs.running_in("/reports/a") == stored("a")
    await jobs.finish("a", "01" * 32, 9)
    assert await jobs.running() == [stored("b", "/reports/b")]
    assert await jobs.running_in("/reports/a") is None
    await jobs.add(stored("c"), 10)
    assert await jobs.running_in("/reports/a") == stored("c")


async def test_two_jobs_never_write_to_one_folder(store: Store) -> None:
    jobs = JobStore(store)
    await jobs.add(stored("a"), 5)
    with pytest.raises(StoreFailed):
        await jobs.add(stored("b"), 6)
    assert await jobs.running() == [stored("a")]


async def test_the_exchanges_of_a_job_are_kept_by_provider(store: Store) -> None:
    jobs = JobStore(store)
    await jobs.add(stored("a"), 5)
    assert await jobs.exchanges("a") == await jobs.exchanges("unknown") == {}
    opened = {name: OpenedExchange(exchange_id=f"x-{name}", request=b"\0signed") for name in ("tax", "pay")}
    for name, exchange in opened.items():
        await jobs.keep_exchange("a", name, exchange)
    assert await jobs.exchanges("a") == opened


@pytest.mark.parametrize("ending", ["finished", "failed", "stopped"])
async def test_what_has_ended_is_never_changed(store: Store, ending: str) -> None:
    jobs = JobStore(store)
    await jobs.add(stored("a"), 5)
    if ending == "finished":
        await jobs.finish("a", "01" * 32, 9)
    else:
        await jobs.end("a", ending, "JOB_STOPPED: enough" + "!" * 2000, 9)
    (before,) = await jobs.records()
    await jobs.finish("a", "02" * 32, 10)
    await jobs.end("a", "failed", "later", 11)
    await jobs.keep_exchange("a", "tax", OpenedExchange(exchange_id="x", request=b""))
    assert await jobs.records() == [before]
    assert before.state == ending
    assert (before.commitment, before.failure[:11]) == (
        ("01" * 32, "") if ending == "finished" else ("", "JOB_STOPPED")
    )
    assert len(before.failure) <= 1000


async def test_a_job_that_was_left_stays_left(store: Store) -> None:
    jobs = JobStore(store)
    await taken_part(store, "x-1")
    await taken_part(store, "x-2")
    await taken_part(store, "x-3", job_id="other")
    assert sorted(await jobs.taken_part("j")) == ["x-1", "x-2"]
    assert not await jobs.has_left("x-1")
    await jobs.leave("x-1", "JOB_STOPPED", 9)
    await jobs.leave("x-1", "PEER_FAILED", 10)
    assert await jobs.has_left("x-1")
    assert await jobs.taken_part("j") == ["x-2"]
    (left,) = [each for each in await jobs.records() if each.state == "ended"]
    assert (left.failure, left.role, left.members) == ("JOB_STOPPED", "passive", ("bank",))


async def test_leaving_what_was_never_taken_part_in_leaves_nothing(store: Store) -> None:
    jobs = JobStore(store)
    await jobs.leave("x-1", "JOB_STOPPED", 9)
    assert not await jobs.has_left("x-1")
    assert await jobs.taken_part("j") == await jobs.records() == []


async def test_a_part_in_a_finished_job_is_not_left_any_more(store: Store) -> None:
    jobs = JobStore(store)
    await taken_part(store, "x-1")
    await store.write(
        lambda connection: connection.execute("UPDATE joint_out SET state = 'finished', commitment = 'c'") and None
    )
    await jobs.leave("x-1", "JOB_STOPPED", 9)
    assert not await jobs.has_left("x-1")
    assert [(each.state, each.commitment) for each in await jobs.records()] == [("finished", "c")]


async def test_own_and_others_jobs_are_listed_newest_first(store: Store) -> None:
    jobs = JobStore(store)
    for number in (1, 4, 2):
        await jobs.add(stored(f"own-{number}", f"/reports/{number}"), number)
    await jobs.keep_exchange("own-4", "tax", OpenedExchange(exchange_id="x", request=b""))
    await taken_part(store, "x-1", created_ms=3)
    listed = await jobs.records()
    assert [each.created_ms for each in listed] == [4, 3, 2, 1]
    assert [each.role for each in listed] == ["active", "passive", "active", "active"]
    assert (listed[0].members, listed[0].directory, listed[1].members) == (("tax",), "/reports/4", ("bank",))


async def test_jobs_outlive_the_process(store: Store) -> None:
    await JobStore(store).add(stored("a"), 5)
    await taken_part(store, "x-1")
    await JobStore(store).leave("x-1", "JOB_STOPPED", 9)
    await store.close()
    again = Store.open(store.path)
    try:
        assert await JobStore(again).running() == [stored("a")]
        assert await JobStore(again).has_left("x-1")
    finally:
        await again.close()
