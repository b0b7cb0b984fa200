"""What a job leaves in a provider's home: deleted once nobody asks about it again, and not before."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from nodes.errors import ExchangeFailed
from nodes.joint.provider import JOINT_LIFE_MS, JointProvider
from tests.nodes.exchanges.parties import Parties
from tests.nodes.joint.two_nodes import provider_node

LEFT, FINISHED, RUNNING, UNDECIDED = (str(uuid.UUID(int=number)) for number in range(1, 5))
OWN_JOB = "ab" * 16


async def home_with_all(parties: Parties) -> Path:
    """A folder of each kind; the finished job ended now."""
    for exchange_id, state in ((LEFT, "ended"), (FINISHED, "finished"), (RUNNING, "running")):
        values = (exchange_id, state, parties.now_ms, parties.now_ms)
        await parties.provider_store.write(
            lambda connection, values=values: (  # type: ignore[misc]
                connection.execute(
                    "INSERT INTO joint_out (exchange_id, job_id, requester, name, state, plan, subjects, created_ms, ended_ms)"
                    " VALUES (?, 'j', 'bank', 'risk', ?, x'', 3, ?, ?)",
                    values,
                )
                and None
            )
        )
    home = parties.home / "joint"
    for name in (LEFT, FINISHED, RUNNING, UNDECIDED, OWN_JOB):
        (home / name).mkdir(parents=True)
        (home / name / "rows.arrow").write_bytes(b"who was in it")
        os.utime(home / name, (parties.now_ms / 1000, parties.now_ms / 1000))
    return home


def there(home: Path) -> set[str]:
    return {each.name for each in home.iterdir()}


async def test_who_was_in_a_job_stays_until_its_exchange_is_over(parties: Parties) -> None:
    home = await home_with_all(parties)
    provider = JointProvider(provider_node(parties))
    await provider.sweep()
    assert there(home) == {FINISHED, RUNNING, UNDECIDED, OWN_JOB}
    parties.now_ms += JOINT_LIFE_MS + 1
    await provider.sweep()
    assert there(home) == {RUNNING, OWN_JOB}


@pytest.mark.parametrize("exchange_id", [FINISHED, RUNNING])
async def test_the_hub_s_word_ends_it_at_once_unless_the_job_runs(parties: Parties, exchange_id: str) -> None:
    home = await home_with_all(parties)
    await JointProvider(provider_node(parties)).ended(exchange_id, ExchangeFailed("over"))
    assert (exchange_id in there(home)) == (exchange_id == RUNNING)
    assert {LEFT, UNDECIDED, OWN_JOB} <= there(home)


async def test_a_job_that_this_node_leaves_leaves_nothing(parties: Parties) -> None:
    home = await home_with_all(parties)
    await JointProvider(provider_node(parties)).leave(RUNNING, "JOB_STOPPED")
    assert RUNNING not in there(home)
