"""The API's own page, made from its OpenAPI document: no script, no asset of another host. Every text is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup, escape

from nodes.service.problems import codes, title

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class _Field:
    """A line of a table: of a parameter, or of a schema's member."""

    name: str
    kind: str
    required: bool
    what: str


@dataclass(frozen=True)
class _Shape:
    """A schema with members."""

    name: str
    what: str
    fields: tuple[_Field, ...]


@dataclass(frozen=True)
class _Operation:
    """A method of a path."""

    method: str
    path: str
    what: str
    public: bool
    parameters: tuple[_Field, ...]
    takes: str
    gives: str
    example: str
    answers: tuple[tuple[str, str], ...]


def reference_page(document: Schema) -> str:
    """HTML of an OpenAPI document (3.1)."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nodes.service", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment.get_template("reference.html").render(
        info=document["info"],
        operations=list(_operations(document)),
        shapes=list(_shapes(document)),
        codes=[(code, status, title(status)) for code, status in sorted(codes().items(), key=lambda each: each[1])],
    )


def _code(text: str) -> Markup:
    """What stands between backticks, as code."""
    parts = (
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def _operations(document: Schema) -> Iterator[_Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            taken = _content(operation.get("requestBody", {}))
            given = _content(operation["responses"].get("200", {}))
            yield _Operation(
                method=method.upper(),
                path=path,
                what=operation.get("description", ""),
                public="security" not in operation,
                parameters=tuple(
                    _Field(
                        name=each["name"],
                        kind=f"{each['in']}, {_kind(each['schema'])}",
                        required=each.get("required", False),
                        what=each.get("description", ""),
                    )
                    for each in operation.get("parameters", ())
                ),
                takes=_kind(taken) if taken else "",
                gives=_kind(given) if given else "",
                example=_example(document, taken),
                answers=tuple((code, each.get("description", "")) for code, each in operation["responses"].items()),
            )


def _shapes(document: Schema) -> Iterator[_Shape]:
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        if name in {"HTTPValidationError", "ValidationError"}:  # FastAPI's own form, which no answer has
            continue
        required = schema.get("required", ())
        yield _Shape(
            name=name,
            what=schema.get("description", ""),
            fields=tuple(
                _Field(name=field, kind=_kind(each), required=field in required, what=each.get("description", ""))
                for field, each in schema.get("properties", {}).items()
            ),
        )


def _content(body: Schema) -> Schema:
    content: Schema = body.get("content", {}).get("application/json", {}).get("schema", {})
    return content


def _kind(schema: Schema) -> str:
    """In a few words: `list of SubjectIn`, `text or null`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(json.dumps(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object":
        return f"object of {_kind(schema.get('additionalProperties') or {})}"
    names = {"string": "text", "boolean": "true or false", "null": "null"}
    kind = names.get(schema.get("type", ""), schema.get("type", "anything"))
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _example(document: Schema, schema: Schema) -> str:
    if "$ref" in schema:
        schema = document["components"]["schemas"][_kind(schema)]
    examples = schema.get("examples", ())
    return json.dumps(examples[0], ensure_ascii=False, indent=2) if examples else ""
