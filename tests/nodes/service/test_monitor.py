"""What is watched: from scores and outcomes through the doors to figures, page and Prometheus."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modeling.monitoring import Population, population
from nodes.scoring.own import OwnColumn
from nodes.service.models import ServedModel
from nodes.service.monitor.build import FIRST_SCORES, monitor_report
from nodes.service.monitor.document import MonitorReport, to_json
from nodes.service.monitor.page import monitor_page
from nodes.service.monitor.words import _TEXTS
from nodes.service.records import DAY_MS, Outcome, ScoreRecord, SetPopulation
from tests.consent.builders import USCC
from tests.nodes.service.agent import MODEL, OTHER
from tests.nodes.service.conftest import NOW_MS, World, question

HOSTILE = """<a href="https://x.example/">x</a>'</script><script>alert(1)</script><!--{{ 7 * 7 }}"""
RANDOM = np.random.default_rng(3)


def scored(place: int, probability: float | None, *, model_id: str = "m-1", day: int = 0, **more: Any) -> ScoreRecord:
    told = {
        "score_id": f"s{place}",
        "model_id": model_id,
        "role": "champion",
        "at_ms": NOW_MS - day * DAY_MS - place,
        "probability": probability,
        "band": "" if probability is None else "A" if probability < 0.2 else "B",
        "refused": "",
        "latency_ms": 20.0,
    }
    return ScoreRecord(**(told | more))


async def kept(world: World, *records: ScoreRecord) -> None:
    await world.store.write(lambda connection: world.made.records.keep(connection, records))


async def report(world: World, models: Any = (MODEL, OTHER), days: int = 30) -> MonitorReport:
    return await monitor_report(world.made.records, world.made.roles, models, lambda: world.now_ms[0], days=days)


async def many(world: World, probabilities: Any, **more: Any) -> None:
    await kept(world, *(scored(place, float(p), **more) for place, p in enumerate(probabilities)))


async def test_scores_of_the_window_are_counted_by_day_with_their_refusals_and_latency(world: World) -> None:
    await kept(
        world,
        scored(1, 0.1, day=31),
        scored(2, 0.1, day=2),
        scored(3, 0.3, day=2, latency_ms=40.0),
        scored(4, None, day=1, refused="CONSENT_REVOKED"),
        scored(5, 0.2),
    )
    (model,) = (await report(world)).models
    assert [(each.scored, each.refused, each.mean) for each in model.days] == [(2, 0, 0.2), (0, 1, None), (1, 0, 0.2)]
    assert (model.scored, model.refused, model.title, model.role) == (3, {"CONSENT_REVOKED": 1}, "loans 1", "champion")
    assert model.latency_ms is not None
    assert model.latency_ms[0] == 20.0
    assert (model.score, model.columns, model.realised, model.alarms, model.level) == (None, (), None, (), "none")


async def test_a_score_that_drifts_raises_an_alarm(world: World) -> None:
    await world.made.records.set_population("m-1", population("t.csv", RANDOM.beta(2, 20, 5000), {}), "li")
    await many(world, RANDOM.beta(2, 20, 400))
    (model,) = (await report(world)).models
    assert model.score is not None
    assert (model.score.level, model.source, model.level) == ("stable", "t.csv", "stable")
    await kept(world, *(scored(1000 + at, float(p)) for at, p in enumerate(RANDOM.beta(4, 12, 800))))
    (model,) = (await report(world)).models
    assert [(each.what, each.level) for each in model.alarms] == [("score_drift", "alarm")]


async def test_without_a_population_scores_are_held_against_the_first_thousand(world: World) -> None:
    await many(world, RANDOM.beta(2, 20, FIRST_SCORES - 1), day=60)
    (model,) = (await report(world, days=90)).models
    assert (model.score, model.source) == (None, "")
    await kept(
        world, scored(5000, 0.1, day=50), *(scored(6000 + at, float(p)) for at, p in enumerate(RANDOM.beta(4, 12, 800)))
    )
    (model,) = (await report(world)).models
    assert model.score is not None
    assert (model.source, model.score.rows, model.score.level) == ("first_scores", 800, "alarm")
    assert "first 1,000 scores" in monitor_page(await report(world))


async def test_own_columns_are_counted_as_they_come_in_and_held_against_the_population(world: World) -> None:
    columns = {"years": RANDOM.uniform(0, 10, 3000), "branch": np.array(["Xiamen", "Fuzhou"] * 1500, dtype=object)}
    await world.made.records.set_population("m-1", population("t.csv", None, columns), "li")
    for _ in range(3):
        assert (await world.score()).status_code == 200
    body = question(features={"years": None, "branch": "Beijing"})
    assert (await world.post("/v1/score", body)).status_code == 200
    (model,) = (await report(world)).models
    by_name = {each.name: each for each in model.columns}
    assert {each.label: each.actual for each in by_name["branch"].bins} == {
        "missing": 0.0,
        "Fuzhou": 0.0,
        "Xiamen": 0.75,
        "other": 0.25,
    }
    assert by_name["years"].bins[0].actual == 0.25
    assert by_name["years"].level == "few"


async def test_a_new_population_counts_anew_and_a_models_own_serves_without_one(world: World) -> None:
    (reference,) = population("x", None, {"years": RANDOM.uniform(0, 10, 1000)}).columns
    told = msgspec.json.encode({"bins": reference.bins, "shares": [each / 1000 for each in reference.counts]})
    column = msgspec.json.decode(
        b'{"name":"years","kind":"number","reference":' + told + b"}", type=OwnColumn
    )  # as the agent tells it
    model = msgspec.structs.replace(MODEL, own_columns=(column, MODEL.own_columns[1]))
    world.agent.models[0] = model
    await world.score()
    (watched,) = (await report(world, models=(model,))).models
    assert (watched.source, [(each.name, each.rows) for each in watched.columns]) == ("model", [("years", 1)])
    await world.made.records.set_population("m-1", Population(source="t.csv", columns=(reference,)), "li")
    (watched,) = (await report(world, models=(model,))).models
    assert (watched.source, watched.columns[0].rows) == ("t.csv", 0)


async def test_defaults_are_held_against_predictions_when_they_come_in(world: World) -> None:
    p = RANDOM.uniform(0.05, 0.35, 600)
    await many(world, p)
    bad = RANDOM.random(600) < 2 * p
    await world.made.records.report(
        [Outcome(score_id=f"s{at}", defaulted=bool(each), observed="2026-12-31") for at, each in enumerate(bad)], "k"
    )
    (model,) = (await report(world)).models
    assert model.realised is not None
    assert (model.realised.rows, model.realised.events) == (600, int(bad.sum()))
    assert [each.band for each in model.realised.bands] == ["A", "B"]
    assert [(each.what, each.level) for each in model.alarms] == [("calibration", "alarm")]


async def test_a_challenger_scores_its_share_in_the_shadow_and_nobody_is_given_its_scores(world: World) -> None:
    await world.made.roles.appoint("challenger", "m-2", share=1.0, user="li", reason="trial")
    answer = (await world.score()).json()
    assert answer["model_id"] == "m-1"
    await world.made.service.close()
    assert [each.model_id for each in world.agent.asked] == ["m-1", "m-2"]
    assert world.agent.asked[1].subjects[0].own_json == b'{"years":4.0}'  # what it reads, and no more
    score_id = answer["results"][0]["score_id"]
    await world.made.records.report([Outcome(score_id=score_id, defaulted=True, observed="2026-12-31")], "k")
    found = await report(world)
    assert [(each.model_id, each.role, each.scored) for each in found.models] == [
        ("m-1", "champion", 1),
        ("m-2", "challenger", 1),
    ]
    assert found.compared is not None
    assert (found.compared.rows, found.compared.labelled) == (1, 1)
    assert (found.champion, found.challenger) == ("loans 1", "loans 2")


async def test_a_challenger_that_fails_or_has_no_share_changes_nothing_for_the_caller(world: World) -> None:
    await world.made.roles.appoint("challenger", "m-2", share=1e-9, user="li", reason="trial")
    assert (await world.score()).status_code == 200
    await world.made.service.close()
    assert len(world.agent.asked) == 1
    await world.made.roles.appoint("challenger", "m-2", share=1.0, user="li", reason="trial")
    world.agent.withheld[USCC] = "CONSENT_REVOKED"  # who is refused once is not asked for again
    await world.score()
    await world.made.service.close()
    assert len(world.agent.asked) == 2
    world.agent.withheld.clear()
    world.agent.refuse_of["m-2"] = ("SCORE_LIMIT_REACHED", "too many models")
    assert (await world.score()).status_code == 200
    await world.made.service.close()
    metrics = (await world.get("/metrics")).text
    assert 'xinqiao_score_shadows_failed_total{code="SCORE_LIMIT_REACHED",model="loans 2"} 1.0' in metrics


async def test_a_challengers_columns_may_be_given_and_without_them_it_is_left_out(world: World) -> None:
    world.agent.models[1] = msgspec.structs.replace(
        OTHER, own_columns=(OwnColumn(name="years", kind="number"), OwnColumn(name="sector", kind="text"))
    )
    await world.made.roles.appoint("challenger", "m-2", share=1.0, user="li", reason="trial")
    assert (await world.score()).status_code == 200
    await world.made.service.close()
    assert len(world.agent.asked) == 1
    body = question(features={"years": 1, "branch": "Xiamen", "sector": "C"})
    assert (await world.post("/v1/score", body)).status_code == 200
    await world.made.service.close()
    assert world.agent.asked[2].subjects[0].own_json == b'{"years":1.0,"sector":"C"}'


async def test_prometheus_reads_calls_scores_and_drift(world: World) -> None:
    await world.made.records.set_population("m-1", population("t.csv", RANDOM.beta(2, 20, 5000), {}), "li")
    await many(world, RANDOM.beta(4, 12, 400))
    await world.score()
    await world.score("123")
    answer = await world.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (each.name, *(each.labels[name] for name in sorted(each.labels))): each.value
        for family in text_string_to_metric_families(answer.text)
        for each in family.samples
    }
    assert samples["xinqiao_score_calls_total", "http", "/v1/score", "200"] == 1
    assert samples["xinqiao_score_calls_total", "http", "/v1/score", "422"] == 1
    assert samples["xinqiao_score_subjects_total", "loans 1", "scored", "champion"] == 1
    assert samples["xinqiao_score_drift_level", "score", "loans 1"] == 4
    assert samples["xinqiao_score_stability_index", "score", "loans 1"] > 0.25
    assert USCC not in answer.text


async def test_the_page_asks_a_browser_for_the_key_and_loads_its_own_files_only(world: World) -> None:
    asked = await world.client.get("/monitor")
    assert asked.status_code == 401
    assert "Basic" in asked.headers["www-authenticate"]
    await many(world, RANDOM.beta(2, 20, 50))
    password = base64.b64encode(f"anybody:{await world.key()}".encode()).decode()
    answer = await world.client.get("/monitor?days=7", headers={"Authorization": f"Basic {password}"})
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    loaded = re.findall(r'(?:src|href)="(static/[^"]+)"', answer.text)
    assert sorted(loaded) == [
        "static/monitor.css",
        "static/monitor.js",
        "static/page.js",
        "static/plotly.js",
        "static/style.css",
    ]
    for name in loaded:
        file = await world.client.get(f"/{name}")
        assert (file.status_code, file.headers["x-content-type-options"]) == (200, "nosniff")
    for script in re.findall(r"<script([^>]*)>", answer.text):
        assert "src=" in script or "application/json" in script
    assert "://" not in answer.text


async def test_the_page_speaks_the_browsers_language_or_the_chosen_one(world: World) -> None:
    chinese = await world.get("/monitor", **{"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert "在用模型监控" in chinese.text
    assert "Models in service" in (await world.get("/monitor")).text
    assert "Models in service" in (await world.get("/monitor?language=en", **{"Accept-Language": "zh"})).text
    assert (await world.get("/monitor?language=fr")).status_code == 422
    assert (await world.get("/monitor?days=0")).status_code == 422


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("whole", [True, False])
async def test_names_from_outside_are_texts_on_the_page(world: World, language: str, whole: bool) -> None:
    model = ServedModel(
        model_id="m-1", name=HOSTILE, version=1, kind="linear", state="retired", why=HOSTILE, own_columns=()
    )
    made_on = population(HOSTILE, RANDOM.beta(2, 20, 500), {HOSTILE: RANDOM.random(500)})
    await world.made.records.set_population("m-1", made_on, "li")
    found = await world.made.records.population("m-1")
    assert isinstance(found, SetPopulation)
    rows: list[dict[str, Any]] = [{HOSTILE: 3.0}] * 200
    await world.store.write(lambda c: world.made.records.count_columns(c, "m-1", found, rows))
    await kept(world, *(scored(at, 0.3, band=HOSTILE) for at in range(200)), scored(999, None, refused=HOSTILE))
    await world.made.records.report([Outcome(score_id="s1", defaulted=True, observed="2026-12-31")], "k")
    page = monitor_page(await report(world, models=(model,)), language, whole=whole)
    parser = _Tags()
    parser.feed(page)
    assert HOSTILE not in page
    assert parser.links == ([] if whole else parser.links)
    assert not any("x.example" in each for each in parser.links)
    assert parser.scripts == 4
    data = page.partition('id="plots">')[2].partition("</script>")[0]
    assert "\\u003c" in data
    assert "<" not in data


async def test_every_text_of_the_page_stands_in_both_languages() -> None:
    for name, (english, chinese) in _TEXTS.items():
        assert english, name
        assert chinese, name
        assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", chinese)), name


async def test_the_document_is_the_same_for_programs(world: World) -> None:
    await many(world, RANDOM.beta(2, 20, 50))
    answer = await world.get("/v1/monitor?days=30")
    told = msgspec.json.decode(answer.content, type=MonitorReport)
    assert to_json(msgspec.structs.replace(await report(world), made_ms=told.made_ms)) == answer.content


async def test_the_apis_page_describes_every_address_with_no_script_at_all(world: World) -> None:
    answer = await world.client.get("/docs")
    assert answer.status_code == 200
    assert "script" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    document = (await world.client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/v1/score",
        "/v1/models",
        "/v1/outcomes",
        "/v1/monitor",
        "/v1/health",
        "/monitor",
        "/metrics",
    }
    for path in document["paths"]:
        assert path in answer.text
    for told in ("ScoreIn", "Idempotency-Key", "MODEL_RETIRED", "application_no"):
        assert told in answer.text
    targets = set(re.findall(r'href="#([^"]+)"', answer.text))
    assert targets <= set(re.findall(r'id="([^"]+)"', answer.text))
    loaded = re.findall(r'<link rel="stylesheet" href="(static/[^"]+)"', answer.text)
    assert [(await world.client.get(f"/{name}")).status_code for name in loaded] == [200, 200]
    assert re.findall(r"https?://[^ <]*", answer.text) == ["https://HOST/v1/score"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.links += [value or "" for name, value in attrs if name == "href" and tag == "a"]
