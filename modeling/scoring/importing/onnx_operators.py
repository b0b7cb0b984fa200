"""What the operators of an ONNX graph do to columns that are linear in the model's inputs.

Each takes an `Operation` and gives the values of its outputs, or raises ModelInvalid where the result would not be linear. Source: ONNX
operator schemas (Operators.md, Operators-ml.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modeling.errors import ModelInvalid
from modeling.preparation.columns import Numbers
from modeling.scoring.importing.mapping import label_text

MAX_CELLS: Final = 1_000_000
"""Of a matrix over the inputs."""
_FLOATS: Final = (1, 11)
"""TensorProto.FLOAT, DOUBLE."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """Columns x @ matrix + shift: float64[inputs, k], float64[k]."""

    matrix: Numbers
    shift: Numbers

    def __post_init__(self) -> None:
        """Raises ModelInvalid."""
        if self.matrix.size > MAX_CELLS:
            raise ModelInvalid(f"a linear model of {self.matrix.shape} numbers cannot be meant")

    @property
    def scales(self) -> Numbers | None:
        """float64[inputs]: the slope of each column, if each is of one input in the order of the inputs; else None."""
        square = self.matrix.shape[0] == self.matrix.shape[1]
        slopes = np.diagonal(self.matrix)
        return slopes if square and slopes.all() and np.count_nonzero(self.matrix) == len(slopes) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Odds:
    """Log odds (one column) of the second of two classes against the first, shown as probabilities."""

    linear: Linear
    classes: tuple[str, str] = ("0", "1")


@dataclass(frozen=True)
class Label:
    """A class that was decided on: no score."""


Value = Linear | Odds | Label | npt.NDArray[Any]


@dataclass(kw_only=True)
class Notes:
    """What is said of single inputs on the way: fills in raw units, and how they are standardised: x * slope + shift."""

    fills: dict[int, float] = field(default_factory=dict)
    standard: dict[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operator at its place."""

    name: str
    inputs: tuple[Value, ...]
    attributes: Mapping[str, Any]
    notes: Notes

    def linear(self, place: int = 0) -> Linear:
        """Raises ModelInvalid."""
        found = self.inputs[place]
        if not isinstance(found, Linear):
            raise ModelInvalid(f"{self.name} of what is not linear in the inputs is not supported")
        return found

    def constant(self, place: int) -> Numbers:
        """Raises ModelInvalid."""
        found = self.inputs[place]
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
            raise ModelInvalid(f"{self.name} of two values that both depend on the inputs is not supported")
        return found.astype(np.float64)

    def row(self, place: int) -> Numbers:
        """A constant that is the same in each row. Raises ModelInvalid."""
        found = self.constant(place)
        if found.size != np.prod(found.shape[-1:]):
            raise ModelInvalid(f"{self.name} of a constant of shape {found.shape} is not supported: rows are alike")
        return found.reshape(-1)

    def numbers(self, name: str, default: float | None = None) -> Numbers:
        """An attribute of numbers. Raises ModelInvalid."""
        found = self.attributes.get(name, default)
        if found is None:
            raise ModelInvalid(f"{self.name} has no attribute {name}")
        return np.atleast_1d(np.asarray(found, np.float64))


Follow = Callable[[Operation], tuple[Value, ...]]


def _affine(operation: Operation, slope: Numbers, shift: Numbers) -> tuple[Value, ...]:
    """Each column * slope + shift; noted where columns still are the inputs. Raises ModelInvalid."""
    given = operation.linear(1 if isinstance(operation.inputs[0], np.ndarray) else 0)
    slopes, shifts = (np.broadcast_to(each, given.shift.shape) for each in (slope, shift))
    found = Linear(matrix=given.matrix * slopes, shift=given.shift * slopes + shifts)
    if found.scales is not None:
        pairs = zip(found.scales.tolist(), found.shift.tolist(), strict=True)
        operation.notes.standard.update(enumerate(pairs))
    return (found,)


def _scaler(operation: Operation) -> tuple[Value, ...]:
    scale, offset = operation.numbers("scale", 1.0), operation.numbers("offset", 0.0)
    return _affine(operation, scale, -offset * scale)


def _add(operation: Operation) -> tuple[Value, ...]:
    first, second = operation.inputs
    if isinstance(first, Linear) and isinstance(second, Linear):
        return (Linear(matrix=first.matrix + second.matrix, shift=first.shift + second.shift),)
    shift = operation.row(0 if isinstance(first, np.ndarray) else 1)
    return _affine(operation, np.ones(1), shift)


def _subtract(operation: Operation) -> tuple[Value, ...]:
    if isinstance(operation.inputs[0], np.ndarray):
        return _affine(operation, -np.ones(1), operation.row(0))
    return _affine(operation, np.ones(1), -operation.row(1))


def _multiply(operation: Operation) -> tuple[Value, ...]:
    slope = operation.row(0 if isinstance(operation.inputs[0], np.ndarray) else 1)
    return _affine(operation, slope, np.zeros(1))


def _divide(operation: Operation) -> tuple[Value, ...]:
    divisor = operation.row(1)
    if not divisor.all():
        raise ModelInvalid("Div by zero")
    return _affine(operation, 1 / divisor, np.zeros(1))


def _negate(operation: Operation) -> tuple[Value, ...]:
    return _affine(operation, -np.ones(1), np.zeros(1))


def _imputer(operation: Operation) -> tuple[Value, ...]:
    given, scales = operation.linear(), operation.linear().scales
    if scales is None:
        raise ModelInvalid("an Imputer behind columns that mix inputs is not supported")
    if not np.isnan(operation.numbers("replaced_value_float", 0.0)).all():
        raise ModelInvalid("an Imputer of another value than NaN is not supported")
    values = np.broadcast_to(operation.numbers("imputed_value_floats"), given.shift.shape)
    for place, value in enumerate(((values - given.shift) / scales).tolist()):
        operation.notes.fills.setdefault(place, value)
    return (given,)


def _matmul(operation: Operation) -> tuple[Value, ...]:
    given, weights = operation.linear(), operation.constant(1)
    columns = weights[:, None] if weights.ndim == 1 else weights
    return (Linear(matrix=given.matrix @ columns, shift=given.shift @ columns),)


def _gemm(operation: Operation) -> tuple[Value, ...]:
    if operation.attributes.get("transA", 0):
        raise ModelInvalid("Gemm that transposes its inputs is not supported")
    given, weights = operation.linear(), operation.constant(1)
    weights = operation.attributes.get("alpha", 1.0) * (weights.T if operation.attributes.get("transB", 0) else weights)
    shift = operation.attributes.get("beta", 1.0) * (operation.row(2) if len(operation.inputs) > 2 else np.zeros(1))
    found = given.shift @ weights
    return (Linear(matrix=given.matrix @ weights, shift=found + np.broadcast_to(shift, found.shape)),)


def _concat(operation: Operation) -> tuple[Value, ...]:
    if operation.attributes.get("axis") not in (1, -1):
        raise ModelInvalid("Concat is supported for columns only, axis 1")
    parts = [operation.linear(place) for place in range(len(operation.inputs))]
    return (Linear(matrix=np.hstack([each.matrix for each in parts]), shift=np.hstack([each.shift for each in parts])),)


def _same(operation: Operation) -> tuple[Value, ...]:
    if operation.attributes.get("axis", 1) != 1:
        raise ModelInvalid(f"{operation.name} along the rows is not supported")
    return (operation.inputs[0],)


def _cast(operation: Operation) -> tuple[Value, ...]:
    if isinstance(operation.inputs[0], Linear) and operation.attributes.get("to") not in _FLOATS:
        raise ModelInvalid("a Cast to what is no floating-point number is not supported")
    return (operation.inputs[0],)


def _shape(operation: Operation) -> tuple[Value, ...]:
    """Squeeze and Reshape, of one column: it stays one."""
    given = operation.inputs[0]
    if isinstance(given, Linear) and given.matrix.shape[1] != 1:
        raise ModelInvalid(f"{operation.name} of several columns is not supported")
    return (given,)


def _sigmoid(operation: Operation) -> tuple[Value, ...]:
    return (Odds(linear=_one_column(operation.linear(), "Sigmoid")),)


def _softmax(operation: Operation) -> tuple[Value, ...]:
    if operation.attributes.get("axis", -1) not in (1, -1):
        raise ModelInvalid("a Softmax along the rows is not supported")
    return (Odds(linear=_difference(operation.linear(), "Softmax")),)


def _constant(operation: Operation) -> tuple[Value, ...]:
    names = ("value", "value_float", "value_floats", "value_int", "value_ints")
    found = [operation.attributes[name] for name in names if name in operation.attributes]
    if len(found) != 1:
        raise ModelInvalid("a Constant is one of numbers")
    return (np.asarray(found[0]),)


def _regressor(operation: Operation) -> tuple[Value, ...]:
    kind = operation.attributes.get("post_transform", b"NONE")
    if operation.attributes.get("targets", 1) != 1 or kind not in {b"NONE", b"LOGISTIC"}:
        raise ModelInvalid("a LinearRegressor of several targets, or with this post_transform, is not supported")
    given, weights = operation.linear(), operation.numbers("coefficients")[:, None]
    shift = given.shift @ weights + operation.numbers("intercepts", 0.0)
    found = Linear(matrix=given.matrix @ weights, shift=shift)
    return (Odds(linear=found) if kind == b"LOGISTIC" else found,)


def _classifier(operation: Operation) -> tuple[Value, ...]:
    """One row of coefficients, for the second class, or two: opposite ones for LOGISTIC, any for SOFTMAX."""
    labels = operation.attributes.get("classlabels_ints") or operation.attributes.get("classlabels_strings") or (0, 1)
    first, *others = (label_text(each.decode() if isinstance(each, bytes) else each) for each in labels)
    if len(others) != 1:
        raise ModelInvalid(f"a LinearClassifier of {len(labels)} classes is not supported, but of two")
    given, kind = operation.linear(), operation.attributes.get("post_transform", b"NONE")
    weights = operation.numbers("coefficients").reshape(-1, len(given.shift)).T
    shift = given.shift @ weights + np.broadcast_to(operation.numbers("intercepts", 0.0), weights.shape[1])
    found = Linear(matrix=given.matrix @ weights, shift=shift)
    if kind == b"SOFTMAX":
        linear = _difference(found, "SOFTMAX")
    elif kind == b"LOGISTIC":
        if weights.shape[1] == 2 and not (np.allclose(weights.sum(axis=1), 0) and np.isclose(shift.sum(), 0)):
            raise ModelInvalid("a LinearClassifier whose two probabilities do not sum to one is not supported")
        linear = _one_column(Linear(matrix=found.matrix[:, -1:], shift=found.shift[-1:]), "LOGISTIC")
    else:
        raise ModelInvalid(f"a LinearClassifier with post_transform {kind!r} is not supported: LOGISTIC or SOFTMAX are")
    return Label(), Odds(linear=linear, classes=(first, others[0]))


def _probabilities(operation: Operation) -> tuple[Value, ...]:
    """Normalizer and ZipMap of probabilities that sum to one: they stay what they are."""
    found = operation.inputs[0]
    if not isinstance(found, Odds) or operation.attributes.get("norm", b"L1") != b"L1":
        raise ModelInvalid(f"{operation.name} is supported behind a classifier only, with the norm L1")
    return (found,)


def _one_column(given: Linear, name: str) -> Linear:
    if given.matrix.shape[1] != 1:
        raise ModelInvalid(f"{name} of {given.matrix.shape[1]} columns is not supported, but of one")
    return given


def _difference(given: Linear, name: str) -> Linear:
    if given.matrix.shape[1] != 2:
        raise ModelInvalid(f"{name} of {given.matrix.shape[1]} columns is not supported, but of two")
    return Linear(matrix=given.matrix[:, 1:] - given.matrix[:, :1], shift=given.shift[1:] - given.shift[:1])


OPERATORS: Final[Mapping[str, Follow]] = {
    "Add": _add,
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "Div": _divide,
    "Flatten": _same,
    "Gemm": _gemm,
    "Identity": _same,
    "MatMul": _matmul,
    "Mul": _multiply,
    "Neg": _negate,
    "Reshape": _shape,
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Squeeze": _shape,
    "Sub": _subtract,
    "ai.onnx.ml:Imputer": _imputer,
    "ai.onnx.ml:LinearClassifier": _classifier,
    "ai.onnx.ml:LinearRegressor": _regressor,
    "ai.onnx.ml:Normalizer": _probabilities,
    "ai.onnx.ml:Scaler": _scaler,
    "ai.onnx.ml:ZipMap": _probabilities,
}
