"""An ONNX graph that is a linear model: followed operator by operator (onnx_operators.py) as a matrix over the inputs.

The package onnx (extra `onnx`) reads the file; nothing of it runs. An operator that is not known is refused, and so are weights that
lie in other files. Weights are float32 mostly: they are taken exactly, and the score is computed in double precision.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modeling.errors import ModelInvalid
from modeling.jobs.plan import MAX_COLUMNS
from modeling.scoring.importing.found import Found, Slope, assemble
from modeling.scoring.importing.mapping import ModelMapping
from modeling.scoring.importing.onnx_operators import OPERATORS, Label, Linear, Notes, Odds, Operation, Value
from modeling.scoring.model import MAX_MODEL_BYTES, LinearModel

_FLOATS: Final = (1, 11)
"""TensorProto.FLOAT, DOUBLE."""


def read_onnx(data: bytes, mapping: ModelMapping) -> LinearModel:
    """The model of an ONNX file's bytes. Raises ModelInvalid, also where the package onnx is not installed."""
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError:
        raise ModelInvalid("ONNX models need the extra `onnx`: pip install 'xinqiao[onnx]'") from None
    if len(data) > MAX_MODEL_BYTES:
        raise ModelInvalid(f"an ONNX file of more than {MAX_MODEL_BYTES >> 20} MB is no linear model")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise ModelInvalid("the file is no ONNX model") from None
    try:
        return assemble(_found(model.graph, mapping), mapping)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ModelInvalid(f"the ONNX graph is inconsistent: {error}") from None


def _found(graph: Any, mapping: ModelMapping) -> Found:  # noqa: ANN401 - onnx.GraphProto
    values: dict[str, Value] = {each.name: _array(each) for each in graph.initializer}
    names = _inputs(graph, mapping, values)
    notes = Notes()
    for node in graph.node:
        name = node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}:{node.op_type}"
        follow = OPERATORS.get(name)
        if follow is None:
            raise ModelInvalid(f"the operator {name} is not supported: the graph has to be a linear model")
        attributes = {each.name: _attribute(each) for each in node.attribute}
        inputs = tuple(values[each] for each in node.input if each)
        outputs = follow(Operation(name=name, inputs=inputs, attributes=attributes, notes=notes))
        values.update(zip(node.output, outputs, strict=False))
    score = _score([each.name for each in graph.output], values, mapping)
    if isinstance(score, Odds):
        return _terms(names, score.linear, mapping.sign(score.classes), notes, logit=True)
    return _terms(names, score, 1, notes, logit=False)


def _inputs(graph: Any, mapping: ModelMapping, values: dict[str, Value]) -> tuple[str, ...]:  # noqa: ANN401
    """The names of the input columns; their values are added. Raises ModelInvalid."""
    widths = {each.name: _width(each) for each in graph.input if each.name not in values}
    count = sum(widths.values())
    if not 0 < count <= MAX_COLUMNS:
        raise ModelInvalid(f"the graph has {count} input columns; 1 to {MAX_COLUMNS} are read")
    start = 0
    for name, width in widths.items():
        values[name] = Linear(matrix=np.eye(count)[:, start : start + width], shift=np.zeros(width))
        start += width
    return tuple(widths) if set(widths.values()) == {1} and count > 1 else mapping.ordered(count)


def _width(given: Any) -> int:  # noqa: ANN401 - onnx.ValueInfoProto
    kind = given.type.tensor_type
    if kind.elem_type not in _FLOATS or len(kind.shape.dim) != 2 or not kind.shape.dim[1].dim_value:
        raise ModelInvalid(
            f"the input {given.name!r} should be floating-point numbers, rows by a fixed number of columns"
        )
    return int(kind.shape.dim[1].dim_value)


def _array(tensor: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - onnx.TensorProto
    from onnx.numpy_helper import to_array

    if tensor.data_location or tensor.external_data:
        raise ModelInvalid("weights that lie in another file are not read; save the model as one file")
    return np.asarray(to_array(tensor))


def _attribute(attribute: Any) -> Any:  # noqa: ANN401 - onnx.AttributeProto
    from onnx.helper import get_attribute_value

    return _array(attribute.t) if attribute.HasField("t") else get_attribute_value(attribute)


def _score(outputs: list[str], values: dict[str, Value], mapping: ModelMapping) -> Linear | Odds:
    """The output that is the score. Raises ModelInvalid."""
    wanted = outputs if mapping.output is None else [mapping.output]
    found = [values[name] for name in wanted if name in values and not isinstance(values[name], Label)]
    scores = [each for each in found if isinstance(each, Odds) or (isinstance(each, Linear) and len(each.shift) == 1)]
    if len(scores) != 1:
        raise ModelInvalid(
            f"{len(scores)} of the outputs {', '.join(wanted)[:200]} are a score; say in `output` which one is meant"
        )
    return scores[0]


def _terms(names: tuple[str, ...], score: Linear, sign: int, notes: Notes, *, logit: bool) -> Found:
    """A term for each input, in units of how the graph standardises it, if it does."""
    intercept, terms = sign * float(score.shift[0]), {}
    for place, name in enumerate(names):
        weight, fill = sign * float(score.matrix[place, 0]), notes.fills.get(place)
        slope, shift = notes.standard.get(place, (1.0, 0.0))
        if (slope, shift) == (1.0, 0.0):
            terms[name] = Slope(weight=weight, fill=fill)
            continue
        centre, spread = -shift / slope, 1 / abs(slope)
        intercept += weight * centre
        terms[name] = Slope(weight=weight * spread, centre=centre, spread=spread, fill=fill)
    return Found(intercept=intercept, terms=terms, link="logit" if logit else "identity")
