"""Operators: who lets one in, who ends one, and that neither the hub's key nor one stolen key is enough."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.directory import Directory, DirectoryRule, Operator, OperatorKey, OperatorRevoked
from consent.errors import ConsentError
from tests.consent.builders import BANK, DAY, NOW, OTHER_USCC, USCC, World, admitted, key, public, subject_key
from trust.errors import KeyMalformed, SignatureInvalid, TrustError


@pytest.fixture
def world() -> World:
    return World()


def added(name: str = "op2", key_name: str = "operator2", signer: str | None = "op", **changes: object) -> OperatorKey:
    entry = OperatorKey(operator=name, public_key=public(key_name), time_ms=NOW, signer=signer)
    return msgspec.structs.replace(entry, **changes)


def revoked(name: str = "op2", key_name: str = "operator2", signer: str = "op", **changes: object) -> OperatorRevoked:
    entry = OperatorRevoked(
        operator=name, key_id=key(key_name).public.key_id, reason="stolen", time_ms=NOW + DAY, signer=signer
    )
    return msgspec.structs.replace(entry, **changes)


@pytest.fixture
def two(world: World) -> World:
    """op and op2 stand."""
    world.enter("operator-key", added(), "operator")
    return world


def test_the_first_operator_is_the_hubs_and_the_second_the_firsts(two: World) -> None:
    first, second = two.directory.operators_ever()
    assert first == Operator(name="op", key=key("operator").public, from_ms=NOW, signer=None)
    assert second == Operator(name="op2", key=key("operator2").public, from_ms=NOW, signer="op")
    two.enter("member-admitted", msgspec.structs.replace(admitted("third", "bank"), operator="op2"), "operator2")


ATTACKS: list[tuple[str, str, msgspec.Struct, str, type[Exception]]] = [
    ("one whom the hub alone lets in", "operator-key", added("op3", "thief", None), "hub", DirectoryRule),
    ("one whom the hub lets in in another's name", "operator-key", added("op3", "thief"), "hub", SignatureInvalid),
    ("one who lets itself in", "operator-key", added("op3", "thief", "op3"), "thief", DirectoryRule),
    ("one whom nobody known lets in", "operator-key", added("op3", "thief", "nobody"), "thief", DirectoryRule),
    ("one whom an enterprise lets in", "operator-key", added("op3", "thief"), USCC, SignatureInvalid),
    ("a known name that the hub takes over", "operator-key", added("op", "thief", None), "hub", DirectoryRule),
    ("a known name taken over by the new key", "operator-key", added("op", "thief", "op"), "thief", SignatureInvalid),
    ("a second name for a known key", "operator-key", added("op3", "operator"), "operator", DirectoryRule),
    ("the same key once more", "operator-key", added("op", "operator"), "operator", DirectoryRule),
    ("a key off the curve", "operator-key", added("op3", public_key="04" + "11" * 64), "operator", KeyMalformed),
    ("the end of one by the hub", "operator-revoked", revoked(), "hub", SignatureInvalid),
    ("the end of one by an enterprise", "operator-revoked", revoked(), USCC, SignatureInvalid),
    ("the end of nobody", "operator-revoked", revoked("op3"), "operator", DirectoryRule),
    ("the end of another key than the present", "operator-revoked", revoked("op2", "old"), "operator", DirectoryRule),
    ("an end that names nobody known", "operator-revoked", revoked(signer="nobody"), "operator", DirectoryRule),
]


@pytest.mark.parametrize(
    ("name", "document", "signer", "error"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS]
)
def test_an_entry_that_breaks_a_rule_is_refused_and_changes_nothing(
    two: World, name: str, document: msgspec.Struct, signer: str, error: type[Exception]
) -> None:
    before = repr(vars(two.directory))
    with pytest.raises(error) as refusal:
        two.enter(name, document, signer)
    assert repr(vars(two.directory)) == before
    assert len(str(refusal.value)) > 30


def test_the_first_operator_names_no_signer() -> None:
    empty = World.__new__(World)
    empty.directory, empty.entries = Directory(), []
    with pytest.raises(DirectoryRule, match="first operator"):
        empty.enter("operator-key", added("op", "operator", "op"), "operator")
    with pytest.raises(DirectoryRule, match="not in the directory"):
        empty.enter("member-admitted", admitted(BANK, "bank"), "operator")


def test_the_last_operator_is_never_ended(two: World) -> None:
    two.enter("operator-revoked", revoked(), "operator")
    with pytest.raises(DirectoryRule, match="last operator"):
        two.enter("operator-revoked", revoked("op", "operator"), "operator")
    assert two.directory.operator_key("op") == key("operator").public


def test_an_operator_may_end_itself_while_another_stands(two: World) -> None:
    two.enter("operator-revoked", revoked("op", "operator"), "operator")
    assert two.directory.operator_key("op") is None
    assert [(each.name, each.ended_ms, each.ended_by) for each in two.directory.operators_ever()] == [
        ("op", NOW + DAY, "op"),
        ("op2", None, None),
    ]


@pytest.mark.parametrize("dated_ms", [NOW - DAY, NOW, NOW + DAY - 1, NOW + DAY, NOW + 2 * DAY])
def test_an_ended_key_signs_nothing_however_it_is_dated_and_what_it_signed_stays(two: World, dated_ms: int) -> None:
    early = subject_key("91110000Y000000326", public_key=public("early"), operator="op2")
    two.enter("subject-key", early, "operator2")
    two.enter("operator-revoked", revoked(), "operator")
    assert two.directory.subject_key(early.uscc) == key("early").public
    changes = {"public_key": public("second"), "version": 2, "prev_key_id": key(USCC).public.key_id}
    with pytest.raises(DirectoryRule, match="op2 was revoked"):
        two.enter("subject-key", subject_key(USCC, time_ms=dated_ms, operator="op2", **changes), "operator2")
    with pytest.raises(SignatureInvalid):
        two.enter("subject-key", subject_key(USCC, time_ms=dated_ms, **changes), "operator2")
    with pytest.raises(DirectoryRule, match="op2 was revoked"):
        two.enter("operator-key", added("op3", "thief", "op2", time_ms=dated_ms), "operator2")
    with pytest.raises(DirectoryRule, match="op2 was revoked"):
        two.enter("operator-revoked", revoked("op", "operator", "op2", time_ms=dated_ms), "operator2")


def test_an_ended_name_comes_back_by_another_operator_and_with_another_key_only(two: World) -> None:
    ending = revoked()
    two.enter("operator-revoked", ending, "operator")
    for document, signer in ((added(), "operator"), (added("op2", "operator3", "op2"), "operator2")):
        with pytest.raises(DirectoryRule):
            two.enter("operator-key", document, signer)
    two.enter("operator-key", added("op2", "operator3"), "operator")
    assert two.directory.operator_key("op2") == key("operator3").public
    with pytest.raises(DirectoryRule, match="present key"):  # what ended the old key does not end the new one
        two.enter("operator-revoked", ending, "operator")


@pytest.mark.parametrize(("signer", "signer_key"), [("op2", "operator2"), ("op", "operator")])
def test_a_key_is_replaced_by_itself_or_by_another_operator(two: World, signer: str, signer_key: str) -> None:
    two.enter("operator-key", added("op2", "operator3", signer, time_ms=NOW + 5), signer_key)
    assert two.directory.operator_key("op2") == key("operator3").public
    assert [(each.key.key_id, each.ended_ms, each.ended_by) for each in two.directory.operators_ever()[1:]] == [
        (key("operator2").public.key_id, NOW + 5, signer),
        (key("operator3").public.key_id, None, None),
    ]
    with pytest.raises(SignatureInvalid):
        two.enter("member-admitted", msgspec.structs.replace(admitted("third", "bank"), operator="op2"), "operator2")


# -- any order of acts

NAMES = ("op", "op2", "op3")
KEYS = ("operator", "operator2", "k3", "k4")


@dataclass
class Model:
    """What should stand, by the sentences of the rules only."""

    present: dict[str, str] = field(default_factory=lambda: {"op": "operator"})
    used: set[str] = field(default_factory=lambda: {"operator"})

    def accepts(self, act: str, name: str, key_name: str, signer: str, signer_key: str) -> bool:
        if self.present.get(signer) != signer_key:
            return False
        if act == "add":
            return key_name not in self.used
        return self.present.get(name) == key_name and len(self.present) > 1

    def take(self, act: str, name: str, key_name: str) -> None:
        if act == "add":
            self.present[name] = key_name
            self.used.add(key_name)
        else:
            del self.present[name]


ACTS = st.tuples(
    st.sampled_from(("add", "revoke")),
    st.sampled_from(NAMES),
    st.sampled_from(KEYS),
    st.sampled_from(NAMES),
    st.sampled_from(KEYS),
)


@given(st.lists(ACTS, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_in_any_order_of_acts_one_stands_and_only_who_stands_acts(acts: list[tuple[str, str, str, str, str]]) -> None:
    world, model = World(), Model()
    for act, name, key_name, signer, signer_key in acts:
        if act == "add":
            kind, document = "operator-key", added(name, key_name, signer)
        else:
            kind, document = "operator-revoked", revoked(name, key_name, signer)
        if model.accepts(act, name, key_name, signer, signer_key):
            world.enter(kind, document, signer_key)
            model.take(act, name, key_name)
        else:
            with pytest.raises((ConsentError, TrustError)):
                world.enter(kind, document, signer_key)
        standing = {each.name: each.key for each in world.directory.operators_ever() if each.stands}
        assert standing == {one: key(held).public for one, held in model.present.items()}
        assert standing
    restored = Directory()
    restored.restore(world.entries, key("hub").public)
    assert repr(vars(restored)) == repr(vars(world.directory))
    assert world.directory.subject_key(OTHER_USCC) is not None
