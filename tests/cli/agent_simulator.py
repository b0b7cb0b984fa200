"""An agent behind a real socket: it answers as it is told and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import msgspec
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from consent.documents import encode
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs.estimate import estimate
from modeling.jobs.leaks import statement
from nodes.scoring.plan import LeakTold, ScorePlan
from nodes.scoring.spent import Spending
from nodes.settings import ScoringRules
from tests.cli.simulators import BANK_NODE, Refusal, refusing, serving
from tests.consent import model_builders
from tests.consent.builders import BANK, PROVIDER, USCC
from trust.suite import sm3

MODEL = model_builders.version()
MODEL_SM3 = sm3(encode(MODEL)).hex()
REGISTERED = agent_pb2.ModelVersionReply(
    version_json=encode(MODEL),
    sm3=MODEL_SM3,
    role="owner",
    state="draft",
    reason=f"{PROVIDER} declined: too few features",
    words_json=msgspec.json.encode({PROVIDER: "declined"}),
    approvals_json=msgspec.json.encode(
        [model_builders.approval(MODEL, MODEL_SM3, "declined", reason="too few features")]
    ),
    sent=False,
)

AGENT_REPLIES: dict[str, Any] = {
    "GetAgentStatus": agent_pb2.AgentStatusReply(
        node_id=BANK_NODE,
        member_id=BANK,
        connected=True,
        checkpoint_ms=1,
        items=[agent_pb2.ItemStatus(item_id="tax_registration", records=3, subjects=2)],
    ),
    "OpenQuery": agent_pb2.OpenQueryReply(exchange_id="e-1"),
    "Query": agent_pb2.QueryReply(
        records_json=b'{"tax_registration":[{"status":"active"}]}',
        consent_ids=["c-1"],
        delete_by_ms=2,
        remaining_uses=4,
        receipt_id="r-1",
    ),
    "CloseExchange": agent_pb2.CloseExchangeReply(queries=1),
    "ListTransfers": agent_pb2.ListTransfersReply(
        transfers=[agent_pb2.TransferReply(exchange_id="e-1", state="finished", rows=3, delete_by_ms=4)]
    ),
    "Purge": agent_pb2.PurgeReply(deleted_exchanges=["e-1"]),
    "ListApprovals": agent_pb2.ListApprovalsReply(
        approvals=[agent_pb2.ApprovalReply(exchange_id="e-1", requester=BANK, state="waiting")]
    ),
    "DecideApproval": agent_pb2.DecideApprovalReply(),
    "LoadSources": agent_pb2.LoadSourcesReply(
        report_json=msgspec.json.encode(
            {
                "sources": [
                    {
                        "source": "tax",
                        "item_id": "tax_registration",
                        "rows": 3,
                        "accepted": 2,
                        "rejected": 1,
                        "by_rule": {"date": 1},
                    }
                ],
                "items": [{"item_id": "tax_registration", "switched": False, "note": "too many were rejected"}],
            }
        )
    ),
    "PublishOwnProducts": agent_pb2.PublishOwnProductsReply(
        products=[agent_pb2.ProductState(product_id="tax-basic", provider=PROVIDER, state="pending_review")]
    ),
    "ListAvailableProducts": agent_pb2.ListAvailableProductsReply(
        products=[
            agent_pb2.ProductState(
                product_id="tax-basic",
                provider=PROVIDER,
                title="Tax",
                state="published",
                items_json=b'[{"item_id":"tax_registration"}]',
            )
        ]
    ),
    "AskConsent": agent_pb2.AskConsentReply(request_id="q-1"),
    "ClearAlarm": agent_pb2.ClearAlarmReply(),
    "PlanJob": agent_pb2.PlanJobReply(
        plan_json=msgspec.json.encode(
            {
                "name": "loans",
                "algorithm": "boosting",
                "estimate": estimate(BoostingSettings(), 1000, 700, (3, 2)),
                "leaks": statement("boosting", BANK, (PROVIDER,), rows_scored=300),
            }
        )
    ),
    "ListJobs": agent_pb2.ListJobsReply(
        jobs=[
            agent_pb2.JobReply(job_id="j-2", name="theirs", role="passive", state="running", members=[BANK]),
            agent_pb2.JobReply(
                job_id="j-1",
                name="loans",
                role="active",
                state="failed",
                members=[PROVIDER],
                created_ms=5,
                failure="COHORT_TOO_SMALL: ask for more",
                directory="/reports/loans",
            ),
        ]
    ),
    "StopJob": agent_pb2.StopJobReply(),
    "Score": agent_pb2.ScoreReply(
        scores=[
            agent_pb2.SubjectScore(
                uscc=USCC,
                model_id=MODEL.model_id,
                score=-1.25,
                probability=0.2227,
                points=536,
                band="C",
                reasons=["R01", PROVIDER],
                receipt_ids=["r-1"],
                error_bound=1e-6,
            )
        ]
    ),
    "PlanScore": agent_pb2.PlanScoreReply(
        plan_json=msgspec.json.encode(
            ScorePlan(
                model="card",
                version=2,
                mode="model_to_data",
                providers=(PROVIDER,),
                subjects=1000,
                permitted=990,
                refused={"NO_CONSENT": 10},
                blocks=1,
                bytes=4_500_000,
                seconds=0.6,
                error_bound=1e-6,
                leaks=(LeakTold(to=PROVIDER, what="which of its enterprises are scored"),),
            )
        )
    ),
    "ListScoreLimits": agent_pb2.ListScoreLimitsReply(
        limits_json=msgspec.json.encode(
            {
                "limits": ScoringRules(),
                "requesters": [
                    Spending(
                        requester=BANK,
                        today=7,
                        models=({"model": "ab" * 32, "subjects": 5, "scores": 7},),
                        flags=("A model was used on 3 enterprises only.",),
                    )
                ],
            }
        )
    ),
    "RegisterOwnModel": REGISTERED,
    "StepModel": REGISTERED,
    "ListModelVersions": agent_pb2.ListModelVersionsReply(models=[REGISTERED]),
    "OpenModel": agent_pb2.OpenModelReply(parts=2),
}


@dataclass
class AgentSimulator(agent_pb2_grpc.AgentServicer):
    """The Agent service: it answers as it is told and keeps what it was asked."""

    refuse: dict[str, Refusal] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    progress: list[agent_pb2.FetchProgress] = field(default_factory=list)
    training: list[agent_pb2.JobProgress | Refusal] = field(default_factory=list)
    scoring: list[agent_pb2.ScoreProgress | Refusal] = field(default_factory=list)

    def Fetch(
        self, request: agent_pb2.FetchRequest, context: grpc.ServicerContext
    ) -> Iterator[agent_pb2.FetchProgress]:
        self.asked["Fetch"] = request
        yield from self.progress

    def ScoreBatch(
        self, request: agent_pb2.ScoreBatchRequest, context: grpc.ServicerContext
    ) -> Iterator[agent_pb2.ScoreProgress]:
        self.asked["ScoreBatch"] = request
        yield from _until_refused(self.scoring, context)

    def TrainJob(self, request: agent_pb2.JobRequest, context: grpc.ServicerContext) -> Iterator[agent_pb2.JobProgress]:
        self.asked["TrainJob"] = request
        yield from _until_refused(self.training, context)


def _until_refused(told: Iterable[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    for each in told:
        if isinstance(each, Refusal):
            context.set_trailing_metadata((("xinqiao-error-bin", each.detail.SerializeToString()),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, each.detail.message)
        yield each


def _answering(name: str) -> Callable[[Any, Any, Any], Any]:
    def answer(self: AgentSimulator, request: Any) -> Any:
        self.asked[name] = request
        return AGENT_REPLIES[name]

    answer.__name__ = name
    return refusing(answer)


for _name in AGENT_REPLIES:
    setattr(AgentSimulator, _name, _answering(_name))


@contextmanager
def serving_agent(socket: Path) -> Iterator[AgentSimulator]:
    """Run the Agent service on a socket."""
    simulator = AgentSimulator()

    def add(server: grpc.Server) -> None:
        agent_pb2_grpc.add_AgentServicer_to_server(simulator, server)

    with serving(add, f"unix:{socket}"):
        yield simulator
