"""YAML as a person writes it: one document of mappings, lists, texts, numbers, true, false and nothing (YAML 1.2.2, 10.3).

What is left of the language is refused, for a file that is read in two ways is worse than one that is not read: a key that comes twice,
anchors (a short text could become a huge value), tags, infinite numbers. `yes`, `no` and dates are texts, and so is every key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final, NoReturn

import yaml

_DEEPEST: Final = 20
_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")


def read_yaml(text: str) -> Any:  # noqa: ANN401 - data of any form
    """The document as plain data. Raises YAMLError, which names line and column."""
    events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        next(events)  # the stream
        begin = next(events)
        if isinstance(begin, yaml.StreamEndEvent):
            return None
        found = _value(next(events), events, 0)
        next(events)  # the document's end
        more = next(events)
    except (ValueError, OverflowError) as error:  # an escape that is no character
        raise yaml.YAMLError(f"a text cannot be read: {error}") from None
    if not isinstance(more, yaml.StreamEndEvent):
        _refuse(more, "there is a second document")
    return found


def _value(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:  # noqa: ANN401 - data of any form
    _refuse_marked(event)
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if depth == _DEEPEST:
        _refuse(event, f"values lie deeper than {_DEEPEST} levels")
    if isinstance(event, yaml.SequenceStartEvent):
        inside = takewhile(lambda each: not isinstance(each, yaml.SequenceEndEvent), events)
        return [_value(each, events, depth + 1) for each in inside]
    found: dict[str, Any] = {}
    for key in takewhile(lambda each: not isinstance(each, yaml.MappingEndEvent), events):
        name = _key(key)
        if name in found:
            _refuse(key, f"the key {name} comes twice")
        found[name] = _value(next(events), events, depth + 1)
    return found


def _refuse_marked(event: yaml.Event) -> None:
    if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
        _refuse(event, "anchors and aliases are not read; write the value out")
    if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
        _refuse(event, f"tags are not read: {event.tag}")


def _key(event: yaml.Event) -> str:
    _refuse_marked(event)
    if not isinstance(event, yaml.ScalarEvent):
        _refuse(event, "a key is a text")
    return _text(event)


def _text(event: yaml.ScalarEvent) -> str:
    value: str = event.value
    if _NO_TEXT.search(value):
        _refuse(event, "a text holds a null character or half of one")
    return value


def _scalar(event: yaml.ScalarEvent) -> str | float | bool | None:
    value = _text(event)
    if not event.implicit[0]:  # in quotes
        return value
    if value in _WORDS:
        return _WORDS[value]
    if _WHOLE.fullmatch(value):
        return int(value)
    if _NUMBER.fullmatch(value) is None:
        return value
    number = float(value)
    if not math.isfinite(number):
        _refuse(event, f"the number {value[:40]} is too large")
    return number


def _refuse(event: yaml.Event, problem: str) -> NoReturn:
    raise yaml.YAMLError(f"{problem}, {event.start_mark}")
