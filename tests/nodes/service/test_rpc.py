"""The gRPC door against a simulated agent: the same answers and refusals as HTTP gives, as gRPC has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from xinqiao.v1 import errors_pb2, score_pb2, score_pb2_grpc

from nodes.service.rpc import OPTIONS
from tests.consent.builders import OTHER_USCC, USCC
from tests.nodes.service.conftest import World


@pytest.fixture
async def stub(world: World) -> AsyncIterator[Any]:
    server = grpc.aio.server(options=OPTIONS)
    score_pb2_grpc.add_ScoringServicer_to_server(world.made.rpc, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield score_pb2_grpc.ScoringStub(channel)
    await server.stop(None)


def asked(*subjects: str, **more: Any) -> score_pb2.ScoringRequest:
    values = {"years": score_pb2.ScoringValue(number=4.0), "branch": score_pb2.ScoringValue(text="Xiamen")}
    return score_pb2.ScoringRequest(
        **{
            "subjects": [score_pb2.ScoringSubject(uscc=uscc, features=values) for uscc in subjects or (USCC,)],
            "reason": "loan application",
        }
        | more
    )


async def sent(world: World, **more: str) -> tuple[tuple[str, str], ...]:
    told = {"authorization": f"Bearer {await world.key()}"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }
    return tuple(told.items())


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """The status of a call that fails, its code and its words."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    metadata = dict(raised.value.trailing_metadata() or ())
    data = metadata.get("xinqiao-error-bin")
    detail = errors_pb2.ErrorDetail.FromString(data) if isinstance(data, bytes) else errors_pb2.ErrorDetail()
    return raised.value.code(), errors_pb2.ErrorCode.Name(detail.code), detail.message


async def test_scores_are_those_of_the_http_door(world: World, stub: Any) -> None:
    world.agent.withheld[OTHER_USCC] = "CONSENT_REVOKED"
    call = stub.ScoreSubjects(asked(USCC, OTHER_USCC), metadata=await sent(world, x_request_id="loan-2026-1"))
    reply = await call
    assert dict(await call.initial_metadata())["x-request-id"] == "loan-2026-1"
    scored, withheld = reply.results
    assert (reply.model_id, reply.model_name, reply.model_version) == ("m-1", "loans", 1)
    assert scored.score == pytest.approx(-1.6)
    assert (scored.band, list(scored.reasons), list(scored.receipt_ids)) == ("A", ["years"], ["r-1"])
    assert not withheld.HasField("score")
    assert (withheld.refused, withheld.detail) == ("CONSENT_REVOKED", "taxoffice refuses")


async def test_a_value_that_is_not_set_is_missing(world: World, stub: Any) -> None:
    request = asked()
    request.subjects[0].features["years"].CopyFrom(score_pb2.ScoringValue())
    await stub.ScoreSubjects(request, metadata=await sent(world))
    assert world.agent.asked[0].subjects[0].own_json == b'{"years":null,"branch":"Xiamen"}'


async def test_keys_and_rights_are_checked(world: World, stub: Any) -> None:
    status, code, _ = await refused(stub.ScoreSubjects(asked()))
    assert (status, code) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    reporter = await world.key("reporter", rights=("outcomes",))
    for call, request in (
        (stub.ScoreSubjects, asked()),
        (stub.ListServedModels, score_pb2.ScoringModelsRequest()),
    ):
        status, code, _ = await refused(call(request, metadata=(("authorization", f"Bearer {reporter}"),)))
        assert (status, code) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    slow = (("authorization", f"Bearer {await world.key('slow', per_minute=1)}"),)
    await stub.ScoreSubjects(asked(), metadata=slow)
    status, code, _ = await refused(stub.ScoreSubjects(asked(), metadata=slow))
    assert (status, code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"reason": " "}, "reason"),
        ({"user": "x" * 101}, "user"),
        ({"subjects": []}, "1 to 1,000"),
        ({"subjects": [score_pb2.ScoringSubject(uscc="123")]}, "unified social credit code"),
        ({"subjects": [score_pb2.ScoringSubject(uscc=USCC)]}, "years (missing), branch (missing)"),
        (
            {
                "subjects": [
                    score_pb2.ScoringSubject(uscc=USCC, features={"years": score_pb2.ScoringValue(number=float("inf"))})
                ]
            },
            "must be finite",
        ),
    ],
)
async def test_what_is_not_valid_is_named(world: World, stub: Any, more: dict[str, Any], says: str) -> None:
    status, code, message = await refused(stub.ScoreSubjects(asked(**more), metadata=await sent(world)))
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert says in message


async def test_an_idempotency_key_holds_for_both_doors(world: World, stub: Any) -> None:
    over_http = (await world.score(Idempotency_Key="a-1")).json()["results"][0]["score_id"]
    reply = await stub.ScoreSubjects(asked(), metadata=await sent(world, idempotency_key="a-1"))
    assert reply.results[0].score_id == over_http
    call = stub.ScoreSubjects(asked(OTHER_USCC), metadata=await sent(world, idempotency_key="a-1"))
    status, code, _ = await refused(call)
    assert (status, code) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")


async def test_a_deadline_that_passes_leaves_the_answer_for_who_asks_again(world: World, stub: Any) -> None:
    world.agent.wait = asyncio.Event()
    metadata = await sent(world, idempotency_key="a-1")
    status, _, _ = await refused(stub.ScoreSubjects(asked(), metadata=metadata, timeout=0.2))
    assert status is grpc.StatusCode.DEADLINE_EXCEEDED
    world.agent.wait.set()
    await stub.ScoreSubjects(asked(), metadata=metadata)
    assert world.agent.counted == 1


async def test_a_retired_model_and_an_agent_that_is_away_are_told(world: World, stub: Any) -> None:
    world.agent.refuse = ("MODEL_RETIRED", "taxoffice withdrew its approval")
    status, code, message = await refused(stub.ScoreSubjects(asked(), metadata=await sent(world)))
    assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_RETIRED")
    assert "withdrew" in message
    (world.home / "agent.sock").rename(world.home / "elsewhere")
    status, code, _ = await refused(stub.ScoreSubjects(asked(), metadata=await sent(world)))
    assert (status, code) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert not (await stub.GetHealth(score_pb2.ScoringHealthRequest())).agent


async def test_a_message_that_is_too_large_is_refused(world: World, stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.ScoreSubjects(asked(reason="x" * (1 << 20)), metadata=await sent(world))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_models_are_listed_and_outcomes_recorded(world: World, stub: Any) -> None:
    models = (await stub.ListServedModels(score_pb2.ScoringModelsRequest(), metadata=await sent(world))).models
    assert [(each.model_id, each.role, each.state) for each in models] == [
        ("m-1", "champion", "in_service"),
        ("m-2", "named", "in_service"),
    ]
    assert [(each.name, each.kind, each.nullable) for each in models[0].features] == [
        ("years", "number", True),
        ("branch", "text", False),
    ]
    score_id = (await stub.ScoreSubjects(asked(), metadata=await sent(world))).results[0].score_id
    told = [
        score_pb2.ScoringOutcome(score_id=score_id, defaulted=True, observed="2026-12-31"),
        score_pb2.ScoringOutcome(score_id="nobody", observed="2026-12-31"),
    ]
    reply = await stub.ReportOutcomes(score_pb2.ScoringOutcomesRequest(outcomes=told), metadata=await sent(world))
    assert (reply.recorded, list(reply.unknown)) == (1, ["nobody"])
    for wrong in ([], [score_pb2.ScoringOutcome(score_id=score_id, observed="soon")]):
        call = stub.ReportOutcomes(score_pb2.ScoringOutcomesRequest(outcomes=wrong), metadata=await sent(world))
        assert (await refused(call))[1] == "INVALID_ARGUMENT"
