"""The registry's calls of the agent, over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from nodes.errors import from_rpc
from nodes.models.rpc import ModelCalls
from tests.consent.model_builders import PROVIDER
from tests.nodes.models.world import World, linear


@pytest.fixture
async def agents(world: World, tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Stubs of the owner's agent and the provider's."""
    servers, channels = [], []
    for number, registry in enumerate((world.owner, world.provider)):
        calls = ModelCalls()
        calls._agent = SimpleNamespace(registry=registry)  # type: ignore[assignment]
        servers.append(grpc.aio.server())
        agent_pb2_grpc.add_AgentServicer_to_server(calls, servers[-1])
        servers[-1].add_insecure_port(f"unix:{tmp_path}/{number}")
        await servers[-1].start()
        channels.append(grpc.aio.insecure_channel(f"unix:{tmp_path}/{number}"))
    yield agent_pb2_grpc.AgentStub(channels[0]), agent_pb2_grpc.AgentStub(channels[1])
    for channel in channels:
        await channel.close()
    for server in servers:
        await server.stop(None)


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        await call
    return from_rpc(refused.value).code


async def test_a_model_lives_through_the_agents_calls(world: World, agents: tuple[Any, Any], tmp_path: Path) -> None:
    owner, provider = agents
    made = await owner.RegisterOwnModel(
        agent_pb2.RegisterOwnModelRequest(
            linear=linear(), name="sme-default", metrics_json=b'{"auc":0.8}', description="small loans"
        )
    )
    version = json.loads(made.version_json)
    assert (made.role, made.state, made.sent, version["metrics"]) == ("owner", "draft", True, {"auc": 0.8})
    await world.sync()
    (listed,) = (await provider.ListModelVersions(agent_pb2.ListModelVersionsRequest())).models
    assert (listed.role, listed.version_json, json.loads(listed.words_json)) == (
        "provider",
        made.version_json,
        {PROVIDER: ""},
    )

    def step(name: str) -> agent_pb2.StepModelRequest:
        return agent_pb2.StepModelRequest(model_id=version["model_id"], step=name, reason="checked", user="li")

    assert await refusal(owner.StepModel(step("in_service"))) == "WRONG_STATE"
    assert await refusal(owner.StepModel(step("approved"))) == "PERMISSION_DENIED"
    assert await refusal(owner.StepModel(step("eaten"))) == "INVALID_ARGUMENT"
    approved = await provider.StepModel(step("approved"))
    assert (approved.state, json.loads(approved.approvals_json)[0]["user"]) == ("approved", "li")
    await world.sync()
    assert (await owner.StepModel(step("in_service"))).state == "in_service"
    world.hub.away = True
    withdrawn = await provider.StepModel(step("withdrawn"))
    assert (withdrawn.state, withdrawn.sent) == ("retired", False)
    opened, theirs = (
        agent_pb2.OpenModelRequest(model_id=version["model_id"], file=str(tmp_path / name)) for name in "op"
    )
    assert (await owner.OpenModel(opened)).parts == 2
    assert await refusal(owner.OpenModel(opened)) == "ALREADY_EXISTS"
    assert (await provider.OpenModel(theirs)).parts == 0


async def test_what_cannot_be_registered_is_told_with_its_code(world: World, agents: tuple[Any, Any]) -> None:
    owner, _ = agents
    refused: list[tuple[str, dict[str, Any]]] = [
        ("INVALID_ARGUMENT", {}),
        ("INVALID_ARGUMENT", {"linear": linear(), "job": "j"}),
        ("INVALID_ARGUMENT", {"linear": linear(), "metrics_json": b'{"luck": 1}'}),
        ("INVALID_ARGUMENT", {"linear": linear(), "products_json": b"[]"}),
        ("MODEL_INVALID", {"linear": b"{}"}),
        ("MODEL_INVALID", {"linear": linear(), "name": "No Name"}),
        ("NOT_FOUND", {"job": "j"}),
    ]
    for code, fields in refused:
        request = agent_pb2.RegisterOwnModelRequest(**{"name": "m", **fields})
        assert await refusal(owner.RegisterOwnModel(request)) == code, fields
    world.hub.away = True
    request = agent_pb2.RegisterOwnModelRequest(linear=linear(), name="m")
    assert await refusal(owner.RegisterOwnModel(request)) == "UNAVAILABLE"
