"""Clients of the agent on the same machine: `AgentClient` has every call of agent.proto, `Node` models as a notebook wants them.

    with Node("bank") as node:
        plan = node.plan("job.yaml")
        job = node.train(plan)
        for progress in job.follow():
            print(progress.phase, progress.done, progress.total)
        print(job.report().document.test.auc.value)

Errors are NodeError with the code that the agent sent. A job lives in the agent: it goes on when the program that follows it ends, and
`train` with the same file and folder follows it again.
"""

from __future__ import annotations

import getpass
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc
import msgspec
from google.protobuf.message import Message
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from nodes.errors import HubUnavailable, NodeError, from_rpc
from nodes.joint.job_store import JobRecord
from nodes.settings import agent_socket_path

if TYPE_CHECKING:  # a command that only asks the agent does not wait for the libraries of models
    from consent.models import ModelVersion
    from modeling.jobs.estimate import Estimate
    from modeling.jobs.leaks import Leak
    from modeling.jobs.plan import Algorithm
    from modeling.report.document import Report
    from modeling.scoring.model import LinearModel

T = TypeVar("T")
DEFAULT_TIMEOUT_S = 60.0
PLAN_TIMEOUT_S: Final = 120.0


class AgentClient:
    """Calls the agent that serves a node's home. Methods are named as in agent.proto and take and return its messages."""

    def __init__(self, home: Path, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """`home`: of the node, or its agent's socket (`….sock`)."""
        self._path = home.resolve() if home.suffix == ".sock" else agent_socket_path(home)
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            f"unix:{self._path}",
            options=(("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)),
        )
        self.stub = agent_pb2_grpc.AgentStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def call(self, method: str, request: Message) -> Any:  # noqa: ANN401 - the reply of that method
        """Call a unary method by its name. Raises NodeError."""
        self._require_agent()
        function: Callable[..., Any] = getattr(self.stub, method)
        try:
            return function(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise _agent_error(error) from error

    def fetch(self, request: agent_pb2.FetchRequest) -> Iterator[agent_pb2.FetchProgress]:
        """Begin or go on with a raw transfer; yields progress, last with the manifest's path. Raises NodeError."""
        self._require_agent()
        try:
            yield from self.stub.Fetch(request)
        except grpc.RpcError as error:
            raise _agent_error(error) from error

    def train(self, request: agent_pb2.JobRequest) -> Iterator[agent_pb2.JobProgress]:
        """Begin or go on with a job; yields progress, last with the report. Raises NodeError."""
        self._require_agent()
        try:
            yield from self.stub.TrainJob(request)
        except grpc.RpcError as error:
            raise _agent_error(error) from error

    def compare(self, request: agent_pb2.CompareSetsRequest) -> Iterator[agent_pb2.CompareSetsProgress]:
        """Compare sets; yields progress, last with the outcome. Raises NodeError."""
        self._require_agent()
        try:
            yield from self.stub.CompareSets(request)
        except grpc.RpcError as error:
            raise _agent_error(error) from error

    def score_batch(self, request: agent_pb2.ScoreBatchRequest) -> Iterator[agent_pb2.ScoreProgress]:
        """Begin or go on with a batch of scores; yields progress, last with the report. Raises NodeError."""
        self._require_agent()
        try:
            yield from self.stub.ScoreBatch(request)
        except grpc.RpcError as error:
            raise _agent_error(error) from error

    def _require_agent(self) -> None:
        if not self._path.exists():
            raise HubUnavailable(
                f"No agent serves this node (no socket at {self._path}). Start it: `xinqiao node serve`."
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job file, what the job would cost, and what each party would learn."""

    file: Path
    text: str
    name: str
    algorithm: Algorithm
    estimate: Estimate
    leaks: tuple[Leak, ...]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is. `phase`: waiting, waiting_approval, cohort, prepare, train, score, resumed, finished. `total`: 0 if unknown."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """The report of a finished job, and the two files that it stands in."""

    document: Report
    json_file: Path
    page_file: Path


class Node:
    """A node's joint models, over its agent's socket. Every method raises NodeError; its `code` is the agent's."""

    def __init__(self, home: Path | str) -> None:
        """`home`: of the node, or its agent's socket (`….sock`)."""
        self._agent = AgentClient(Path(home), timeout_s=PLAN_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self._agent.close()

    def plan(self, job: Path | str) -> Plan:
        """Check a job file, and tell what the job would cost and what each party would learn. Nothing leaves this node."""
        from nodes.joint.job_told import JobPlanned

        file, text = Path(job), _job_text(Path(job))
        reply: agent_pb2.PlanJobReply = self._agent.call("PlanJob", _job_request(file, text))
        told = msgspec.json.decode(reply.plan_json, type=JobPlanned)
        return Plan(
            file=file, text=text, name=told.name, algorithm=told.algorithm, estimate=told.estimate, leaks=told.leaks
        )

    def train(self, job: Plan | Path | str, *, out: Path | str | None = None, user: str = "") -> Job:
        """Begin a job, or go on with the one that was broken off in its folder. Of a plan the text that was planned is trained.

        `out`: a new folder for the report, or that of the job to go on with; `<job file>-report` beside the job file by default.
        `user`: recorded with each use; the account that runs this program by default.
        """
        file, text = (job.file, job.text) if isinstance(job, Plan) else (Path(job), _job_text(Path(job)))
        directory = Path(out) if out is not None else file.with_name(f"{file.stem}-report")
        request = _job_request(file, text)
        request.user, request.directory = user or getpass.getuser(), str(directory.resolve())
        return Job(self._agent.train(request))

    def jobs(self) -> tuple[JobRecord, ...]:
        """The jobs of this node, and those of other members that it takes part in, newest first."""
        reply: agent_pb2.ListJobsReply = self._agent.call("ListJobs", agent_pb2.ListJobsRequest())
        return tuple(
            JobRecord(
                job_id=each.job_id,
                name=each.name,
                role=each.role,
                state=each.state,
                members=tuple(each.members),
                created_ms=each.created_ms,
                failure=each.failure,
                commitment=each.commitment,
                directory=each.directory,
            )
            for each in reply.jobs
        )

    def register(
        self,
        model: LinearModel,
        name: str,
        *,
        products: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        description: str = "",
    ) -> ModelVersion:
        """Register the next version of a scoring model; its providers are asked to approve it. Weights stay at this node.

        `products`: of providers that offer several with these columns. `metrics`: auc, ks, gini, brier. Raises NodeError.
        """
        from consent.models import ModelVersion
        from modeling.scoring.model import canonical

        request = agent_pb2.RegisterOwnModelRequest(
            linear=canonical(model),
            name=name,
            description=description,
            products_json=msgspec.json.encode(products or {}),
            metrics_json=msgspec.json.encode(metrics or {}),
        )
        reply: agent_pb2.ModelVersionReply = self._agent.call("RegisterOwnModel", request)
        return msgspec.json.decode(reply.version_json, type=ModelVersion)

    def stop(self, job_id: str, reason: str = "") -> None:
        """End a job for good, or this node's part in another member's; the other parties are told why."""
        self._agent.call("StopJob", agent_pb2.StopJobRequest(job_id=job_id, reason=reason))


class Job:
    """A job under way in the agent."""

    def __init__(self, messages: Iterator[agent_pb2.JobProgress]) -> None:
        """`messages`: of TrainJob. Waits for the first; raises NodeError if the agent refuses the job."""
        first = next(messages, None)
        if first is None:
            raise _unfinished()
        self._last = first
        self._messages = itertools.chain((first,), messages)
        self._failure: NodeError | None = None
        self.job_id = first.job_id

    def follow(self) -> Iterator[Progress]:
        """What has not been told yet, until the job ends. Raises NodeError for how it failed."""
        try:
            for message in self._messages:
                self._last = message
                yield Progress(phase=message.phase, done=message.done, total=message.total)
        except NodeError as error:
            self._failure = error
            raise

    def report(self) -> JobReport:
        """Wait for the end, and read the report. Raises NodeError."""
        from modeling.errors import ModelingError
        from modeling.report.document import from_json
        from nodes.joint.job_told import PAGE_FILE, REPORT_FILE

        for _ in self.follow():
            pass
        if self._failure is not None:
            raise self._failure
        if not self._last.report_json:
            raise _unfinished()
        try:
            document = from_json(self._last.report_json)
        except ModelingError as error:  # of an agent of another version
            raise NodeError(str(error), code=error.code) from error
        folder = Path(self._last.directory)
        return JobReport(document=document, json_file=folder / REPORT_FILE, page_file=folder / PAGE_FILE)


def _unfinished() -> NodeError:
    return HubUnavailable("The agent ended without a report. Train again into the same folder: it goes on.")


def _job_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NodeError(
            f"{file} cannot be read ({type(error).__name__}); name the job file.", code="INVALID_ARGUMENT"
        ) from error


def _job_request(file: Path, text: str) -> agent_pb2.JobRequest:
    return agent_pb2.JobRequest(job_yaml=text, base=str(file.resolve().parent))


def _agent_error(error: grpc.RpcError) -> NodeError:
    if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.CANCELLED:
        return HubUnavailable(
            "The connection to the agent was closed; what it does goes on. Connect again to follow it."
        )
    failure = from_rpc(error)
    if failure.code == "UNAVAILABLE" and "hub cannot be reached" in failure.message:
        return HubUnavailable("The agent does not answer. Look at its log, or start it: `xinqiao node serve`.")
    return failure
