"""The registry of one node: models are registered, approved, taken into service and retired here; exchanges ask what they may run.

The rules of this module:
1. A document counts only after this node has verified it against its own copy of the directory. What the hub sends that does not
   verify is refused and told in the status; what was taken once stays, so that a hub cannot take back a withdrawal.
2. What ends a use (withdraw, retire) is kept here first, with effect at once, and sent until the hub has it; everything else is kept
   once the hub took it.
3. A provider's node answers for itself: it computes for a model only if this very node approved it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consent.errors import ConsentError
from consent.model_state import Model, State, Step, open_version, open_word, require_step
from consent.models import (
    MODEL_VERSION_TYPE,
    ModelAct,
    ModelApproval,
    Word,
    parse_version,
    parse_word,
    sign_version,
    sign_word,
)
from nodes.errors import NodeError
from nodes.joint.job_store import JobStore
from nodes.joint.model_files import MODEL_FILE, PART_FILE, read_model, read_part
from nodes.models.node import RegistryNode
from nodes.models.opening import Opening, write_opening
from nodes.models.parts import HeldPart, LinearParts, read_joint, read_linear, write_linear
from nodes.models.registering import Owner, Terms, joint_version, linear_version
from nodes.models.rules import approved_by
from nodes.models.sessions import seeds_of, sent_of
from nodes.models.store import DocumentStore
from trust.document import SignedDocument
from trust.errors import TrustError
from trust.suite import sm3

__all__ = ["Registry", "Terms"]

_ENDING: Final = frozenset({Step.WITHDRAW, Step.RETIRE})
RULE_USER: Final = "node.toml"
"""In place of a person, where a rule approved."""

log = logging.getLogger(__name__)


@dataclass
class _Known:
    """What is known, in memory. `unsent`: digests of own documents that the hub does not have yet."""

    models: dict[str, Model] = field(default_factory=dict)
    documents: set[str] = field(default_factory=set)
    unsent: dict[str, SignedDocument] = field(default_factory=dict)


class Registry:
    """See the module. `load` makes one; `usable` and the like look at memory only and never wait."""

    def __init__(self, node: RegistryNode) -> None:
        self._node = node
        self._store = DocumentStore(node.store)
        self._known = _Known()
        self._after = 0
        self._lock = asyncio.Lock()
        self._due = asyncio.Event()
        self._due.set()
        self.last_error = ""

    @classmethod
    async def load(cls, node: RegistryNode) -> Registry:
        """From the node's database."""
        registry = cls(node)
        for kept in await registry._store.all():
            registry._remember(kept.document)
            if not kept.sent:
                registry._known.unsent[kept.sm3] = kept.document
        return registry

    # -- what exchanges ask ----------------------------------------------------------------------------------

    def models(self) -> tuple[Model, ...]:
        """Every model that names this member, newest first; where each stands is its `standing`."""
        return tuple(sorted(self._known.models.values(), key=lambda model: -model.version.created_ms))

    def model(self, model_id: str) -> Model:
        """Raises NodeError NOT_FOUND."""
        model = self._known.models.get(model_id)
        if model is None:
            raise NodeError(
                f"No model {model_id[:40]} names this member; `xinqiao model versions` lists those that do.",
                code="NOT_FOUND",
            )
        return model

    def is_owner(self, model: Model) -> bool:
        """Whether the model is this member's own; else it is one of its providers, or may ask for its scores."""
        return model.version.owner == self._node.member_id

    def is_sent(self, model: Model) -> bool:
        """Whether the hub has everything that this node said about it."""
        return all(parse_word(one).model_id != model.version.model_id for one in self._known.unsent.values())

    def usable(self, model_id: str, sm3: str = "") -> Model:
        """A model that may score now, at its owner's node, a provider's or an asker's; `sm3`: the very document that is meant.

        Raises NodeError NOT_FOUND, MODEL_NOT_APPROVED (not in service, another document, or not approved by this node), MODEL_RETIRED.
        """
        model = self.model(model_id)
        standing, name = model.standing, _name(model)
        if sm3 not in {"", model.sm3}:
            raise NodeError(f"Another document than that of model {name} is meant.", code="MODEL_NOT_APPROVED")
        if standing.state is State.RETIRED:
            raise NodeError(f"Model {name} is retired: {standing.reason}", code="MODEL_RETIRED")
        if not self.is_owner(model) and not self._approved_here(model):
            raise NodeError(f"Node {self._node.node_id} has not approved model {name}.", code="MODEL_NOT_APPROVED")
        if standing.state is not State.IN_SERVICE:
            waiting = "has not been taken into service"
            if standing.state is State.DRAFT:
                waiting = f"waits for {', '.join(standing.waiting)}"
            told = f": {standing.reason}" if standing.reason else ""
            raise NodeError(f"Model {name} {waiting}{told}.", code="MODEL_NOT_APPROVED")
        return model

    async def looked_up(self, model_id: str, sm3: str = "") -> Model:
        """`usable`, after asking the hub for news where the model is not known as one. Raises NodeError as `usable`."""
        try:
            return self.usable(model_id, sm3)
        except NodeError as error:
            if error.code not in {"NOT_FOUND", "MODEL_NOT_APPROVED"}:
                raise
        await self.sync()
        return self.usable(model_id, sm3)

    def own_part(self, model_id: str) -> HeldPart:
        """What this node holds of a joint model, checked against the commitment. Raises NodeError NOT_FOUND, MODEL_INVALID."""
        return self._own_part(self.model(model_id))

    def linear(self, model_id: str) -> LinearParts:
        """A linear model of this node's own, checked against the commitments. Raises NodeError NOT_FOUND, MODEL_INVALID."""
        model = self.model(model_id)
        held = read_linear(self._node.home, model_id)
        others = [part.commitment for part in model.version.parts if part.provider != model.version.owner]
        stated = [model.version.own_commitment, *others]
        if [part.commitment for part in held.parts] != stated:
            raise _not_committed(model)
        return held

    # -- registering -----------------------------------------------------------------------------------------

    async def register_linear(self, data: bytes, terms: Terms) -> Model:
        """Register a linear model from its document (modeling/scoring/model.py).

        Raises NodeError MODEL_INVALID, PRODUCT_UNAVAILABLE, ALREADY_EXISTS; UNAVAILABLE when the hub is away. ModelInvalid.
        """
        async with self._lock:
            owner = await asyncio.to_thread(self._owner)
            version, held = await asyncio.to_thread(linear_version, data, terms, owner)
            await asyncio.to_thread(write_linear, self._node.home, version.model_id, held)
            return await self._registered(sign_version(version, self._node.identity))

    async def register_joint(self, job_id: str, terms: Terms) -> Model:
        """Register what a finished job of this node made. Raises as `register_linear`, and NOT_FOUND."""
        async with self._lock:
            job = await JobStore(self._node.store).finished(job_id)
            if job is None:
                raise NodeError(
                    f"No finished job {job_id[:40]} of this node; `xinqiao model list` has them.", code="NOT_FOUND"
                )
            folder = self._node.home / "models" / job_id
            record, own = read_model(folder / MODEL_FILE), read_part(folder / PART_FILE)
            owner = await asyncio.to_thread(self._owner)
            version = joint_version(job, record, own.commitment, terms, owner)
            return await self._registered(sign_version(version, self._node.identity))

    async def _registered(self, document: SignedDocument) -> Model:
        await self._node.hub.send(document)
        await self._keep(document, sent=True)
        return self.model(parse_version(document.payload).model_id)

    def _owner(self) -> Owner:
        own = [(model, self._held(model)) for model in self.models() if self.is_owner(model)]
        return Owner(
            member_id=self._node.member_id,
            node_id=self._node.node_id,
            directory=self._node.directory(),
            models=own,
            now_ms=self._node.clock(),
        )

    def _held(self, model: Model) -> LinearParts | None:
        try:
            return self.linear(model.version.model_id)
        except NodeError:
            return None

    # -- words -----------------------------------------------------------------------------------------------

    async def take_step(self, model_id: str, step: Step, reason: str, user: str) -> Model:
        """A provider or an asker approves, declines or withdraws; an owner takes into service or retires. The model as it is then.

        Raises NodeError NOT_FOUND, PERMISSION_DENIED, MODEL_INVALID; WrongState; what the hub refuses.
        """
        if step in _ENDING:  # does not wait for a hub that another call is waiting for
            return await self._step(self.model(model_id), step, reason, user)
        async with self._lock:
            return await self._step(self.model(model_id), step, reason, user)

    async def _step(self, model: Model, step: Step, reason: str, user: str) -> Model:
        node = self._node
        by_owner = step in {Step.SERVE, Step.RETIRE}
        if by_owner is not self.is_owner(model):
            who = "its owner, " + model.version.owner if by_owner else "a provider of its data, or one who may ask it"
            raise NodeError(f"Only {who}, can do this with model {_name(model)}.", code="PERMISSION_DENIED")
        if step is Step.APPROVE and self._approved_here(model):
            return model
        require_step(model, step, node.member_id)
        if step is Step.APPROVE and model.version.kind != "linear":
            self._own_part(model)
        said = {
            "model_id": model.version.model_id,
            "model_sm3": model.sm3,
            "node_id": node.node_id,
            "reason": reason,
            "user": user,
            "time_ms": node.clock(),
        }
        word: Word = (
            ModelAct(owner=node.member_id, act=step.value, **said)  # type: ignore[arg-type]
            if by_owner
            else ModelApproval(provider=node.member_id, decision=step.value, **said)  # type: ignore[arg-type]
        )
        document = sign_word(word, node.identity)
        if step in _ENDING:
            await self._keep(document, sent=False)
            self._due.set()
        else:
            await node.hub.send(document)
            await self._keep(document, sent=True)
        return self.model(model.version.model_id)

    async def opening(self, model_id: str, path: Path) -> Opening:
        """Write what an auditor needs: every part that this node holds, and what it keeps of sessions of scoring. Raises NodeError."""
        model = self.model(model_id)
        parts: tuple[HeldPart, ...] = ()
        if model.version.kind != "linear":
            parts = (self._own_part(model),)
        elif self.is_owner(model):
            parts = self.linear(model_id).parts
        sessions, sent = await self._node.store.read(
            lambda connection: (seeds_of(connection, model_id), sent_of(connection, model_id))
        )
        opening = Opening(model=model.document.encode(), parts=parts, sessions=sessions, sent=sent)
        write_opening(path, opening)
        return opening

    def _own_part(self, model: Model) -> HeldPart:
        held = read_joint(self._node.home, model.version.job, self._node.member_id)
        part = model.version.part_of(self._node.member_id)
        if held.commitment != (model.version.own_commitment if part is None else part.commitment):
            raise _not_committed(model)
        return held

    def _approved_here(self, model: Model) -> bool:
        return model.standing.words.get(self._node.member_id) == Step.APPROVE and any(
            word.node_id == self._node.node_id and word.decision == "approved" and word.model_sm3 == model.sm3
            for word in model.approvals
        )

    # -- with the hub ----------------------------------------------------------------------------------------

    def changed(self, newest: int) -> None:
        """There may be news at the hub: the number of its newest document. One that went back begins again."""
        if newest < self._after:
            self._after = 0
        self._due.set()

    async def run(self) -> None:
        """Send what waits and take what is new, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self.sync()
                self._node.backoff.reset()
            except NodeError as error:
                self.last_error = f"{error.code}: {error.message}"
                log.warning("registry_not_synchronised", extra={"code": error.code})
                await asyncio.sleep(self._node.backoff.next_s())
                self._due.set()

    async def sync(self) -> None:
        """Send what the hub does not have, take what it has, approve what a rule lets in. Raises NodeError."""
        async with self._lock:
            refused, newest = "", self._after
            for payload_sm3, document in list(self._known.unsent.items()):
                refused = await self._send_ending(payload_sm3, document) or refused
            async for seq, encoded in self._node.hub.documents(self._after):
                newest = max(newest, seq)
                refused = await self._take(encoded) or refused
            # What could not be verified is asked for again: its signer may be on the way in the directory.
            self._after = self._after if refused else newest
            self.last_error = refused
            await self._approve_by_rule()

    async def _send_ending(self, payload_sm3: str, document: SignedDocument) -> str:
        """Give the hub a word that is in force here; why it was refused, or nothing. Raises NodeError where it is not reached."""
        try:
            await self._node.hub.send(document)
        except NodeError as error:
            if error.retryable:
                raise
            if error.code != "WRONG_STATE":  # the model has ended already
                return f"{error.code}: The hub does not take what this node said about a model: {error.message}"
        await self._store.has_been_sent(payload_sm3)
        self._known.unsent.pop(payload_sm3, None)
        return ""

    async def _take(self, encoded: bytes) -> str:
        """Verify and keep a document of the hub; why it was refused, or nothing."""
        try:
            document = SignedDocument.decode(encoded)
            if sm3(document.payload).hex() not in self._known.documents:
                self._verify(document)
                await self._keep(document, sent=True)
        except (ConsentError, TrustError) as error:
            log.warning("model_document_refused", extra={"code": error.code, "detail": str(error)})
            return f"{error.code}: The hub sent a document about a model that does not verify: {error}"
        return ""

    def _verify(self, document: SignedDocument) -> None:
        """Rule 1. Raises ConsentError, TrustError."""
        directory = self._node.directory()
        if document.payload_type != MODEL_VERSION_TYPE:
            word = parse_word(document)
            known = self._known.models.get(word.model_id)
            if known is None:
                raise ConsentError(f"It is about model {word.model_id}, of which there is no version.")
            open_word(document, directory, known)
            return
        model = open_version(document, directory)
        if self._node.member_id not in {model.version.owner, *model.version.parties}:
            raise ConsentError(f"Model {model.version.model_id} does not name this member.")
        if model.version.model_id in self._known.models:
            raise ConsentError(f"There is another document of model {model.version.model_id}.")

    async def _keep(self, document: SignedDocument, *, sent: bool) -> None:
        await self._store.add(document, self._node.clock(), sent=sent)
        self._remember(document)
        if not sent:
            self._known.unsent[sm3(document.payload).hex()] = document

    def _remember(self, document: SignedDocument) -> None:
        """What was verified before it was kept."""
        known, payload_sm3 = self._known, sm3(document.payload).hex()
        known.documents.add(payload_sm3)
        if document.payload_type == MODEL_VERSION_TYPE:
            version = parse_version(document.payload)
            known.models[version.model_id] = Model(version=version, sm3=payload_sm3, document=document)
        else:
            word = parse_word(document)
            known.models[word.model_id] = known.models[word.model_id].with_word(word)

    async def _approve_by_rule(self) -> None:
        member = self._node.member_id
        for model in list(self._known.models.values()):
            standing: Mapping[str, str] = model.standing.words
            if self.is_owner(model) or standing.get(member) or model.standing.state is not State.DRAFT:
                continue
            number = approved_by(self._node.rules, model.version, member)
            if number is not None:
                try:
                    await self._step(model, Step.APPROVE, f"rule {number} of [[model_approval]]", RULE_USER)
                except (NodeError, ConsentError) as error:
                    log.warning(
                        "model_not_approved_by_rule", extra={"model": model.version.model_id, "code": error.code}
                    )


def _name(model: Model) -> str:
    return f"{model.version.name} version {model.version.version}"


def _not_committed(model: Model) -> NodeError:
    return NodeError(
        f"What lies here of model {_name(model)} is not what its document commits to; restore the home from its backup.",
        code="MODEL_INVALID",
    )
