"""The model's document: what a score is, what each party is told, and the bytes that are committed to."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.errors import DataUnusable, ModelInvalid
from modeling.preparation.binning import NumberBins
from modeling.scoring.inputs import ASKER, OWN, Binned, Input, Preparation, Reference
from modeling.scoring.model import (
    Feature,
    LinearModel,
    canonical,
    parse_model,
    parse_part,
    parse_preparation,
    score_plain,
)
from tests.modeling.scoring.models import BY_HAND, model, number, part, present, tables


def test_a_score_is_the_sum_that_one_works_out_by_hand() -> None:
    np.testing.assert_allclose(score_plain(model(), tables(), present()), BY_HAND, rtol=0, atol=1e-12)


def test_a_subject_without_a_record_scores_as_one_whose_values_are_all_missing() -> None:
    given, missing = tables(), tables()
    missing["tax"] = {
        "arrears.amount": np.full(4, np.nan),
        "rating.grade": np.full(4, None),
        "rating.region": np.full(4, None),
    }
    nobody = {**present(), "tax": np.zeros(4, np.bool_)}
    np.testing.assert_array_equal(score_plain(model(), given, nobody), score_plain(model(), missing, present()))


def test_the_parts_and_the_intercept_make_the_score() -> None:
    whole = model()
    parts = [whole.part_for(member) for member in (OWN, *whole.members)]
    total = whole.intercept + sum(each.predictor(tables()[each.member], present()[each.member]) for each in parts)
    np.testing.assert_allclose(total, BY_HAND, rtol=0, atol=1e-12)
    assert whole.members == ("tax", "pay")
    assert whole.part_for("nobody").features == 0


def test_a_member_is_told_its_columns_and_no_weight() -> None:
    told = canonical(model().preparation_for("tax"))
    assert b"weights" not in told
    assert b"turnover" not in told
    assert b"intercept" not in told
    assert model().preparation_for("tax").items == {"arrears": ("amount",), "rating": ("grade", "region")}


@given(st.floats(-1e300, 1e300), st.sampled_from([np.nan, 0.0, -5.0]))
def test_no_value_leaves_the_bounds_that_a_member_declares(value: float, other: float) -> None:
    preparation = Preparation(
        member="tax",
        inputs=(
            number("item.clipped", "tax"),
            number("item.held", "tax", low=-3.0, high=7.0, clip=None, centre=2.0, spread=4.0, fill=20.0),
            number("item.told", "tax", indicator=True, clip=2.0),
            Input(member="tax", column=Binned(bins=NumberBins(name="item.binned", edges=(0.0,)))),
        ),
    )
    columns = {each.name: np.clip([value, other], -1e150, 1e150) for each in preparation.inputs}
    found = preparation.apply(columns, np.ones(2, np.bool_))
    assert found.shape == (2, len(preparation.names)) == (2, 7)
    assert np.isfinite(found).all()
    assert (np.abs(found) <= preparation.bounds).all()
    assert (preparation.bounds > 0).all()


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(DataUnusable, match=r"arrears\.amount"):
        model().preparation_for("tax").apply({}, np.ones(2, np.bool_))


def test_the_bytes_of_a_document_are_one_and_read_back() -> None:
    whole = model()
    for document, parse in (
        (whole, parse_model),
        (whole.part_for("tax"), parse_part),
        (whole.preparation_for("tax"), parse_preparation),
    ):
        written = canonical(document)
        assert parse(written) == document
        assert canonical(parse(written)) == written
        shuffled = msgspec.json.encode(dict(reversed(msgspec.json.decode(written).items())))
        assert canonical(parse(shuffled)) == written


def test_the_bytes_that_are_committed_to_are_these() -> None:
    small = part({"aa": 0.1 + 0.2})
    assert canonical(small) == (
        b'{"preparation":{"inputs":[{"aggregate":"latest","column":{"centre":0.0,"clip":10.0,"fill":0.0,"high":null,"indicator":false,'
        b'"low":null,"name":"item.aa","spread":1.0,"type":"number"},"member":"tax","reference":null}],"member":"tax","version":1},'
        b'"version":1,"weights":[0.30000000000000004]}'
    )


def test_a_whole_number_in_place_of_a_float_is_the_same_document() -> None:
    one = LinearModel(name="m", intercept=1, features=(Feature(input=number("x"), weights=(2,)),))
    other = LinearModel(name="m", intercept=1.0, features=(Feature(input=number("x"), weights=(2.0,)),))
    assert canonical(one) == canonical(other)
    assert b'"intercept":1.0' in canonical(one)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_weight_reads_back_exactly(weight: float) -> None:
    one = LinearModel(name="m", intercept=0.1, features=(Feature(input=number("x"), weights=(weight,)),))
    assert parse_model(canonical(one)).features[0].weights == (weight,)


def test_a_column_counts_once_however_many_columns_it_becomes_and_only_if_the_score_depends_on_it() -> None:
    tax = model().part_for("tax")
    assert (tax.features, tax.nonzero, len(tax.weights)) == (3, 3, 9)
    assert part({"a": 0.0, "b": 1e-9}).nonzero == 1
    flat = Feature(
        input=Input(member="tax", column=Binned(bins=NumberBins(name="item.b", edges=(0.0,)))), weights=(0.7, 0.7, 0.7)
    )
    assert LinearModel(name="m", intercept=0.0, features=(flat,)).part_for("tax").nonzero == 0


def test_the_mode_follows_from_who_brings_columns() -> None:
    assert model().mode == "model_to_data"
    asked = LinearModel(name="m", intercept=0.0, features=(Feature(input=number("any name", ASKER), weights=(1.0,)),))
    assert asked.mode == "data_to_model"
    assert asked.members == (ASKER,)


def feature(**changes: Any) -> Feature:
    return Feature(**{"input": number("x"), "weights": (1.0,), **changes})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: number("no_field", "tax"), "not named as item.field"),
        (lambda: number("x", clip=None), "no bound"),
        (lambda: number("x", clip=None, low=0.0), "no bound"),
        (lambda: number("x", clip=-1.0), "above 0"),
        (lambda: number("x", spread=0.0), "above 0"),
        (lambda: number("x", spread=float("nan")), "above 0"),
        (lambda: number("x", centre=float("inf")), "finite"),
        (lambda: number("x", low=5.0, high=5.0), "low is below high"),
        (lambda: number("x", low=1e9, high=2e9, fill=1e9), "the same for all values"),
        (lambda: number("x", low=-1e9, high=1e9, clip=None), "no bound"),
        (lambda: feature(weights=(1.0, 2.0)), "1 columns and 2 weights"),
        (lambda: feature(weights=(float("nan"),)), "finite"),
        (lambda: feature(reasons=("a", "b")), "reason"),
        (lambda: Reference(bins=NumberBins(name="x", edges=(0.0,)), shares=(0.5, 0.5)), "3 bins"),
        (lambda: Reference(bins=NumberBins(name="x", edges=()), shares=(0.5, 0.6)), "sum to 1"),
        (lambda: LinearModel(name="m", intercept=0.0, features=(feature(), feature())), "comes twice"),
        (lambda: LinearModel(name="m", intercept=float("inf"), features=(feature(),)), "finite"),
        (
            lambda: LinearModel(
                name="m",
                intercept=0.0,
                features=tuple(feature(input=number(name, who)) for name, who in (("x", ASKER), ("item.b", "tax"))),
            ),
            "do not go together",
        ),
        (
            lambda: Preparation(
                member="tax",
                inputs=(number("item.a", "tax"), msgspec.structs.replace(number("item.b", "tax"), aggregate="sum")),
            ),
            "two ways",
        ),
    ],
)
def test_a_model_that_contradicts_itself_is_not_made(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: {**plain, "weights": []},
        lambda plain: {**plain, "features": []},
        lambda plain: {**plain, "intercept": "0"},
        lambda plain: {**plain, "version": 2},
        lambda plain: {**plain, "meaning": {"link": "identity", "scale": {}}},
        lambda plain: {**plain, "meaning": {"bands": {"by": "points", "names": ["a"], "edges": []}}},
        lambda plain: {**plain, "meaning": {"bands": {"by": "probability", "names": ["a"], "edges": [0.5]}}},
        lambda plain: {**plain, "features": plain["features"] * 2},
        lambda plain: {**plain, "features": [{**plain["features"][0], "weights": [1.0]}]},
    ],
)
def test_a_malformed_document_is_refused_by_a_typed_error(change: Any) -> None:
    plain = msgspec.json.decode(canonical(model()))
    assert parse_model(msgspec.json.encode(plain)) == model()
    with pytest.raises(ModelInvalid):
        parse_model(msgspec.json.encode(change(plain)))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 5000, b"null", b'{"name": NaN}', b" " * (9 << 20)])
def test_what_is_no_document_is_refused_by_a_typed_error(data: bytes) -> None:
    with pytest.raises(ModelInvalid):
        parse_model(data)


def test_bins_that_do_not_ascend_are_a_typed_error_too() -> None:
    plain = canonical(model()).replace(b'"edges":[0.0,1000.0]', b'"edges":[1000.0,0.0]')
    assert plain != canonical(model())
    with pytest.raises(ModelInvalid, match="ascend"):
        parse_model(plain)
