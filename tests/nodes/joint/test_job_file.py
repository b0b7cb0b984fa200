"""What a bank may write in a job file, and that everything else is refused with the place where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consent.documents import ItemMode, Purpose
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.preparation.columns import NumberRule, OneHotRule, OrdinalRule
from nodes.joint import job_file
from nodes.joint.job_file import JobFile, JobFileInvalid, Label, own_path, parse_job, rules_of
from tests.nodes.exchanges.parties import ITEM
from tests.nodes.hub_simulator import PROVIDER
from tests.nodes.joint.job_texts import document, job, provider, text_of
from tests.nodes.joint.yaml_texts import YAML_LIKE


def test_the_example_of_the_documentation_is_a_job_file() -> None:
    text = (job_file.__doc__ or "").partition("\n\n")[2]
    found = parse_job(text)
    assert isinstance(found.settings(), BoostingSettings)
    assert found.own.target == Label(column="Class", event="bad")
    assert rules_of(found.providers[0].items[0].features) == {
        "delinq_2yrs": NumberRule(),
        "inq_last_6mths": NumberRule(winsorise=(0.01, 0.99)),
    }
    assert (found.cohort.rows, found.cohort.minimum, found.split.test) == ("all", 100, 0.3)


def test_what_a_job_file_leaves_out_has_a_default() -> None:
    found = job(purpose=None, parameters=None, cohort=None)
    assert found.purpose is Purpose.JOINT_MODELLING
    assert found.settings() == BoostingSettings()
    assert found.own.target == Label(column="bad", event=1)
    assert (found.cohort.minimum, found.split.validation) == (100, 0.0)


def test_features_say_how_they_are_prepared_by_word_or_rule_or_not_at_all() -> None:
    rules = {"a": "number", "b": "one_hot", "c": None, "d": {"type": "ordinal", "order": ["x", "y"]}}
    found = job(providers=[provider(PROVIDER, rules)]).providers[0]
    assert found.items[0].columns().fields == {
        "a": NumberRule(),
        "b": OneHotRule(),
        "c": None,
        "d": OrdinalRule(order=("x", "y")),
    }
    (use,) = found.uses()
    assert (use.item_id, use.mode, use.fields) == (ITEM, ItemMode.J, ("a", "b", "c", "d"))


def test_settings_are_those_of_the_algorithm() -> None:
    found = job(algorithm="logistic", parameters={"steps": 5, "tolerance": 0})
    assert found.settings() == LogisticSettings(steps=5, tolerance=0.0)
    assert parse_job(
        text_of(document(algorithm="logistic", parameters=None)) + "parameters: {tolerance: 1e-3}"
    ).settings() == (LogisticSettings(tolerance=0.001))


def _own(**changes: Any) -> dict[str, Any]:
    return {"own": document()["own"] | changes}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"name": None}, "name"),
        ({"name": "Not A Name"}, "$.name"),
        ({"name": "a\n"}, "$.name"),
        ({"name": "a" * 82}, "$.name"),
        ({"reason": ""}, "$.reason"),
        ({"reason": "r" * 201}, "$.reason"),
        ({"purpose": "curiosity"}, "$.purpose"),
        ({"algorithm": "neural"}, "$.algorithm"),
        ({"parameters": [1]}, "$.parameters"),
        ({"parameters": {"tree": 3}}, "parameters of boosting: Object contains unknown field `tree`"),
        ({"parameters": {"trees": 0}}, "parameters of boosting: Expected `int` >= 1 - at `$.trees`"),
        ({"algorithm": "logistic"}, "parameters of logistic: Object contains unknown field `trees`"),
        (_own(file=""), "$.own.file"),
        (_own(label=3), "$.own.label"),
        (_own(label={"column": "y", "value": 1}), "unknown field `value` - at `$.own.label`"),
        (_own(label={"column": "y", "event": [1]}), "$.own.label.event"),
        (_own(features=[]), "$.own.features"),
        (_own(features={}), "$.own.features"),
        (_own(features={"a": "woe"}), "$.own.features"),
        (_own(features={"a": {"type": "number", "clips": 3}}), "unknown field `clips`"),
        (_own(features=[f"f{n}" for n in range(1001)]), "$.own.features"),
        (_own(features=["a", "b", "a"]), "names a twice in own.features"),
        (_own(rows=3), "unknown field `rows` - at `$.own`"),
        ({"providers": []}, "$.providers"),
        ({"providers": [provider(f"p{n}") for n in range(5)]}, "$.providers"),
        ({"providers": [provider("tax"), provider("tax", item="other")]}, "names tax twice in providers"),
        ({"providers": [provider("tax", ["a", "a"])]}, f"names a twice in features of {ITEM}"),
        (
            {"providers": [provider("tax") | {"items": [*provider("tax")["items"], *provider("tax")["items"]]}]},
            f"names {ITEM} twice in items of tax",
        ),
        ({"providers": [provider("tax") | {"items": []}]}, "$.providers[0].items"),
        ({"providers": [{"member": "tax", "product": "p"}]}, "missing required field `items` - at `$.providers[0]`"),
        ({"cohort": {"minimum": 19}}, "$.cohort.minimum"),
        ({"cohort": {"rows": "some"}}, "$.cohort.rows"),
        ({"split": {"test": 0.01}}, "$.split.test"),
        ({"split": {"test": 0.3, "train": 0.7}}, "unknown field `train` - at `$.split`"),
        ({"scorecard": {"colour": 1}}, "unknown field `colour` - at `$.scorecard`"),
        ({"notes": "x"}, "unknown field `notes`"),
    ],
)
def test_a_part_that_cannot_be_meant_is_refused_with_its_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(JobFileInvalid) as refused:
        job(**changes)
    assert place in str(refused.value)
    assert refused.value.code == "JOB_INVALID"


def test_more_columns_than_a_party_may_have_are_refused_before_anybody_is_asked() -> None:
    items = [{"item": f"i{n}", "features": [f"f{m}" for m in range(900)]} for n in range(6)]
    with pytest.raises(JobFileInvalid, match="tax would bring more than 5000 features"):
        job(providers=[{"member": "tax", "product": "p", "items": items}])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "null"),
        ("- a\n- b\n", "array"),
        ("just words", "str"),
        ("name: [a", "line 1"),
        (text_of(document()) + "name: again\n", "name comes twice"),
        (text_of(document()).replace("trees: 3", "trees: 3\n  trees: 4"), "trees comes twice"),
        (text_of(document()).replace("trees: 3", "l2: .inf"), "$.l2"),
        (text_of(document()).replace("trees: 3", "l2: 1e400"), "too large"),
        ("x" * (job_file.MAX_FILE_BYTES + 1), "megabyte"),
    ],
)
def test_a_text_that_is_no_job_is_refused_and_told_why(text: str, said: str) -> None:
    with pytest.raises(JobFileInvalid) as refused:
        parse_job(text)
    assert said in str(refused.value)


@settings(max_examples=300, deadline=None)
@given(YAML_LIKE)
@example("2020-13-45")
@example("!!bool x")
@example("!!timestamp x")
@example("&a [*a]")
@example("[" * 100_000)
def test_any_text_at_all_is_a_job_or_the_typed_error(text: str) -> None:
    with pytest.raises(JobFileInvalid):
        parse_job(text)


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab汉\0\ud800", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=6,
)
PLACES = st.sampled_from(
    ["name", "reason", "algorithm", "parameters", "own", "providers", "cohort", "split", "scorecard"]
)


@settings(max_examples=300, deadline=None)
@given(PLACES, ANY_VALUE)
def test_any_value_at_any_place_is_a_job_that_can_be_told_or_the_typed_error(place: str, value: Any) -> None:
    try:
        found = parse_job(text_of(document() | {place: value}))
    except JobFileInvalid:
        return
    assert isinstance(found, JobFile)
    assert msgspec.json.decode(msgspec.json.encode(found), type=JobFile) == found


# -- the bank's own file


def test_the_banks_file_is_beside_the_job_file_or_anywhere_by_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "own.csv").touch()
    assert own_path(job(), tmp_path) == tmp_path / "own.csv"
    assert own_path(job(**_own(file=str(tmp_path / "own.csv"))), Path("/")) == tmp_path / "own.csv"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.csv", "does not exist"),
        ("own.xlsx", r"should be \.csv or \.parquet"),
        ("own", r"should be \.csv or \.parquet"),
        ("other.csv", r"should be \.csv or \.parquet"),
        ("folder.csv", "does not exist"),
        ("loop.csv", "does not exist"),
        ("汉" * 190 + ".csv", "does not exist"),
    ],
)
def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "own.xlsx").touch()
    (tmp_path / "own").touch()
    (tmp_path / "other.csv").symlink_to(tmp_path / "own.xlsx")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    with pytest.raises(JobFileInvalid, match=said):
        own_path(job(**_own(file=name)), tmp_path)
