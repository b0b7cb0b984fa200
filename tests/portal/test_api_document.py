"""The JSON API keeps to its OpenAPI document, whatever it is sent: schemathesis makes the calls, as several roles, from fixed seeds."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from portal.accounts import passwords
from portal.permissions import ROUTES, Need
from portal.permissions.grants import GRANTS
from portal.permissions.kinds import Role
from tests.portal.everybody import everybody
from tests.portal.world import CHEAP, ORIGIN, running_portal

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CALLS = 6  # of each operation, with what the document allows, and as many with what it does not
ROLES = {Role.ENTERPRISE: "enterprise", Role.STAFF: "staff", Role.APPROVER: "approver", Role.REVIEWER: "first"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def called_by(route: str) -> list[str]:
    """Who calls a route: whom it is granted to; an enterprise where it is open to all."""
    rule = ROUTES[route]
    able = [who for role, who in ROLES.items() if isinstance(rule, Need) and rule in GRANTS[role]]
    return able or ["enterprise"]


def test_whatever_is_sent_the_answers_are_those_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    passwords._nobodys.cache_clear()
    wrong: dict[str, str] = {}
    with asyncio.Runner() as runner:
        opening = running_portal(tmp_path)
        world = runner.run(opening.__aenter__())
        people = runner.run(everybody(world))
        document = runner.run(people["stranger"].client.get("/api/v1/openapi.json")).json()
        schema = schemathesis.openapi.from_dict(document)
        tried = 0
        for each in schema.get_all_operations():
            operation = each.ok()
            route = f"{operation.method.upper()} {operation.path}"
            for who in called_by(route):
                client = people[who].client
                token = runner.run(client.get("/api/v1/session")).json()["csrf"]
                tried += 1

                def call(case: Any, client: httpx.AsyncClient = client, token: str = token) -> httpx.Response:
                    sent = case.as_transport_kwargs(base_url=ORIGIN)
                    own = {"X-CSRF-Token": token, "Origin": ORIGIN}
                    sent["headers"] = {**dict(sent.get("headers") or {}), **own}
                    sent.pop("cookies", None)
                    if isinstance(sent.get("data"), bytes | str):
                        sent["content"] = sent.pop("data")
                    return runner.run(client.request(**sent))

                try:
                    _try(operation, call)
                except BaseException as problem:
                    wrong[f"{route} as {who}"] = str(problem)[:600]
        runner.run(opening.__aexit__(None, None, None))
    assert tried > 40
    assert not wrong, "\n\n".join(f"{name}: {text}" for name, text in wrong.items())


def _try(operation: Any, call: Any) -> None:
    """Make the calls of one operation, and hold each answer against the document."""
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    strategies = [operation.as_strategy(mode) for mode in modes]
    quiet = settings(
        max_examples=CALLS * 2,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )

    @seed(1)
    @quiet
    @given(case=st.one_of(strategies))
    def run(case: Any) -> None:
        case.validate_response(call(case), checks=CHECKS)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run()
