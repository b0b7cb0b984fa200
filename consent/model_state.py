"""Where a registered model stands: what follows from its documents, and what may be said next.

Rules 1 to 4 of `consent.models`. Everything is derived: there is no state but the documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from consent.directory import Directory
from consent.errors import ConsentError, DirectoryRule
from consent.models import (
    MODEL_VERSION_TYPE,
    WORDS,
    ModelAct,
    ModelApproval,
    ModelVersion,
    Word,
    parse_version,
    parse_word,
    require_type,
    verify_by_node,
)
from trust.document import SignedDocument
from trust.suite import sm3


class WrongState(ConsentError):
    """A model is not where this step begins. The message says where it is and what can be done."""

    code = "WRONG_STATE"


class State(StrEnum):
    """Where a model stands. A declined one is a draft, with the provider's reason."""

    DRAFT = "draft"
    APPROVED = "approved"
    IN_SERVICE = "in_service"
    RETIRED = "retired"


class Step(StrEnum):
    """What a party may do with a model; the values are those of the documents."""

    APPROVE = "approved"
    DECLINE = "declined"
    WITHDRAW = "withdrawn"
    SERVE = "in_service"
    RETIRE = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a model stands, each party's last word on it ("" before it has said one), and why where something was refused.

    `ended_ms`: when the last word that ends it was said, None while it has not ended.
    """

    state: State
    words: dict[str, str]
    reason: str = ""
    ended_ms: int | None = None

    @property
    def waiting(self) -> tuple[str, ...]:
        """The parties that have not approved."""
        return tuple(provider for provider, word in self.words.items() if word != Step.APPROVE)


# (ended, approved by every provider, taken into service) gives the state: nothing else counts.
_STATE: Final[dict[tuple[bool, bool, bool], State]] = {
    (False, False, False): State.DRAFT,
    (False, False, True): State.DRAFT,
    (False, True, False): State.APPROVED,
    (False, True, True): State.IN_SERVICE,
    (True, False, False): State.RETIRED,
    (True, False, True): State.RETIRED,
    (True, True, False): State.RETIRED,
    (True, True, True): State.RETIRED,
}

_BEGINS_AT: Final[dict[Step, frozenset[State]]] = {
    # Another node of the same provider may say it too, at any time: each node answers for itself.
    Step.APPROVE: frozenset({State.DRAFT, State.APPROVED, State.IN_SERVICE}),
    Step.DECLINE: frozenset({State.DRAFT}),
    Step.WITHDRAW: frozenset({State.DRAFT, State.APPROVED, State.IN_SERVICE}),
    Step.SERVE: frozenset({State.APPROVED}),
    Step.RETIRE: frozenset({State.DRAFT, State.APPROVED, State.IN_SERVICE}),
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A registered version, the digest that words about it name, and every word that was said. `document`: as it was signed."""

    version: ModelVersion
    sm3: str
    document: SignedDocument
    approvals: tuple[ModelApproval, ...] = ()
    acts: tuple[ModelAct, ...] = ()

    @property
    def standing(self) -> Standing:
        """Where it stands."""
        return state_of(self.version, self.sm3, self.approvals, self.acts)

    def with_word(self, word: Word) -> Model:
        """The same with one more word."""
        if isinstance(word, ModelApproval):
            return replace(self, approvals=(*self.approvals, word))
        return replace(self, acts=(*self.acts, word))


def state_of(
    version: ModelVersion, model_sm3: str, approvals: Iterable[ModelApproval], acts: Iterable[ModelAct]
) -> Standing:
    """Where a model stands (rule 3). The words were verified before; what is about other bytes or by another member counts nothing."""
    about = (version.model_id, model_sm3)
    words: dict[str, ModelApproval] = {}
    for word in sorted(
        (each for each in approvals if (each.model_id, each.model_sm3) == about),
        # Of two words of the same moment the one that refuses counts.
        key=lambda each: (each.decision == "withdrawn", each.time_ms, each.decision != "approved"),
    ):
        words[word.provider] = word
    said = {member: words.get(member) for member in version.approvers}
    own = [act for act in acts if (act.model_id, act.model_sm3) == about and act.owner == version.owner]
    retired = [act for act in own if act.act == "retired"]
    withdrawn = [word for word in said.values() if word is not None and word.decision == "withdrawn"]
    refused = [word for word in said.values() if word is not None and word.decision == "declined"]
    state = _STATE[
        bool(retired or withdrawn),
        all(word is not None and word.decision == "approved" for word in said.values()),
        any(act.act == "in_service" for act in own),
    ]
    told = [
        *(f"{word.provider} withdrew its approval: {word.reason}" for word in withdrawn),
        *(f"{version.owner} retired it: {act.reason}" for act in retired),
        *(f"{word.provider} declined: {word.reason}" for word in refused),
    ]
    return Standing(
        state=state,
        words={member: words[member].decision if member in words else "" for member in version.parties},
        reason=told[0] if told else "",
        ended_ms=max([*(act.time_ms for act in retired), *(word.time_ms for word in withdrawn)], default=None),
    )


def require_step(model: Model, step: Step, member: str) -> None:
    """Return if this member may take this step now. Raises WrongState, saying what can be done instead."""
    standing = model.standing
    name = f"{model.version.name} version {model.version.version}"
    if standing.state not in _BEGINS_AT[step]:
        waiting = f", waiting for {', '.join(standing.waiting)}" if standing.state is State.DRAFT else ""
        raise WrongState(
            f"Model {name} is {standing.state}{waiting}; {step} begins at {' or '.join(sorted(_BEGINS_AT[step]))}."
        )
    if step is Step.WITHDRAW and standing.words.get(member) != Step.APPROVE:
        raise WrongState(f"{member} has not approved model {name}; decline it instead.")
    if step is Step.DECLINE and standing.words.get(member) == Step.APPROVE:
        raise WrongState(f"{member} has approved model {name}; withdraw the approval instead.")


def open_version(document: SignedDocument, directory: Directory) -> Model:
    """Verify a version by rule 1. Raises DocumentMalformed, DirectoryRule, SignatureInvalid."""
    require_type(document, MODEL_VERSION_TYPE)
    version = parse_version(document.payload)
    verify_by_node(document, directory, version.owner, version.owner_node, version.created_ms)
    return Model(version=version, sm3=sm3(document.payload).hex(), document=document)


def open_word(document: SignedDocument, directory: Directory, model: Model) -> Word:
    """Verify a word about this model by rules 1 and 2. Raises DocumentMalformed, DirectoryRule, SignatureInvalid."""
    require_type(document, *WORDS)
    word = parse_word(document)
    if isinstance(word, ModelApproval):
        member, fits = word.provider, word.provider in model.version.parties
    else:
        member, fits = word.owner, word.owner == model.version.owner
    if not fits or (word.model_id, word.model_sm3) != (model.version.model_id, model.sm3):
        raise DirectoryRule("A word about a model is about other bytes, or of a member that has none to say on it.")
    verify_by_node(document, directory, member, word.node_id, word.time_ms)
    return word
