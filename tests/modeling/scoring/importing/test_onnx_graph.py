"""ONNX graphs, held against onnx's own reference evaluator in double precision."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from modeling.errors import ModelInvalid
from modeling.scoring.importing import import_model
from tests.modeling.scoring.importing.mappings import mapping, of_rows, scored

ML = "ai.onnx.ml"
W = np.array([[0.5], [-1.25], [2.0]])
SAID: dict[str, Any] = {"all": {"missing": 0.0, "low": -100.0, "high": 100.0}}


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    domain, _, name = kind.rpartition(":")
    return helper.make_node(name, inputs.split(), outputs.split(), domain=domain, **attributes)


def graph(
    *nodes: NodeProto, outputs: str = "y", inputs: dict[str, int] | None = None, **constants: np.ndarray
) -> ModelProto:
    given = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, width])
        for name, width in (inputs or {"x": 3}).items()
    ]
    told = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in outputs.split()]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(ML, 3)]
    return helper.make_model(helper.make_graph(list(nodes), "g", given, told, weights), opset_imports=opsets)


def classifier(**changes: Any) -> NodeProto:
    attributes = {
        "coefficients": [-0.5, 1.25, -2.0, 0.5, -1.25, 2.0],
        "intercepts": [0.75, -0.75],
        "classlabels_ints": [0, 1],
        "post_transform": "LOGISTIC",
    }
    return node(f"{ML}:LinearClassifier", "x", "label y", **{**attributes, **changes})


SCALED = (
    node(f"{ML}:Imputer", "x", "full", imputed_value_floats=[1.5, 2.5, -1.0], replaced_value_float=float("nan")),
    node(f"{ML}:Scaler", "full", "flat", offset=[1.0, 2.0, 3.0], scale=[0.5, 0.25, 2.0]),
)

GRAPHS: dict[str, tuple[ModelProto, dict[str, Any]]] = {
    "matmul, add, sigmoid": (
        graph(node("MatMul", "x w", "a"), node("Add", "a b", "z"), node("Sigmoid", "z", "y"), w=W, b=np.array([0.3])),
        SAID,
    ),
    "gemm with factors and a turned matrix": (
        graph(node("Gemm", "x w b", "z", alpha=0.5, beta=2.0, transB=1), node("Sigmoid", "z", "y"), w=W.T, b=np.array([0.3])),
        SAID,
    ),
    "standardised by arithmetic, centred on the other side": (
        graph(
            node("Sub", "m x", "a"), node("Div", "a s", "b"), node("Mul", "k b", "c"), node("Neg", "c", "d"),
            node("MatMul", "d w", "e"), node("Sigmoid", "e", "y"),
            w=W, m=np.array([[1.0, 2.0, 3.0]]), s=np.array([2.0, 4.0, 0.5]), k=np.array(1.5),
        ),
        {"all": {"missing": 0.0, "clip": 200.0}},
    ),
    "scaler, imputer and a classifier": (
        graph(*SCALED, node(f"{ML}:LinearClassifier", "flat", "label y", coefficients=[0.5, -1.25, 2.0], intercepts=[0.25],
                            classlabels_ints=[0, 1], post_transform="LOGISTIC")),
        {"all": {"clip": 500.0}},
    ),
    "scaled before it is filled by an imputer": (
        graph(node(f"{ML}:Scaler", "x", "flat", offset=[1.0, 2.0, 3.0], scale=[0.5, 0.25, 2.0]),
              node(f"{ML}:Imputer", "flat", "full", imputed_value_floats=[1.5], replaced_value_float=float("nan")),
              node("MatMul", "full w", "z"), node("Sigmoid", "z", "y"), w=W),
        {"all": {"clip": 500.0}},
    ),
    "a classifier of two rows and its probabilities": (
        graph(classifier(), node(f"{ML}:Normalizer", "y", "p", norm="L1"), outputs="label p"), SAID,
    ),
    "a classifier by softmax": (
        graph(classifier(coefficients=[0.1, 0.2, 0.3, 1.0, 0.5, -2.0], intercepts=[1.0, 0.5], post_transform="SOFTMAX"),
              outputs="label y"),
        SAID,
    ),
    "two columns by softmax": (
        graph(node("MatMul", "x w", "z"), node("Softmax", "z", "y", axis=1), w=np.hstack([W, -2 * W])), SAID,
    ),
    "several inputs, cast and joined": (
        graph(
            node("Concat", "age income", "a", axis=1), node("Concat", "a arrears", "b", axis=-1),
            node("Cast", "b", "c", to=TensorProto.DOUBLE),
            node("Identity", "c", "d"), node("Flatten", "d", "e"), node("MatMul", "e w", "z"), node("Sigmoid", "z", "y"),
            inputs={"income": 1, "arrears": 1, "age": 1}, w=W,
        ),
        {**SAID, "columns": []},
    ),
    "a sum of two ways": (
        graph(node("MatMul", "x w", "a"), node("MatMul", "x v", "b"), node("Add", "a b", "c"), node("Sigmoid", "c", "y"),
              w=W, v=W[::-1].copy()),
        SAID,
    ),
    "a constant inside, one column reshaped": (
        graph(
            node("Constant", "", "w", value=numpy_helper.from_array(W)), node("MatMul", "x w", "a"),
            node("Constant", "", "shape", value_ints=[-1, 1]), node("Reshape", "a shape", "b"), node("Sigmoid", "b", "y"),
        ),
        SAID,
    ),
}  # fmt: skip


def probabilities(model: ModelProto, rows: np.ndarray) -> np.ndarray:
    """By the reference evaluator: of class 1 where there are two."""
    names = [each.name for each in model.graph.input]
    feeds = {"x": rows} if names == ["x"] else {name: of_rows(rows)[name][:, None] for name in names}
    found = ReferenceEvaluator(model).run(None, feeds)[-1]
    return np.asarray(found, np.float64).reshape(len(rows), -1)[:, -1]


@pytest.mark.parametrize("name", GRAPHS)
def test_an_imported_graph_scores_as_the_reference_evaluator_does(name: str) -> None:
    onnx_model, said = GRAPHS[name]
    rows = np.random.default_rng(7).normal(size=(40, 3)) * [2.0, 0.5, 1.0]
    if "imputer" in name:
        rows[::3, 1] = np.nan
    model = import_model(onnx_model.SerializeToString(), "onnx", mapping(**said))
    found = model.meaning.read(scored(model, of_rows(rows))).probability
    assert found is not None
    np.testing.assert_allclose(found, probabilities(onnx_model, rows), rtol=0, atol=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_so_does_any_linear_graph_on_any_rows(seed: int) -> None:
    random = np.random.default_rng(seed)
    wide, deep = random.normal(size=(3, 4)), random.normal(size=(4, 1))
    layers = graph(
        node("Mul", "x s", "a"), node("Add", "a m", "b"), node("Gemm", "b w v", "c"), node("MatMul", "c u", "z"),
        node("Sigmoid", "z", "y"), w=wide, u=deep, v=random.normal(size=4), s=random.uniform(0.1, 3, 3), m=random.normal(size=3),
    )  # fmt: skip
    rows = random.normal(size=(20, 3))
    model = import_model(layers.SerializeToString(), "onnx", mapping(all={"missing": 0.0, "clip": 1000.0}))
    np.testing.assert_allclose(
        model.meaning.read(scored(model, of_rows(rows))).probability, probabilities(layers, rows), rtol=0, atol=1e-9
    )


def test_a_graph_without_a_probability_is_a_score_that_is_no_log_odds() -> None:
    regressor = graph(node(f"{ML}:LinearRegressor", "x", "y", coefficients=[0.5, -1.25, 2.0], intercepts=[0.25]))
    rows = np.random.default_rng(8).normal(size=(5, 3))
    model = import_model(regressor.SerializeToString(), "onnx", mapping(**SAID))
    assert model.meaning.link == "identity"
    np.testing.assert_allclose(scored(model, of_rows(rows)), probabilities(regressor, rows), atol=1e-9)


def test_the_event_may_be_the_first_class() -> None:
    words = graph(classifier(classlabels_ints=None, classlabels_strings=["bad", "good"]), outputs="label y")
    rows = of_rows(np.random.default_rng(9).normal(size=(5, 3)))
    bad, good = (
        scored(import_model(words.SerializeToString(), "onnx", mapping(event=name, **SAID)), rows)
        for name in ("bad", "good")
    )
    np.testing.assert_allclose(bad, -good, atol=1e-12)
    np.testing.assert_allclose(good, rows["income"] * 0.5 - 1.25 * rows["arrears"] + 2 * rows["age"] - 0.75)


def outside() -> ModelProto:
    found = graph(node("MatMul", "x w", "z"), node("Sigmoid", "z", "y"), w=W)
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return found


REFUSED: dict[str, tuple[ModelProto, dict[str, Any], str]] = {
    "a tree": (graph(node(f"{ML}:TreeEnsembleClassifier", "x", "l y")), SAID, "TreeEnsembleClassifier is not supported"),
    "a bend": (graph(node("MatMul", "x w", "a"), node("Relu", "a", "y"), w=W), SAID, "Relu is not supported"),
    "somebody's own operator": (graph(node("bank.example:MatMul", "x w", "y"), w=W), SAID, "bank.example:MatMul"),
    "a product of inputs": (graph(node("Mul", "x x", "a"), node("MatMul", "a w", "y"), w=W), SAID, "both depend"),
    "weights elsewhere": (outside(), SAID, "another file"),
    "three columns of scores": (graph(node("MatMul", "x w", "y"), w=np.ones((3, 3))), SAID, "0 of the outputs"),
    "two scores": (
        graph(node("MatMul", "x w", "y"), node("Sigmoid", "y", "p"), w=W, outputs="y p"), SAID, "2 of the outputs",
    ),
    "an output that is not there": (graph(node("MatMul", "x w", "y"), w=W), {**SAID, "output": "p"}, "0 of the outputs"),
    "a matrix that does not fit": (graph(node("MatMul", "x w", "y"), w=np.ones((2, 1))), SAID, "inconsistent"),
    "an input from nowhere": (graph(node("MatMul", "q w", "y"), w=W), SAID, "inconsistent"),
    "a constant for each row": (
        graph(node("Add", "x b", "a"), node("MatMul", "a w", "y"), w=W, b=np.ones((3, 1))), SAID, "rows are alike",
    ),
    "three classes": (graph(classifier(classlabels_ints=[0, 1, 2])), SAID, "3 classes"),
    "probabilities that do not sum to one": (graph(classifier(intercepts=[0.75, 0.75])), SAID, "do not sum to one"),
    "an unknown link": (graph(classifier(post_transform="PROBIT")), SAID, "post_transform"),
    "an imputer of mixed columns": (
        graph(node("MatMul", "x w", "a"),
              node(f"{ML}:Imputer", "a", "y", imputed_value_floats=[0.0], replaced_value_float=float("nan")), w=W),
        SAID, "mix inputs",
    ),
    "a mapping in another order": (graph(node("MatMul", "x w", "y"), w=W), {**SAID, "columns": ["income"]}, "numbers its 3 inputs"),
    "no rule for what is missing": (
        graph(node("MatMul", "x w", "y"), w=W), {"all": {"low": -1.0, "high": 1.0}}, "give `missing`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_linear_or_not_complete_is_refused_and_says_so(name: str) -> None:
    onnx_model, said, words = REFUSED[name]
    with pytest.raises(ModelInvalid, match=words):
        import_model(onnx_model.SerializeToString(), "onnx", mapping(**said))


@pytest.mark.parametrize("data", [b"\xff" * 50, b"", b"<PMML/>", bytes(9 << 20)])
def test_what_is_no_graph_is_refused_by_a_typed_error(data: bytes) -> None:
    with pytest.raises(ModelInvalid):
        import_model(data, "onnx", mapping(**SAID))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelInvalid, match=r"xinqiao\[onnx\]"):
        import_model(GRAPHS["matmul, add, sigmoid"][0].SerializeToString(), "onnx", mapping(**SAID))
