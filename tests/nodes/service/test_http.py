"""The HTTP door against a simulated agent: what is answered, and how each failure is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from nodes.service.wire import ModelsOut, OutcomesOut, ProblemOut, ScoreOut
from tests.consent.builders import OTHER_USCC, USCC
from tests.nodes.service.conftest import FEATURES, World, question


def told(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A problem document with this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    ProblemOut.model_validate(found)
    assert (found["code"], found["status"]) == (code, status)
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


async def test_scores_come_in_the_order_of_the_subjects_as_openapi_describes_them(world: World) -> None:
    answer = await world.score(OTHER_USCC, USCC)
    assert answer.status_code == 200
    found = ScoreOut.model_validate(answer.json(), strict=True)
    assert [each.uscc for each in found.results] == [OTHER_USCC, USCC]
    assert (found.model_id, found.model_name, found.model_version) == ("m-1", "loans", 1)
    first = found.results[0]
    assert first.score == pytest.approx(-1.6)
    assert (first.band, first.reasons, first.receipt_ids, first.refused) == ("A", ["years"], ["r-1"], "")
    assert len({each.score_id for each in found.results}) == 2
    assert answer.headers["cache-control"] == "no-store"
    asked = world.agent.asked[0]
    assert (asked.model_id, asked.reason, asked.user) == ("m-1", "loan application", "api key portal")
    assert asked.subjects[0].own_json == b'{"years":4.0,"branch":"Xiamen"}'


async def test_a_subject_that_is_refused_says_why_and_the_others_have_their_scores(world: World) -> None:
    world.agent.withheld[USCC] = "CONSENT_REVOKED"
    refused, scored = ScoreOut.model_validate((await world.score(USCC, OTHER_USCC)).json()).results
    assert (refused.score, refused.refused, refused.detail) == (None, "CONSENT_REVOKED", "taxoffice refuses")
    assert scored.score is not None


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        (None, "No API key was sent"),
        ("Bearer", "No API key was sent"),
        ("Bearer nonsense", "not known"),
        ("Bearer xqs_000000000000_" + "a" * 43, "not known"),
        ("Basic !!!", "No API key was sent"),
        ("Digest x", "No API key was sent"),
    ],
)
async def test_a_caller_without_a_valid_key_is_refused(world: World, authorization: str | None, says: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await world.client.post("/v1/score", json=question(), headers=headers)
    assert says in told(answer, 401, "UNAUTHENTICATED")["detail"]
    assert answer.headers.get_list("www-authenticate") == ['Basic realm="xinqiao"', 'Bearer realm="xinqiao"']
    assert not world.agent.asked


async def test_a_key_with_another_secret_is_not_known(world: World) -> None:
    text = await world.key()
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert "not known" in told(await world.score(key=wrong), 401, "UNAUTHENTICATED")["detail"]


async def test_a_revoked_key_is_refused_at_the_next_call(world: World) -> None:
    text = await world.key()
    assert (await world.score()).status_code == 200
    await world.made.keys.revoke(text.split("_")[1], "left the bank")
    assert "left the bank" in told(await world.score(), 401, "UNAUTHENTICATED")["detail"]


async def test_a_key_serves_until_it_expires(world: World) -> None:
    text = await world.key("short", days=1)
    assert (await world.score(key=text)).status_code == 200
    world.now_ms[0] += 86_400_000
    assert "expired" in told(await world.score(key=text), 401, "UNAUTHENTICATED")["detail"]


async def test_a_key_does_only_what_its_rights_name(world: World) -> None:
    reporter = await world.key("reporter", rights=("outcomes",))
    told(await world.score(key=reporter), 403, "PERMISSION_DENIED")
    scorer = await world.key("scorer", rights=("score",))
    body = {"outcomes": [{"score_id": "x", "defaulted": True, "observed": "2026-12-31"}]}
    told(await world.post("/v1/outcomes", body, key=scorer), 403, "PERMISSION_DENIED")
    for path in ("/monitor", "/v1/monitor", "/metrics"):
        told(await world.client.get(path, headers={"Authorization": f"Bearer {scorer}"}), 403, "PERMISSION_DENIED")


async def test_a_key_covers_only_the_models_that_it_names(world: World) -> None:
    other = await world.key("other", models=("m-2",))
    told(await world.score(key=other), 403, "PERMISSION_DENIED")
    body = question(model="m-2", features={"years": 1})
    assert (await world.post("/v1/score", body, key=other)).status_code == 200
    headers = {"Authorization": f"Bearer {other}"}
    listed = ModelsOut.model_validate((await world.client.get("/v1/models", headers=headers)).json()).models
    assert [each.model_id for each in listed] == ["m-2"]


async def test_calls_beyond_the_keys_rate_wait(world: World) -> None:
    text = await world.key("slow", per_minute=6)
    assert (await world.score(key=text)).status_code == 200
    answer = await world.score(key=text)
    told(answer, 429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["retry-after"]) <= 10


@pytest.mark.parametrize(
    ("features", "faults"),
    [
        ({}, {"years": "missing", "branch": "missing"}),
        ({"years": 1, "branch": "X", "age": 3}, {"age": "not a feature of the model"}),
        ({"years": "one", "branch": "X"}, {"years": "must be a number"}),
        ({"years": 1, "branch": 2}, {"branch": "must be a text"}),
        ({"years": 1, "branch": None}, {"branch": "must not be null"}),
        ({"years": 1, "branch": "x" * 201}, {"branch": "longer than 200 characters"}),
    ],
)
async def test_features_that_do_not_fit_are_all_named(
    world: World, features: dict[str, Any], faults: dict[str, str]
) -> None:
    found = told(await world.post("/v1/score", question(features=features)), 422, "INVALID_ARGUMENT")
    assert {each["where"]: each["what"] for each in found["faults"]} == {
        f"subjects[0].features.{name}": what for name, what in faults.items()
    }
    assert all(name in found["detail"] for name in faults)
    assert not world.agent.asked


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
async def test_numbers_that_are_not_finite_are_named(world: World, number: str) -> None:
    body = f'{{"subjects":[{{"uscc":"{USCC}","features":{{"years":{number},"branch":"X"}}}}],"reason":"r"}}'
    found = told(await world.post("/v1/score", body.encode()), 422, "INVALID_ARGUMENT")
    assert [each["where"] for each in found["faults"]] == ["subjects[0].features.years"]


async def test_a_missing_value_is_given_as_null_where_the_model_allows_it(world: World) -> None:
    features = {"years": None, "branch": "X"}
    assert (await world.post("/v1/score", question(features=features))).status_code == 200
    assert world.agent.asked[0].subjects[0].own_json == b'{"years":null,"branch":"X"}'


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "subjects"),
        ({"subjects": [], "reason": "r"}, "subjects"),
        ({"subjects": [{"uscc": USCC}]}, "reason"),
        ({"subjects": [{"uscc": USCC}], "reason": "  "}, "reason"),
        ({"subjects": [{"uscc": "123"}], "reason": "r"}, "subjects[0].uscc"),
        ({"subjects": [{"uscc": USCC}, {"uscc": USCC}], "reason": "r"}, "subjects[1].uscc"),
        ({"subjects": [{"uscc": USCC, "features": {"years": True}}], "reason": "r"}, "subjects[0].features.years"),
        ({"subjects": [{"uscc": USCC}], "reason": "r", "modle": "m-1"}, "modle"),
        ([1], "body"),
    ],
)
async def test_a_body_that_is_not_valid_names_the_place_and_not_the_value(world: World, body: Any, where: str) -> None:
    found = told(await world.post("/v1/score", body), 422, "INVALID_ARGUMENT")
    assert where in [each["where"] for each in found["faults"]]
    assert "123" not in str(found["faults"])


@pytest.mark.parametrize("body", [b"{", b"", b"[" * 100_000, b"\xff\xfe", b"null"])
async def test_a_body_that_is_no_json_is_told_so(world: World, body: bytes) -> None:
    answer = await world.post("/v1/score", body)
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] == "INVALID_ARGUMENT"


async def test_a_form_of_another_site_is_not_taken_for_a_question(world: World) -> None:
    headers = {
        "Authorization": f"Bearer {await world.key()}",
        "Content-Type": "text/plain",
    }  # needs no leave of the browser
    answer = await world.client.post("/v1/score", content=json.dumps(question()), headers=headers)
    told(answer, 422, "INVALID_ARGUMENT")
    assert not world.agent.asked


async def test_the_same_idempotency_key_gets_the_same_answer_for_a_day_and_counts_once(world: World) -> None:
    first = await world.score(Idempotency_Key="a-1")
    world.now_ms[0] += 24 * 3_600_000 - 1
    second = await world.score(Idempotency_Key="a-1")
    assert second.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert (len(world.agent.asked), world.agent.counted) == (1, 1)
    world.now_ms[0] += 1
    third = await world.score(Idempotency_Key="a-1")
    assert third.status_code == 200
    assert "idempotency-replayed" not in third.headers


async def test_a_replay_is_the_old_answer_even_if_the_agent_is_away_and_another_is_champion(world: World) -> None:
    first = await world.score(Idempotency_Key="a-1")
    await world.made.roles.appoint("champion", "m-2", user="li", reason="better")
    world.agent.refuse = ("MODEL_RETIRED", "gone")
    assert (await world.score(Idempotency_Key="a-1")).content == first.content


async def test_an_idempotency_key_serves_one_question_of_one_caller(world: World) -> None:
    await world.score(Idempotency_Key="a-1")
    told(await world.score(OTHER_USCC, Idempotency_Key="a-1"), 409, "ALREADY_EXISTS")
    other = await world.key("second")
    assert (await world.score(OTHER_USCC, key=other, Idempotency_Key="a-1")).status_code == 200
    told(await world.score(Idempotency_Key="x" * 129), 422, "INVALID_ARGUMENT")


async def test_a_failure_is_not_kept_as_the_answer(world: World) -> None:
    world.agent.refuse = ("PEER_OFFLINE", "taxoffice is not connected")
    answer = await world.score(Idempotency_Key="a-1")
    told(answer, 503, "PEER_OFFLINE")
    assert answer.headers["retry-after"] == "1"
    world.agent.refuse = None
    assert (await world.score(Idempotency_Key="a-1")).status_code == 200
    await world.score()
    first, second, other = (each.request_key for each in world.agent.asked)
    assert first == second != other  # so that the agent, too, knows a question again


async def test_two_at_once_with_one_idempotency_key_share_one_score(world: World) -> None:
    await world.key()
    world.agent.wait = asyncio.Event()
    both = [asyncio.create_task(world.score(Idempotency_Key="a-1")) for _ in range(2)]
    while not world.agent.asked:
        await asyncio.sleep(0.005)
    told(await world.score(OTHER_USCC, Idempotency_Key="a-1"), 409, "ALREADY_EXISTS")
    world.agent.wait.set()
    one, other = await asyncio.gather(*both)
    assert one.status_code == other.status_code == 200
    assert one.content == other.content
    assert world.agent.counted == 1


async def test_a_deadline_that_passes_is_told_and_the_answer_is_kept_for_who_asks_again(world: World) -> None:
    world.agent.wait = asyncio.Event()
    late = await world.score(Idempotency_Key="a-1", Deadline_Ms="30")
    assert "30 ms" in told(late, 504, "DEADLINE_EXCEEDED")["detail"]
    world.agent.wait.set()
    await world.made.service.close()
    assert len((await world.made.records.scores("m-1", 0, world.now_ms[0] + 1)).score_ids) == 1
    again = await world.score(Idempotency_Key="a-1")
    assert again.status_code == 200
    assert world.agent.counted == 1


@pytest.mark.parametrize("deadline", ["0", "60001", "soon"])
async def test_a_deadline_has_its_bounds(world: World, deadline: str) -> None:
    found = told(await world.score(Deadline_Ms=deadline), 422, "INVALID_ARGUMENT")
    assert found["faults"][0]["where"] == "Deadline-Ms"


async def test_a_retired_model_is_refused_at_the_next_request_with_the_reason(world: World) -> None:
    assert (await world.score()).status_code == 200
    world.agent.refuse = ("MODEL_RETIRED", "taxoffice withdrew its approval: the purpose ended")
    assert "purpose ended" in told(await world.score(), 409, "MODEL_RETIRED")["detail"]
    world.agent.models[0] = world.agent.models[0].__class__(
        model_id="m-1", name="loans", version=1, kind="linear", state="retired", why="taxoffice withdrew"
    )
    asked = len(world.agent.asked)
    assert "taxoffice withdrew" in told(await world.score(), 409, "MODEL_RETIRED")["detail"]
    assert len(world.agent.asked) == asked  # the list of models was asked for anew, and nothing left for the provider


async def test_a_model_that_is_not_approved_is_refused(world: World) -> None:
    world.agent.models[1] = world.agent.models[1].__class__(
        model_id="m-2", name="loans", version=2, kind="linear", state="draft", why="waits for taxoffice"
    )
    body = question(model="m-2", features={})
    assert "waits for taxoffice" in told(await world.post("/v1/score", body), 409, "MODEL_NOT_APPROVED")["detail"]


async def test_without_the_agent_nothing_is_scored_and_health_says_so(world: World) -> None:
    (world.home / "agent.sock").rename(world.home / "elsewhere")
    answer = await world.score()
    assert "xinqiao node serve" in told(answer, 503, "UNAVAILABLE")["detail"]
    health = await world.client.get("/v1/health")
    assert (health.status_code, health.json()) == (503, {"status": "agent_away"})


async def test_health_needs_no_key(world: World) -> None:
    health = await world.client.get("/v1/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


async def test_a_model_is_named_by_its_identifier_or_its_newest_version_by_name(world: World) -> None:
    assert (await world.score(model="m-1")).json()["model_id"] == "m-1"
    body = question(model="loans", features={"years": 1})
    assert (await world.post("/v1/score", body)).json()["model_id"] == "m-2"
    told(await world.score(model="nothing"), 404, "NOT_FOUND")


async def test_without_a_champion_a_model_must_be_named(world: World) -> None:
    await world.made.roles.appoint("champion", "", user="li", reason="none for now")
    assert "champion" in told(await world.score(), 404, "NOT_FOUND")["detail"]
    assert (await world.score(model="m-1")).status_code == 200


async def test_models_are_listed_with_their_roles_and_features(world: World) -> None:
    listed = ModelsOut.model_validate((await world.get("/v1/models")).json()).models
    assert [(each.model_id, each.role) for each in listed] == [("m-1", "champion"), ("m-2", "named")]
    assert [(each.name, each.kind, each.nullable) for each in listed[0].features] == [
        ("years", "number", True),
        ("branch", "text", False),
    ]


async def test_a_request_id_is_echoed_and_one_that_is_none_is_replaced(world: World) -> None:
    assert (await world.score(X_Request_ID="loan-2026-1")).headers["x-request-id"] == "loan-2026-1"
    assert len((await world.score(X_Request_ID="no\tid")).headers["x-request-id"]) == 32
    assert len((await world.score()).headers["x-request-id"]) == 32


async def test_the_log_names_the_call_and_nothing_that_was_sent(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await world.score(X_Request_ID="loan-2026-1")
        await world.score("123")
    (first, second) = (each for each in caplog.records if each.getMessage() == "call")
    assert first.__dict__["request_id"] == "loan-2026-1"
    assert (first.__dict__["route"], first.__dict__["status"]) == ("/v1/score", 200)
    assert second.__dict__["status"] == 422
    whole = str([each.__dict__ for each in caplog.records])
    key = await world.key()
    assert not any(text in whole for text in (USCC, "Xiamen", "loan application", key.split("_")[2]))


async def test_outcomes_are_recorded_corrected_and_unknown_ones_are_named(world: World) -> None:
    score_id = (await world.score()).json()["results"][0]["score_id"]
    body = {
        "outcomes": [
            {"score_id": score_id, "defaulted": False, "observed": "2026-12-30"},
            {"score_id": "nobody", "defaulted": True, "observed": "2026-12-31"},
        ]
    }
    answer = OutcomesOut.model_validate((await world.post("/v1/outcomes", body)).json())
    assert (answer.recorded, answer.unknown) == (1, ["nobody"])
    body["outcomes"] = [{"score_id": score_id, "defaulted": True, "observed": "2026-12-31"}]
    await world.post("/v1/outcomes", body)
    rows = await world.made.records.scores("m-1", 0, world.now_ms[0] + 1)
    assert rows.label.tolist() == [1.0]


@pytest.mark.parametrize(
    "outcome",
    [
        {"score_id": "x", "defaulted": 1, "observed": "2026-12-31"},
        {"score_id": "x", "defaulted": True, "observed": "yesterday"},
        {"score_id": "x", "defaulted": True},
    ],
)
async def test_an_outcome_that_is_not_valid_records_nothing(world: World, outcome: dict[str, Any]) -> None:
    told(await world.post("/v1/outcomes", {"outcomes": [outcome]}), 422, "INVALID_ARGUMENT")


async def test_other_addresses_and_methods_are_told_so(world: World) -> None:
    told(await world.get("/v1/nothing"), 404, "NOT_FOUND")
    told(await world.get("/v1/score"), 405, "INVALID_ARGUMENT")
    told(await world.get("/static/../schema.py"), 404, "NOT_FOUND")


async def test_an_unforeseen_failure_is_told_without_its_text(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"secret of {USCC}")

    world.made.service.score = broken  # type: ignore[method-assign,assignment]
    answer = await world.score()
    assert USCC not in told(answer, 500, "INTERNAL")["detail"]
    (record,) = (each for each in caplog.records if each.getMessage() == "call_failed")
    assert record.__dict__["failure"] == "builtins.RuntimeError"
    assert USCC not in caplog.text + str(record.__dict__)


async def test_features_of_the_database_are_counts_and_no_enterprise_is_named_but_in_kept_answers(world: World) -> None:
    await world.score()
    await world.score(OTHER_USCC, Idempotency_Key="a-1")
    raw = await world.store.read(
        lambda connection: str(
            [
                connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 (own names)
                for table in ("scores", "outcomes", "column_counts", "roles", "api_keys")
            ]
        )
    )
    assert USCC not in raw
    assert OTHER_USCC not in raw
    assert FEATURES["branch"] not in raw
    assert (await world.key()).split("_")[2] not in raw
