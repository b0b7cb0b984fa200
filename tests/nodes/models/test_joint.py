"""A joint job's model in the registry: from the files that the job left at each party."""

from __future__ import annotations

import msgspec
import pytest

from consent.model_state import Step
from nodes.errors import NodeError
from nodes.joint.job_store import JobStore, StoredJob
from nodes.joint.model_files import ModelRecord, OwnPart, write_document
from nodes.models.registry import Terms
from tests.consent.model_builders import OWNER, OWNER_NODE, PROVIDER, PROVIDER_NODE
from tests.nodes.joint import job_texts
from tests.nodes.models.world import ITEM, World

JOB = "5b9a63b0-59f8-4a7e-9d17-0a8e6a2b7c11"
ROOT = "cd" * 32
TERMS = Terms(name="default-risk")


def part(party: str, job: str = JOB) -> OwnPart:
    return OwnPart(job=job, name="default-risk", algorithm="boosting", party=party, salt="5a" * 16, part=party.encode())


async def trained(world: World) -> None:
    """As a job leaves it: at the bank the record and its part, at the provider its part."""
    parties = (OWNER, PROVIDER)
    record = ModelRecord(
        job=JOB,
        name="default-risk",
        algorithm="boosting",
        parties=parties,
        commitments=tuple(part(party).commitment for party in parties),
        subjects=812,
        withdrawn=1,
        made_ms=world.now_ms,
        batch_roots=(ROOT,),
    )
    text = job_texts.text_of(
        job_texts.document(providers=[{**job_texts.provider(PROVIDER, item=ITEM), "product": "tax-models"}])
    )
    stored = StoredJob(
        job_id=JOB, name="default-risk", job_text=text, base="/", user="risk", directory=str(world.home / "report")
    )
    jobs = JobStore(world.stores[OWNER_NODE])
    await jobs.add(stored, 1)
    await jobs.finish(JOB, record.commitment, 2)
    write_document(world.home / OWNER_NODE / "models" / JOB / "model.json", record)
    for node, party in ((OWNER_NODE, OWNER), (PROVIDER_NODE, PROVIDER)):
        write_document(world.home / node / "models" / JOB / "part.json", part(party))


async def test_what_a_job_made_is_registered_with_its_lineage_and_scores_once_approved(world: World) -> None:
    await trained(world)
    model = await world.owner.register_joint(JOB, TERMS)
    version = model.version
    assert (version.kind, version.mode, version.job, version.subjects) == ("joint_boosting", "joint", JOB, 812)
    (read,) = version.parts
    assert (read.fields, read.batch_root) == (("tax_payment.delinq_2yrs", "tax_payment.inq_fi"), ROOT)
    assert (read.nonzero, read.leverage, read.commitment) == (None, None, part(PROVIDER).commitment)
    model_id = await world.in_service(model)
    for registry, party in ((world.owner, OWNER), (world.provider, PROVIDER)):
        assert registry.usable(model_id).version == version
        assert registry.own_part(model_id).part == party.encode()


async def test_a_provider_approves_only_the_part_that_lies_with_it(world: World) -> None:
    await trained(world)
    model = await world.owner.register_joint(JOB, TERMS)
    await world.sync()
    path = world.home / PROVIDER_NODE / "models" / JOB / "part.json"
    write_document(path, msgspec.structs.replace(part(PROVIDER), part=b"another"))
    with pytest.raises(NodeError) as refused:
        await world.provider.take_step(model.version.model_id, Step.APPROVE, "", "officer")
    assert refused.value.code == "MODEL_INVALID"
    path.unlink()
    with pytest.raises(NodeError) as refused:
        await world.provider.take_step(model.version.model_id, Step.APPROVE, "", "officer")
    assert refused.value.code == "NOT_FOUND"


async def test_only_a_finished_job_with_its_own_files_is_registered(world: World) -> None:
    with pytest.raises(NodeError, match="No finished job"):
        await world.owner.register_joint(JOB, TERMS)
    await trained(world)
    write_document(world.home / OWNER_NODE / "models" / JOB / "part.json", part(PROVIDER))
    with pytest.raises(NodeError, match="not of one model"):
        await world.owner.register_joint(JOB, TERMS)
    assert world.hub.documents == []
