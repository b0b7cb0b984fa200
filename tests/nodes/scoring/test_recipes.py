"""Each kind of model from the question to the score, both sides in one real process of scoring: against plain arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modeling.gbdt.trees import PassiveNode, tree_margin
from modeling.jobs.active import ActivePartOfJob
from modeling.jobs.passive import PassiveResult
from modeling.jobs.table import Prepared, RawNumber, Table
from modeling.preparation.columns import Number
from modeling.scoring.inputs import ASKER, OWN, Input
from modeling.scoring.model import Feature, LinearModel
from modeling.scoring.told import told_of
from nodes.errors import NodeError
from nodes.scoring.columns import Columns
from nodes.scoring.computer import Computer
from nodes.scoring.kit import JointKit, Kit, OwnerKit
from nodes.scoring.limits import PartFacts
from nodes.scoring.own import OwnRows
from nodes.scoring.recipe import Answers, BoostingRecipe, LogisticRecipe, MirroredRecipe, Recipe, SidesRecipe
from nodes.scoring.work import Compute, Drop
from tests.modeling.scoring.test_boosting import random_model

ROWS = 6
SESSION = "ab" * 16
FACTS = PartFacts(features=2, nonzero=2, leverage=0.0, trained=True)
HIDDEN = np.arange(ROWS) == 3


def table(seed: int, *names: str) -> Table:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=ROWS) for name in names}


def raw(algorithm: Any, *names: str) -> Prepared:
    numbers = tuple(Number(name=each, **NUMBER) for each in names)
    return Prepared(algorithm=algorithm, columns=numbers if algorithm == "logistic" else tuple(map(_raw, names)))


NUMBER: dict[str, Any] = {
    "low": None, "high": None, "fill": 0.0, "indicator": False, "centre": 0.0, "spread": 1.0, "clip": 6.0,
}  # fmt: skip


def _raw(name: str) -> RawNumber:
    return RawNumber(name=name)


async def scored(computer: Computer, recipe: Recipe, kits: dict[str, Any], own: Table, theirs: Table) -> Any:
    """The scores, with one row hidden. `kits`: by member, what makes a kit of the blobs of the opening."""
    begun = await recipe.begin(SESSION)
    present = np.ones(ROWS, np.bool_)
    rows = OwnRows(table=own, present=present)
    brings = await recipe.question(SESSION, rows)
    parts = {}
    for place, (member, kit_of) in enumerate(kits.items(), start=1):
        kit: Kit = kit_of(begun.blobs[member])
        seeds = {other: b"s" * 32 for other in range(1, len(kits) + 1) if other != place}
        await computer.do(kit.load(SESSION, place, seeds))
        features = kit.features(Columns(table=theirs, present=present))
        features[HIDDEN] = 0.0
        done = await computer.do(
            Compute(
                session=SESSION,
                layout="plain",
                request_no=1,
                rows=ROWS,
                features=features.tobytes(),
                hidden=HIDDEN.tobytes(),
                subjects=tuple(b"%d" % row for row in range(ROWS)),
                asked=brings,
            )
        )
        parts[member] = done.parts
    answers = Answers(session=SESSION, layout="plain", rows=ROWS, parts=parts)
    found = await recipe.open(answers, ~HIDDEN, rows)
    assert np.isnan(found[HIDDEN]).all()
    assert recipe.read(found[~HIDDEN], rows.only(~HIDDEN)).probability is not None
    await computer.do(Drop(session=SESSION))
    return found, begun.error


def joint_kit(part: PassiveResult, alone: bool) -> Any:
    return lambda blobs: JointKit(items=(), facts=FACTS, part=part, alone=alone, blobs=blobs)


@pytest.mark.parametrize("providers", [1, 2])
async def test_a_joint_logistic_model(computer: Computer, providers: int) -> None:
    names = ("p", "q")[:providers]
    own, theirs = table(1, "income"), table(2, "i.x", "i.y")
    active = ActivePartOfJob(job="j", prepared=raw("logistic", "income"), coefficients=(-1.0, 0.7))
    passive = PassiveResult(job="j", prepared=raw("logistic", "i.x", "i.y"), coefficients=(0.4, -0.6))
    kits = {name: joint_kit(passive, providers == 1) for name in names}
    found, error = await scored(computer, LogisticRecipe(active, names), kits, own, theirs)
    plain = -1.0 + 0.7 * own["income"] + providers * (0.4 * theirs["i.x"] - 0.6 * theirs["i.y"])
    np.testing.assert_allclose(found[~HIDDEN], plain[~HIDDEN], atol=error + 1e-12)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_boosted_model(computer: Computer, alone: bool) -> None:
    trees, splits = random_model(np.random.default_rng(5))
    own, theirs = table(3, "a", "b", "c"), table(4, "i.x", "i.y")
    active = ActivePartOfJob(job="j", prepared=raw("boosting", "a", "b", "c"), boosting=trees)
    passive = PassiveResult(job="j", prepared=raw("boosting", "i.x", "i.y"), boosting=splits)
    recipe: Recipe = BoostingRecipe(active, trees, "p", computer) if alone else SidesRecipe(active, trees, ("p",))
    found, error = await scored(computer, recipe, {"p": joint_kit(passive, alone)}, own, theirs)
    mine, other = np.column_stack(list(own.values())), np.column_stack(list(theirs.values()))

    def side(node: PassiveNode) -> Any:
        return splits.splits[node.number].split.left(other)

    plain: Any = trees.base + sum(tree_margin(tree, mine, side) for tree in trees.trees)
    np.testing.assert_allclose(found[~HIDDEN], plain[~HIDDEN], atol=error + 1e-12)


async def test_data_comes_to_a_model_whose_owner_adds_columns_of_its_own(computer: Computer) -> None:
    sent, own = table(5, "income", "assets"), table(6, "i.x")
    model = LinearModel(
        name="m",
        intercept=-0.5,
        features=(
            Feature(input=Input(member=ASKER, column=Number(name="income", **NUMBER)), weights=(0.8,)),
            Feature(input=Input(member=ASKER, column=Number(name="assets", **NUMBER)), weights=(-0.3,)),
            Feature(input=Input(member=OWN, column=Number(name="i.x", **NUMBER)), weights=(0.6,)),
        ),
    )
    recipe = MirroredRecipe(told_of(model), "owner", computer)
    kits = {"owner": lambda blobs: OwnerKit(items=(), model=model, public=blobs[0])}
    found, error = await scored(computer, recipe, kits, sent, own)
    plain = -0.5 + 0.8 * sent["income"] - 0.3 * sent["assets"] + 0.6 * own["i.x"]
    np.testing.assert_allclose(found[~HIDDEN], plain[~HIDDEN], atol=error)
    assert 0 < error <= 1e-4


async def test_what_a_process_cannot_do_is_an_error_with_its_code(computer: Computer) -> None:
    model = LinearModel(
        name="m",
        intercept=0.0,
        features=(Feature(input=Input(member=ASKER, column=Number(name="x", **NUMBER)), weights=(1.0,)),),
    )
    kit = OwnerKit(items=(), model=model, public=b"no key")
    await computer.do(kit.load(SESSION, 1, {}))
    with pytest.raises(NodeError) as refused:
        await computer.do(
            Compute(
                session=SESSION,
                layout="plain",
                request_no=1,
                rows=1,
                features=np.zeros(1).tobytes(),
                hidden=b"\0",
                subjects=(b"x",),
                asked=(b"nonsense",),
            )
        )
    assert refused.value.code == "PROTOCOL_VIOLATION"
