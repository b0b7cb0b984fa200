"""Data to model: what an asker is told holds for every score, and has no weight in it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modeling.errors import ModelInvalid
from modeling.scoring.inputs import ASKER, OWN
from modeling.scoring.mirrored import Requester
from modeling.scoring.model import Feature, LinearModel, canonical, score_plain
from modeling.scoring.told import owner_of, parse_told, told_of
from tests.modeling.scoring.models import number

MODEL = LinearModel(
    name="m",
    intercept=-1.25,
    features=(
        Feature(input=number("turnover", ASKER), weights=(0.7,)),
        Feature(input=number("age", ASKER, indicator=True), weights=(-0.3, 0.123456)),
        Feature(input=number("arrears"), weights=(0.9,)),
    ),
)


def test_scores_of_encrypted_columns_are_those_of_plain_ones_within_what_was_told() -> None:
    told, owner, asker = told_of(MODEL), owner_of(MODEL), Requester()
    rng = np.random.default_rng(3)
    theirs = {"turnover": rng.normal(size=40), "age": np.where(np.arange(40) % 5, rng.normal(size=40), np.nan)}
    own, present = {"arrears": 30 * rng.normal(size=40)}, np.ones(40, np.bool_)
    features = told.preparation.apply(theirs, present)
    asked = asker.encrypt(features, told.preparation.bounds)
    answer = owner.answer(asker.public, asked, MODEL.own_predictor(own, present))
    scores = asker.open(answer, 40, features.shape[1], told.weight_bits)
    plain = score_plain(MODEL, {ASKER: theirs, OWN: own}, {ASKER: present, OWN: present})
    assert np.abs(scores - plain).max() <= told.error <= 1e-4


def test_no_weight_is_told() -> None:
    told = told_of(MODEL)
    text = canonical(told).decode()
    assert parse_told(text) == told
    assert "123456" not in text
    assert "arrears" not in text
    assert math.log2(told.error).is_integer()


def test_what_is_no_document_of_an_asker_is_refused() -> None:
    text = canonical(told_of(MODEL)).decode()
    for wrong in ("", "{}", text.replace('"*"', '"tax"'), text.replace('"error":', '"error":-')):
        with pytest.raises(ModelInvalid):
            parse_told(wrong)
