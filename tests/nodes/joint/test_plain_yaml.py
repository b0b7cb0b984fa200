"""The part of YAML that is read, and that everything else is refused with its place."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodes.joint.plain_yaml import read_yaml
from tests.nodes.joint.yaml_texts import YAML_LIKE

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=20)
TEXTS = ANY_TEXT.filter(lambda text: re.fullmatch("[-+.0-9eE]+", text) is None)
"""PyYAML writes numbers of the core schema that it does not know as numbers, such as 0E0, without quotes."""
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_plain_data_is_read_as_any_reader_of_yaml_reads_it(data: Any) -> None:
    text = yaml.safe_dump(data, allow_unicode=True)
    assert read_yaml(text) == yaml.safe_load(text) == data


@settings(max_examples=400, deadline=None)
@given(YAML_LIKE)
@example('"\\UFFFFFFFF"')
@example("%YAML " + "9" * 5000 + ".1\n--- a")
@example("[" * 100_000)
@example("- " * 5000)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_yaml(text)
    except yaml.YAMLError:
        return
    assert isinstance(found, dict | list | str | int | float | None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("# only a remark", None),
        ("[1, -2, +3, 1.5, .5, 1e-3, 010]", [1, -2, 3, 1.5, 0.5, 0.001, 10]),
        ("[true, False, null, ~, ]", [True, False, None, None]),
        (
            "[yes, no, on, 2020-13-45, 0x_, 1:60, .inf, .nan]",
            ["yes", "no", "on", "2020-13-45", "0x_", "1:60", ".inf", ".nan"],
        ),
        ("['1', \"true\", '']", ["1", "true", ""]),
        ("{1: a, no: b, ~: c}", {"1": "a", "no": "b", "~": "c"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
    ],
)
def test_words_and_numbers_are_those_of_the_core_schema(text: str, found: Any) -> None:
    assert read_yaml(text) == found


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a: 1\nb: 2\na: 3", "key a comes twice", 3),
        ("a: {x: 1,\n x: 2}", "key x comes twice", 2),
        ("a: &here 1", "anchors", 1),
        ("a: 1\nb: *here", "anchors", 2),
        ("? &k a\n: 1", "anchors", 1),
        ("a: !!timestamp x", "tags", 1),
        ("!!python/object:os.system x", "tags", 1),
        ("? [a]\n: 1", "a key is a text", 1),
        ("a\n---\nb", "second document", 2),
        ("\na: 1e999", "too large", 2),
        ('a: "\\0"', "null character", 1),
        ('"\\ud800": 1', "null character", 1),
        ("[" * 21 + "]" * 21, "deeper", 1),
        ("a: [1", "expected", 1),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(text: str, said: str, line: int) -> None:
    with pytest.raises(yaml.YAMLError, match=said) as refused:
        read_yaml(text)
    assert f"line {line}," in str(refused.value)
