"""Encrypted scores in the demonstration: by the joint model, a scorecard of the bank's own and a platform's model; and what is refused.

The scores are held against those of the same model with all columns in one place: the demonstration can look into every home.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, PLATFORM
from cli.demo.enterprises import Enterprise, Registry
from cli.demo.loans import OWNERS, Loans
from cli.demo.models import APPLICATIONS, columns_of
from cli.demo.network import DemoFailed, Network, command, wait_until
from cli.demo.scores import ITEMS, OWN_COLUMNS, consent_to_scoring, linear_model, served_model
from modeling.jobs.active import ActivePartOfJob
from modeling.jobs.passive import PassiveResult
from modeling.scoring.inputs import ASKER, OWN
from modeling.scoring.model import LinearModel, canonical, score_plain
from nodes.errors import NodeError
from nodes.joint.model_files import PART_FILE, read_part

NODES: Final[Mapping[str, str]] = {BANK: "bank-1", GOVERNMENT: "tax-1", PLATFORM: "pay-1"}
TARGET: Final = "inq_last_6mths"
"""The column that the bank tries to read out of scores."""
_KNOWN_S: Final = 20.0

Scores = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What came of it: enterprises scored, seconds for both batches, the largest difference from plain scores.

    `served_rows`: scores of the platform's model, to which the bank's columns travel; `served_refused`: that no more are to be had.
    """

    rows: int
    seconds: float
    max_abs_error: float
    extraction_refused: bool
    served_rows: int
    served_refused: bool


class DemoScoring:
    """The step, over the running network."""

    def __init__(self, network: Network, home: Path, registry: Registry, loans: Loans) -> None:
        self._network, self._home, self._registry, self._loans = network, home, registry, loans

    def run(self, job: str, held_out: Sequence[Enterprise]) -> Scored:
        """Score, compare, and be refused. `held_out`: whom the model of joint job `job` was tested on. Raises DemoFailed, NodeError."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda each: consent_to_scoring(self._registry, each), held_out))
        codes = [each.uscc for each in held_out]
        joint = self._in_service(agent_pb2.RegisterOwnModelRequest(name="joint-default", job=job), tuple(ITEMS))
        card = linear_model("own-card", self._loans.files, tuple(ITEMS))
        own = self._registered(card)
        began = time.monotonic()
        off = max(
            self._difference(joint, "scores-joint", codes, self._plain_joint(job, codes)),
            self._difference(own, "scores-card", codes, self._plain_card(card, codes)),
        )
        seconds = time.monotonic() - began
        served_off, served_refused = self._served(codes[:2])
        return Scored(
            rows=len(codes),
            seconds=round(seconds, 1),
            max_abs_error=max(off, served_off),
            extraction_refused=self._extraction_refused(card, codes[0]),
            served_rows=1,
            served_refused=served_refused,
        )

    # -- models

    def _registered(self, model: LinearModel) -> str:
        request = agent_pb2.RegisterOwnModelRequest(name=model.name, linear=canonical(model))
        return self._in_service(request, model.members)

    def _in_service(self, request: agent_pb2.RegisterOwnModelRequest, providers: Sequence[str]) -> str:
        """Register at the bank, let every provider's operator approve, take into service; the model's identifier."""
        with self._network.agent(NODES[BANK]) as bank:
            model_id = str(json.loads(bank.call("RegisterOwnModel", request).version_json)["model_id"])
        for member in providers:
            self._step(NODES[member], model_id, "approved", "draft")
        self._step(NODES[BANK], model_id, "in_service", "approved")
        return model_id

    def _step(self, node: str, model_id: str, step: str, due: str) -> None:
        def known() -> bool:
            found = agent.call("ListModelVersions", agent_pb2.ListModelVersionsRequest()).models
            return any(each.state == due and json.loads(each.version_json)["model_id"] == model_id for each in found)

        with self._network.agent(node) as agent:
            wait_until(f"{node} knows that the model is {due}", known, _KNOWN_S)
            request = agent_pb2.StepModelRequest(model_id=model_id, step=step, reason="demonstration", user="demo")
            agent.call("StepModel", request)

    # -- scores, and what they should be

    def _difference(self, model_id: str, name: str, codes: Sequence[str], plain: Scores) -> float:
        """Score a list as a bank does; the largest difference from the plain scores."""
        listed, out = self._home / f"{name}.txt", self._home / name
        listed.write_text("\n".join(codes), encoding="utf-8")
        where = ("--home", str(self._network.node_home(NODES[BANK])), "--model", model_id, "--out", str(out))
        files = ("--list", str(listed), "--own", str(self._home / APPLICATIONS))
        told = command("score", "run", *where, *files, "--reason", "loan application")
        if told["scored"] != len(codes):
            raise DemoFailed(f"{told['scored']} of {len(codes)} enterprises were scored: {told['refused']}.")
        with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
            found = {row["uscc"]: float(row["score"]) for row in csv.DictReader(file)}
        off = float(np.abs(np.array([found[code] for code in codes]) - plain).max())
        if off > told["error_bound"]:
            raise DemoFailed(f"Scores of {name} are off by {off:.2e}; {told['error_bound']:.2e} is the bound.")
        return off

    def _plain_joint(self, job: str, codes: Sequence[str]) -> Scores:
        """The joint logistic model with every party's part in one place."""
        total = np.zeros(len(codes))
        there = np.full(len(codes), True)
        for member, node in NODES.items():
            part = read_part(self._network.node_home(node) / "models" / job / PART_FILE).part
            if member == BANK:
                own = msgspec.json.decode(part, type=ActivePartOfJob)
                total += own.coefficients[0]
                prepared, weights = own.prepared, own.coefficients[1:]
                prefix = ""
            else:
                theirs = msgspec.json.decode(part, type=PassiveResult)
                prepared, weights, prefix = theirs.prepared, theirs.coefficients, f"{ITEMS[member]}."
            table = columns_of(
                self._loans, codes, [*OWNERS["demo_application"], *OWNERS.get(ITEMS.get(member, ""), ())]
            )
            total += prepared.matrix({prefix + name: values for name, values in table.items()}, there) @ np.array(
                weights
            )
        return total

    def _plain_card(self, card: LinearModel, codes: Sequence[str]) -> Scores:
        own = columns_of(self._loans, codes, OWN_COLUMNS)
        tables = {OWN: own}
        for member, item in ITEMS.items():
            theirs = columns_of(self._loans, codes, OWNERS[item])
            tables[member] = {f"{item}.{name}": values for name, values in theirs.items()}
        return score_plain(card, tables, {name: np.full(len(codes), True) for name in tables})

    # -- another member's model

    def _served(self, codes: Sequence[str]) -> tuple[float, bool]:
        """The bank asks for scores of the platform's model: how far one is from the plain score, and whether a second is refused."""
        model = served_model("platform-score", self._loans.files, PLATFORM)
        request = agent_pb2.RegisterOwnModelRequest(name=model.name, linear=canonical(model), askers=[BANK])
        with self._network.agent(NODES[PLATFORM]) as owner:
            model_id = str(json.loads(owner.call("RegisterOwnModel", request).version_json)["model_id"])
        self._step(NODES[BANK], model_id, "approved", "approved")
        self._step(NODES[PLATFORM], model_id, "in_service", "approved")
        item = ITEMS[PLATFORM]
        asked = columns_of(self._loans, codes[:1], OWN_COLUMNS)
        kept = {f"{item}.{name}": each for name, each in columns_of(self._loans, codes[:1], OWNERS[item]).items()}
        plain = score_plain(model, {OWN: kept, ASKER: asked}, dict.fromkeys((OWN, ASKER), np.full(1, True)))
        found = self._one(model_id, codes[0])
        off = abs(float(found.score) - float(plain[0]))
        if found.refused or off > found.error_bound:
            raise DemoFailed(f"The platform's model was off by {off:.2e}, or refused: {found.detail}")
        return off, self._refused(model_id, codes[1])

    # -- what may not be asked

    def _extraction_refused(self, card: LinearModel, code: str) -> bool:
        """A model of one column of a provider shows that column; so do two models that differ in it alone. Both are refused."""
        target = f"{ITEMS[GOVERNMENT]}.{TARGET}"
        others = [each for each in card.features if each.input.member != GOVERNMENT]
        one = [each for each in card.features if each.input.name == target]
        shifted = [
            msgspec.structs.replace(each, weights=(each.weights[0] + 0.01,)) if each.input.name == target else each
            for each in card.features
        ]
        for name, features in (("one-column", [*others, *one]), ("one-column-off", shifted)):
            model_id = self._registered(msgspec.structs.replace(card, name=name, features=tuple(features)))
            if not self._refused(model_id, code):
                raise DemoFailed(f"Model {name} would show a column of the provider, and was scored with.")
            self._step(NODES[BANK], model_id, "retired", "in_service")
        return True

    def _refused(self, model_id: str, code: str) -> bool:
        try:
            return str(self._one(model_id, code).refused) == "SCORE_LIMIT_REACHED"
        except NodeError as error:
            return error.code == "SCORE_LIMIT_REACHED"

    def _one(self, model_id: str, code: str) -> agent_pb2.SubjectScore:
        """One enterprise on line. Raises NodeError."""
        own = columns_of(self._loans, [code], OWN_COLUMNS)
        values = json.dumps({name: float(column[0]) for name, column in own.items()}).encode()
        request = agent_pb2.ScoreRequest(
            model_id=model_id,
            subjects=[agent_pb2.ScoreSubject(uscc=code, own_json=values)],
            reason="loan application",
            user="demo",
        )
        with self._network.agent(NODES[BANK]) as bank:
            scores: Sequence[agent_pb2.SubjectScore] = bank.call("Score", request).scores
        return scores[0]
