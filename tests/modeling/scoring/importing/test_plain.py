"""Our own form: the example of docs/scoring.md is code, and a scorecard's points are its scores."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.errors import ModelInvalid
from modeling.scoring.importing import FORMS, import_model, mapping_of
from modeling.scoring.inputs import OWN
from modeling.scoring.model import canonical, parse_model, score_plain
from nodes.joint.plain_yaml import read_yaml
from tests.modeling.scoring.importing.mappings import mapping
from tests.modeling.scoring.models import model

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "scoring.md"


def example() -> dict[str, Any]:
    found = re.search(r"^```json\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    plain: dict[str, Any] = msgspec.json.decode(found.group(1))
    return plain


def read(plain: Any) -> Any:
    return import_model(msgspec.json.encode(plain), "json")


def test_the_example_of_the_document_gives_the_points_that_it_says() -> None:
    card = read(example())
    tables = {
        OWN: {"years_in_business": np.array([1.0, 6.0, np.nan])},
        "tax-bureau": {
            "tax_arrears.amount": np.array([0.0, 20000.0, np.nan]),
            "basics.employees": np.array([12.0, 20.0, np.nan]),
        },
    }
    there = {OWN: np.ones(3, np.bool_), "tax-bureau": np.array([True, True, False])}
    points = card.meaning.read(score_plain(card, tables, there)).points
    assert points is not None
    # 460, years 10 / 45 / 20, arrears 60 / -35 / 25, employees 6 for each 8 more or less than 12, which stands for a missing one
    assert points.tolist() == [460 + 10 + 60, 460 + 45 - 35 + 6, 460 + 20 + 25]


def test_every_mapping_of_the_document_is_one() -> None:
    found = re.findall(
        r"^```yaml\n(name: .*?inputs:.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found
    for each in found:
        assert mapping_of(read_yaml(each)).inputs


def test_a_model_that_is_written_out_reads_back() -> None:
    assert import_model(canonical(model()), "json") == model()
    assert parse_model(canonical(read(example()))) == read(example())


def change(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**example(), **changes}.items() if value is not None}


def feature(**changes: Any) -> dict[str, Any]:
    first = {**example()["features"][0], **changes}
    return change(features=[{name: value for name, value in first.items() if value is not None}])


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (lambda: change(intercept=1.0), "either `intercept` or `base_points`"),
        (lambda: change(base_points=None), "either `intercept` or `base_points`"),
        (lambda: change(meaning={}), "points need a `scale`"),
        (lambda: feature(weights=[1.0]), "either `weights` or `points`"),
        (lambda: feature(points=None), "either `weights` or `points`"),
        (lambda: feature(points=[1.0]), "4 columns and 1 weights"),
        (lambda: feature(colour="red"), "unknown field `colour`"),
        (lambda: change(features=[]), "length >= 1"),
        (lambda: [], "object"),
    ],
)
def test_what_contradicts_itself_is_refused_and_named(plain: Any, said: str) -> None:
    with pytest.raises(ModelInvalid, match=said):
        read(plain())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 5000, b" " * (9 << 20)])
def test_what_is_no_model_is_refused_by_a_typed_error(data: bytes) -> None:
    with pytest.raises(ModelInvalid):
        import_model(data, "json")


def test_json_takes_no_mapping_and_the_others_need_one() -> None:
    with pytest.raises(ModelInvalid, match="leave the mapping out"):
        import_model(canonical(model()), "json", mapping())
    for form in set(FORMS.values()) - {"json"}:
        with pytest.raises(ModelInvalid, match="needs a mapping"):
            import_model(b"", form)


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"name": "m"},
        {"name": "m", "inputs": {}},
        {"name": "m", "inputs": {"x": {}}},
        {"name": "m", "inputs": {"x": {"own": "x", "member": "tax"}}},
        {"name": "m", "inputs": {"x": {"member": "tax", "item": "arrears"}}},
        {"name": "m", "inputs": {"x": {"own": "x", "centre": 1.0}}},
        {"name": "m", "inputs": {"x": {"own": "x", "colour": "red"}}},
        {"name": "m", "inputs": {"x": {"own": "x", "clip": 0}}},
        "m",
        None,
    ],
)
def test_a_malformed_mapping_is_refused_by_a_typed_error(plain: Any) -> None:
    with pytest.raises(ModelInvalid, match=r"mapping.*docs/scoring\.md"):
        mapping_of(plain)


def test_an_input_of_whoever_asks_makes_a_model_of_data_to_model() -> None:
    table = """<PMML xmlns="http://www.dmg.org/PMML-4_4"><DataDictionary><DataField name="x" dataType="double"/></DataDictionary>
      <RegressionModel functionName="regression"><MiningSchema><MiningField name="x" missingValueReplacement="1"/></MiningSchema>
      <RegressionTable intercept="0"><NumericPredictor name="x" coefficient="2"/></RegressionTable></RegressionModel></PMML>"""
    told = mapping_of({"name": "m", "inputs": {"x": {"asker": "annual income", "low": 0, "high": 10}}})
    found = import_model(table.encode(), "pmml", told)
    assert found.mode == "data_to_model"
    assert found.part_for("*").preparation.inputs[0].name == "annual income"
