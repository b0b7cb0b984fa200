"""A bank's own model in another form becomes a LinearModel: JSON, PMML, ONNX from a file, scikit-learn from an object.

What a form can say and a linear score over bounded columns cannot is refused, never approximated. What the form does not say (whose
column an input is, what a missing value is taken for, how far a number may go) is said by a mapping.
"""

from __future__ import annotations

from typing import Final, Literal

from modeling.errors import ModelInvalid
from modeling.scoring.importing.mapping import ModelMapping, mapping_of
from modeling.scoring.importing.onnx_graph import read_onnx
from modeling.scoring.importing.plain import read_plain
from modeling.scoring.importing.pmml import read_pmml
from modeling.scoring.importing.sklearn_model import from_sklearn
from modeling.scoring.model import LinearModel

Form = Literal["json", "pmml", "onnx"]
FORMS: Final[dict[str, Form]] = {".json": "json", ".pmml": "pmml", ".xml": "pmml", ".onnx": "onnx"}
"""By the suffix of a file's name."""

__all__ = ["FORMS", "Form", "ModelMapping", "from_sklearn", "import_model", "mapping_of"]


def import_model(data: bytes, form: Form, mapping: ModelMapping | None = None) -> LinearModel:
    """The model of a file's bytes. JSON says everything itself and takes no mapping, the others need one. Raises ModelInvalid."""
    if form == "json":
        if mapping is not None:
            raise ModelInvalid("a model in JSON says itself what its inputs are: leave the mapping out")
        return read_plain(data)
    if mapping is None:
        raise ModelInvalid(
            f"a model in {form.upper()} needs a mapping: which input is which column of whom. See docs/scoring.md."
        )
    return read_pmml(data, mapping) if form == "pmml" else read_onnx(data, mapping)
