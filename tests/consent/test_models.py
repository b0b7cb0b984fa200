from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.documents import encode
from consent.errors import ConsentError, DirectoryRule, DocumentMalformed
from consent.model_state import Model, State, Step, WrongState, open_version, open_word, require_step, state_of
from consent.models import MODEL_VERSION_TYPE, ModelAct, ModelApproval, parse_version, sign_version, sign_word
from tests.consent.model_builders import (
    NOW,
    OTHER,
    OTHER_NODE,
    OWNER,
    OWNER_NODE,
    PROVIDER,
    PROVIDER_NODE,
    Known,
    act,
    approval,
    part,
    served_version,
    version,
)
from trust.document import sign_document
from trust.errors import SignatureInvalid
from trust.sm2 import PrivateKey
from trust.suite import sm3

BOTH = version(PROVIDER, OTHER)
SM3 = sm3(encode(BOTH)).hex()


def words() -> st.SearchStrategy[ModelApproval | ModelAct]:
    """Any word that a party, or a hub that shows words as it likes, may bring: other models' and strangers' too."""
    about = st.sampled_from(
        [(BOTH.model_id, SM3)] * 6 + [(BOTH.model_id, "0" * 64), ("0" * 8 + BOTH.model_id[8:], SM3)]
    )
    times = st.integers(NOW, NOW + 5)
    said = st.builds(
        lambda who, what, when, of: approval(
            BOTH, SM3, what, provider=who, time_ms=when, model_id=of[0], model_sm3=of[1]
        ),
        st.sampled_from([PROVIDER, OTHER, OTHER, "stranger"]),
        st.sampled_from(["approved", "approved", "declined", "withdrawn"]),
        times,
        about,
    )
    done = st.builds(
        lambda who, what, when, of: act(BOTH, SM3, what, owner=who, time_ms=when, model_id=of[0], model_sm3=of[1]),
        st.sampled_from([OWNER, OWNER, "stranger"]),
        st.sampled_from(["in_service", "in_service", "retired"]),
        times,
        about,
    )
    return said | done


def split(said: Any) -> tuple[list[ModelApproval], list[ModelAct]]:
    return [one for one in said if isinstance(one, ModelApproval)], [one for one in said if isinstance(one, ModelAct)]


def of_this(said: Any) -> list[Any]:
    return [one for one in said if (one.model_id, one.model_sm3) == (BOTH.model_id, SM3)]


@given(st.lists(words(), max_size=8))
def test_a_model_is_in_service_only_with_every_providers_approval_of_these_bytes(said: list[Any]) -> None:
    standing = state_of(BOTH, SM3, *split(said))
    if standing.state in {State.APPROVED, State.IN_SERVICE}:
        for provider in BOTH.providers:
            assert any(getattr(one, "provider", "") == provider and one.decision == "approved" for one in of_this(said))
    if standing.state is State.IN_SERVICE:
        assert any(getattr(one, "act", "") == "in_service" and one.owner == OWNER for one in of_this(said))


@given(st.lists(words(), max_size=8), st.lists(words(), max_size=3))
def test_what_was_withdrawn_or_retired_stays_so_whatever_is_said_before_or_after(
    said: list[Any], more: list[Any]
) -> None:
    ends = [
        one
        for one in of_this(said)
        if (isinstance(one, ModelApproval) and one.decision == "withdrawn" and one.provider in BOTH.providers)
        or (isinstance(one, ModelAct) and one.act == "retired" and one.owner == OWNER)
    ]
    assert (state_of(BOTH, SM3, *split(said)).state is State.RETIRED) == bool(ends)
    if ends:
        assert state_of(BOTH, SM3, *split([*more, *said])).state is State.RETIRED
        assert state_of(BOTH, SM3, *split([*said, *more])).state is State.RETIRED


@given(st.lists(words(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_in_which_words_arrive_changes_nothing(said: list[Any], shuffle: Any) -> None:
    mixed = list(said)
    shuffle.shuffle(mixed)
    one, other = state_of(BOTH, SM3, *split(said)), state_of(BOTH, SM3, *split(mixed))
    assert (one.state, one.words) == (other.state, other.words)


def test_a_declined_model_is_a_draft_with_the_reason_until_the_provider_approves() -> None:
    model = Model(version=BOTH, sm3=SM3, document=sign_version(BOTH, PrivateKey.generate()))
    declined = model.with_word(approval(BOTH, SM3, "declined", reason="too few features"))
    assert declined.standing.state is State.DRAFT
    assert declined.standing.reason == f"{PROVIDER} declined: too few features"
    assert declined.standing.waiting == (PROVIDER, OTHER)
    approved = declined.with_word(approval(BOTH, SM3, time_ms=NOW + 9))
    assert (approved.standing.waiting, approved.standing.reason) == ((OTHER,), "")
    everybody = approved.with_word(approval(BOTH, SM3, provider=OTHER, node_id=OTHER_NODE))
    assert everybody.standing.state is State.APPROVED
    served = everybody.with_word(act(BOTH, SM3))
    assert served.standing.state is State.IN_SERVICE
    ended = served.with_word(approval(BOTH, SM3, "withdrawn", reason="law changed", time_ms=NOW))
    assert (ended.standing.state, ended.standing.reason) == (
        State.RETIRED,
        f"{PROVIDER} withdrew its approval: law changed",
    )


# Which steps begin where; whatever is not here is refused.
LEGAL = {
    State.DRAFT: {Step.APPROVE, Step.DECLINE, Step.RETIRE},
    State.APPROVED: {Step.APPROVE, Step.WITHDRAW, Step.SERVE, Step.RETIRE},
    State.IN_SERVICE: {Step.APPROVE, Step.WITHDRAW, Step.RETIRE},
    State.RETIRED: set(),
}


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_every_step_begins_where_the_table_says_and_nowhere_else(state: State, step: Step) -> None:
    one = version()
    model = Model(version=one, sm3=SM3, document=sign_version(one, PrivateKey.generate()))
    for word in {
        State.DRAFT: (),
        State.APPROVED: (approval(one, SM3),),
        State.IN_SERVICE: (approval(one, SM3), act(one, SM3)),
        State.RETIRED: (approval(one, SM3), act(one, SM3, "retired")),
    }[state]:
        model = model.with_word(word)
    assert model.standing.state is state
    if step in LEGAL[state]:
        require_step(model, step, PROVIDER)
    else:
        with pytest.raises(WrongState, match=one.name):
            require_step(model, step, PROVIDER)


@pytest.mark.parametrize(
    "changes",
    [
        {"commitment": "00" * 32},
        {"parts": (part(), part())},
        {"parts": (part(OWNER),)},
        {"parts": (part(nonzero=7),)},
        {"parts": (part(leverage=1.5),)},
        {"parts": (part(leverage=None),)},
        {"parts": (part(items=(msgspec.structs.replace(part().items[0], fields=()),)),)},
        {"parts": (part(items=part().items * 2),)},
        {"parts": ()},
        {"kind": "joint_logistic"},
        {"job": "ab" * 16},
        {"mode": "joint"},
        {"metrics": {"auc": 1.2}},
        {"metrics": {"accuracy": 0.5}},
        {"name": "Not A Name"},
        {"version": 0},
    ],
)
def test_a_version_that_contradicts_itself_is_refused_when_it_is_signed_and_when_it_is_read(changes: Any) -> None:
    wrong = version(**changes)
    with pytest.raises(DocumentMalformed):
        sign_version(wrong, PrivateKey.generate())
    with pytest.raises(DocumentMalformed):
        parse_version(encode(wrong))


def test_a_joint_version_attests_no_weights_of_its_providers() -> None:
    joint = version(
        kind="joint_boosting",
        mode="joint",
        job="ab" * 16,
        parts=(part(nonzero=None, leverage=None, preparation_sm3=""),),
    )
    assert parse_version(encode(joint)) == joint
    with pytest.raises(DocumentMalformed, match="attests"):
        parse_version(encode(version(kind="joint_boosting", mode="joint", job="ab" * 16)))


def test_data_to_model_is_its_owners_to_serve_and_each_asker_answers_for_itself() -> None:
    served = served_version(PROVIDER, OTHER)
    assert parse_version(encode(served)) == served
    assert (served.parties, served.may_ask(OTHER), served.may_ask(OWNER)) == ((PROVIDER, OTHER), True, False)
    assert (version().may_ask(OWNER), version().may_ask(PROVIDER)) == (True, False)
    model = Model(version=served, sm3=SM3, document=sign_version(served, PrivateKey.generate()))
    assert model.standing.state is State.APPROVED
    require_step(model, Step.SERVE, OWNER)
    in_service = model.with_word(act(served, SM3)).with_word(approval(served, SM3))
    left = in_service.with_word(approval(served, SM3, "withdrawn", time_ms=NOW + 9))
    assert (left.standing.state, left.standing.words) == (State.IN_SERVICE, {PROVIDER: "withdrawn", OTHER: ""})


@pytest.mark.parametrize(
    "changes",
    [
        {"askers": ()},
        {"askers": (PROVIDER, PROVIDER)},
        {"askers": (OWNER,)},
        {"told": ""},
        {"parts": (part(OTHER, nonzero=None, leverage=None),)},
        {"parts": (part(OWNER),)},
        {"mode": "model_to_data"},
    ],
)
def test_data_to_model_that_contradicts_itself_is_refused(changes: Any) -> None:
    with pytest.raises(DocumentMalformed):
        parse_version(encode(served_version(**changes)))


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    return {node: PrivateKey.generate() for node in (OWNER_NODE, PROVIDER_NODE, OTHER_NODE)}


def test_documents_by_the_right_nodes_are_believed(keys: dict[str, PrivateKey]) -> None:
    directory = Known(keys, {})
    model = open_version(sign_version(version(), keys[OWNER_NODE]), directory)
    for word, signer in (
        (approval(model.version, model.sm3), PROVIDER_NODE),
        (act(model.version, model.sm3), OWNER_NODE),
    ):
        assert open_word(sign_word(word, keys[signer]), directory, model) == word


def test_a_version_of_a_stranger_or_signed_by_another_is_refused(keys: dict[str, PrivateKey]) -> None:
    directory = Known(keys, {})
    with pytest.raises(SignatureInvalid):
        open_version(sign_version(version(), keys[PROVIDER_NODE]), directory)
    with pytest.raises(DirectoryRule):
        open_version(sign_version(version(owner_node="nobody-1"), keys[OWNER_NODE]), directory)
    with pytest.raises(DirectoryRule):
        open_version(sign_version(version(owner_node=OTHER_NODE), keys[OTHER_NODE]), directory)
    with pytest.raises(SignatureInvalid, match="cut off"):
        open_version(sign_version(version(), keys[OWNER_NODE]), Known(keys, {OWNER_NODE: NOW}))


def test_forged_swapped_and_replayed_words_are_refused(keys: dict[str, PrivateKey]) -> None:
    directory = Known(keys, {})
    model = open_version(sign_version(version(), keys[OWNER_NODE]), directory)
    later = open_version(sign_version(version(model_id=model.version.model_id, version=2), keys[OWNER_NODE]), directory)
    good = sign_word(approval(model.version, model.sm3), keys[PROVIDER_NODE])
    with pytest.raises(DirectoryRule):  # a word about the first version is none about the second
        open_word(good, directory, later)
    refused: list[tuple[type[Exception], Any, str]] = [
        (SignatureInvalid, approval(model.version, model.sm3), OWNER_NODE),
        (DirectoryRule, approval(model.version, model.sm3, provider=OTHER, node_id=OTHER_NODE), OTHER_NODE),
        (DirectoryRule, approval(model.version, model.sm3, node_id=OTHER_NODE), OTHER_NODE),
        (DirectoryRule, act(model.version, model.sm3, owner=PROVIDER, node_id=PROVIDER_NODE), PROVIDER_NODE),
        (SignatureInvalid, act(model.version, model.sm3), PROVIDER_NODE),
    ]
    for error, word, signer in refused:
        with pytest.raises(error):
            open_word(sign_word(word, keys[signer]), directory, model)
    retyped = sign_document(MODEL_VERSION_TYPE, good.payload, keys[PROVIDER_NODE])
    with pytest.raises(ConsentError):
        open_word(retyped, directory, model)
