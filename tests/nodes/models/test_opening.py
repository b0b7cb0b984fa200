from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from consent.documents import encode
from consent.models import ModelVersion, model_commitment
from modeling.scoring.model import canonical, parse_model
from nodes.errors import NodeError
from nodes.models.opening import Opening, check_openings, read_opening
from nodes.models.parts import HeldPart
from nodes.models.registering import Terms
from tests.consent.model_builders import OWNER, OWNER_NODE, PROVIDER
from tests.nodes.models.world import World, linear, served
from trust.document import SignedDocument, sign_document

TERMS = Terms(name="sme-default")


async def opened(world: World, data: bytes, path: Path) -> Opening:
    model = await world.owner.register_linear(data, TERMS)
    assert len((await world.owner.opening(model.version.model_id, path)).parts) == 2
    return read_opening(path)


def attest(world: World, opening: Opening, change: Callable[[ModelVersion], ModelVersion]) -> Opening:
    """The same parts under a document that says something else, signed all the same: what a lying owner can do."""
    document = SignedDocument.decode(opening.model)
    version = change(msgspec.json.decode(document.payload, type=ModelVersion))
    signed = sign_document(document.payload_type, encode(version), world.keys[OWNER_NODE])
    return Opening(model=signed.encode(), parts=opening.parts)


def with_part(version: ModelVersion, **changes: object) -> ModelVersion:
    parts = (msgspec.structs.replace(version.parts[0], **changes),)
    whole = model_commitment([version.own_commitment, *(part.commitment for part in parts)])
    return msgspec.structs.replace(version, parts=parts, commitment=whole)


async def test_what_was_attested_truly_checks_and_leverage_is_over_all_that_were_opened(
    world: World, tmp_path: Path
) -> None:
    one = await opened(world, linear([1, 1, 1, 1, 1, 1]), tmp_path / "1.json")
    two = await opened(world, linear([1, 1, 1, 1, 1, 2]), tmp_path / "2.json")
    checked = check_openings([two, one])
    assert [each.findings for each in checked] == [(), ()]
    assert [each.leverages[PROVIDER] for each in checked] == pytest.approx([1 / 6, 1.0])
    assert checked[0].opened == (OWNER, PROVIDER)
    assert (tmp_path / "1.json").stat().st_mode & 0o077 == 0
    with pytest.raises(NodeError, match="exists already"):
        await world.owner.opening(checked[0].model.version.model_id, tmp_path / "1.json")


async def test_false_attestations_are_proved(world: World, tmp_path: Path) -> None:
    one = await opened(world, linear([1, 1, 1, 1, 1, 1]), tmp_path / "1.json")
    two = await opened(world, linear([1, 1, 1, 1, 1, 2]), tmp_path / "2.json")
    narrow = await opened(world, linear([1, 0, 0, 0, 0, 0]), tmp_path / "3.json")
    lower = attest(world, two, lambda version: with_part(version, leverage=0.5))
    (_, found) = check_openings([one, lower])
    assert found.findings == (f"{PROVIDER}: a leverage of 0.5 was attested; it is 1.000000.",)
    more = attest(world, narrow, lambda version: with_part(version, nonzero=6))
    (found,) = check_openings([more])
    assert found.findings == (f"{PROVIDER}: 6 of 6 features were attested to count; 1 of 6 do.",)
    other = attest(world, one, lambda version: with_part(version, preparation_sm3="0" * 64))
    assert "prepare its columns in another way" in check_openings([other])[0].findings[0]


async def test_an_opening_of_data_to_model_shows_whether_askers_are_told_the_truth(
    world: World, tmp_path: Path
) -> None:
    world.directory.offer(OWNER, "platform-scores", "sales_summary")
    model = await world.owner.register_linear(served(), replace(TERMS, askers=(PROVIDER,)))
    assert len((await world.owner.opening(model.version.model_id, tmp_path / "1.json")).parts) == 1
    one = read_opening(tmp_path / "1.json")
    (found,) = check_openings([one])
    assert (found.opened, found.findings, found.leverages) == ((OWNER,), (), {})
    lie = model.version.told.replace("turnover", "headcount")
    (found,) = check_openings([attest(world, one, lambda version: msgspec.structs.replace(version, told=lie))])
    assert "told of other columns" in found.findings[0]
    (found,) = check_openings(
        [Opening(model=one.model, parts=(HeldPart(party=OWNER, salt="00" * 16, part=one.parts[0].part),))]
    )
    assert found.findings == (f"The part of {OWNER} is not the one that was committed to.",)


async def test_parts_that_were_not_committed_to_or_are_not_of_the_model_are_found(world: World, tmp_path: Path) -> None:
    one = await opened(world, linear(), tmp_path / "1.json")
    whole, part = one.parts
    harmless = canonical(parse_model(linear([1] * 6)).part_for(PROVIDER))
    swapped = HeldPart(party=PROVIDER, salt=part.salt, part=harmless)
    (found,) = check_openings([Opening(model=one.model, parts=(whole, swapped))])
    assert found.findings == (
        f"The part of {PROVIDER} is not the one that was committed to.",
        f"The part of {PROVIDER} is not that of the whole model.",
    )
    committed = attest(world, one, lambda version: with_part(version, commitment=swapped.commitment))
    (found,) = check_openings([Opening(model=committed.model, parts=(whole, swapped))])
    assert found.findings == (f"The part of {PROVIDER} is not that of the whole model.",)
    (found,) = check_openings([Opening(model=one.model, parts=(whole,))])
    assert found.findings == (f"The part of {PROVIDER} is not in the opening.",)
    unreadable = HeldPart(party=PROVIDER, salt=part.salt, part=b"{}")
    assert "cannot be read" in check_openings([Opening(model=one.model, parts=(whole, unreadable))])[0].findings[-1]


async def test_files_that_are_no_openings_and_models_of_two_owners_are_refused(world: World, tmp_path: Path) -> None:
    one = await opened(world, linear(), tmp_path / "1.json")
    (tmp_path / "2.json").write_bytes(b'{"model": 1}')
    for name, code in (("2.json", "MODEL_INVALID"), ("3.json", "NOT_FOUND")):
        with pytest.raises(NodeError) as error:
            read_opening(tmp_path / name)
        assert error.value.code == code
    foreign = attest(world, one, lambda version: msgspec.structs.replace(version, owner="otherbank"))
    with pytest.raises(NodeError, match="several owners"):
        check_openings([one, foreign])
