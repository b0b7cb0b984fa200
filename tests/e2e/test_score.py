"""Encrypted scores through the running hub: what they are worth, who may ask for them, what a fault leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.demo.cohort import BANK, GOVERNMENT, PLATFORM
from cli.demo.network import DemoFailed, command, wait_until
from cli.demo.scores import served_model
from cli.enterprise_home import create_home
from modeling.scoring.model import canonical
from nodes.errors import NodeError
from tests.e2e.scoring_network import Scoring, limits_of, scores_of, scoring_network
from tests.nodes.service.process import ask, served

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scoring]:
    with scoring_network(tmp_path_factory.mktemp("score") / "net", "[scoring]\nserved_scores = 7\n") as opened:
        yield opened


@pytest.fixture(scope="module")
def both(scoring: Scoring) -> str:
    """A model over both providers' columns, in service."""
    return scoring.register(scoring.model("both", GOVERNMENT, PLATFORM))


def test_scores_are_those_of_plain_data_and_an_enterprise_finds_the_model_in_its_audit(
    scoring: Scoring, both: str
) -> None:
    codes = scoring.codes[:5]
    plain = scoring.plain(scoring.model("both", GOVERNMENT, PLATFORM), codes)
    several = scoring.score(both, codes)
    (one,) = scoring.score(both, codes[:1])
    assert [each.refused for each in several] == [""] * 5
    np.testing.assert_allclose([each.score for each in several], plain, atol=several[0].error_bound)
    assert 0 < several[0].error_bound <= 1e-4
    assert one.score == pytest.approx(several[0].score, abs=2 * one.error_bound)
    assert one.points == round(one.points)
    assert one.band in {"low", "middle", "high"}
    assert one.probability == pytest.approx(1 / (1 + np.exp(-one.score)))
    assert len(one.receipt_ids) == 2
    uses = audited(scoring, 0, both)
    assert {use["side"] for use in uses} == {"provider", "requester"}
    assert {use["purpose"] for use in uses} == {"scoring"}
    assert {use["in_batch"] for use in uses} == {True, False}


def audited(scoring: Scoring, place: int, model_id: str) -> list[dict[str, Any]]:
    """The uses of an enterprise that name the model, once its providers' and the bank's records are in the log."""
    enterprise = scoring.enterprises[place]
    home = scoring.folder / f"home-{place}"
    create_home(home, scoring.network.hub_file, enterprise.uscc, enterprise.name, enterprise.key)
    commitment = scoring.commitment(model_id)
    found: list[dict[str, Any]] = []

    def shown() -> bool:
        nonlocal found
        uses = command("audit", "mine", "--home", str(home))["uses"]
        found = [use for use in uses if use["model"] == commitment]
        return {use["side"] for use in found} == {"provider", "requester"} and len(found) >= 6

    wait_until("the audit shows the scores", shown, 60)
    return found


def test_a_request_key_counts_once(scoring: Scoring, both: str) -> None:
    def spent() -> int:
        return int(limits_of(scoring.network, "tax-1")["requesters"][0]["today"])

    code = scoring.codes[6:7]
    (first,) = scoring.score(both, code, key="application-1")
    before = spent()
    (again,) = scoring.score(both, code, key="application-1")
    assert (again.score, again.receipt_ids) == (first.score, first.receipt_ids)
    assert spent() == before
    with pytest.raises(NodeError, match="another question"):
        scoring.score(both, scoring.codes[7:8], key="application-1")


def test_scorings_under_one_application_number_at_the_same_time_do_not_collide(
    scoring: Scoring, both: str, tmp_path: Path
) -> None:
    """Questions on line share an exchange, a batch has its own; each gets the scores of its own enterprises."""
    codes = scoring.codes[12:18]
    plain = scoring.plain(scoring.model("both", GOVERNMENT, PLATFORM), codes)
    batches = [
        scoring.start_run(both, part, tmp_path / name, "--application-no", "2026-7")
        for name, part in (("a", codes[:3]), ("b", codes[3:]))
    ]
    with ThreadPoolExecutor(6) as pool:
        several = list(pool.map(lambda code: scoring.score(both, [code], application_no="2026-7")[0], codes))
    np.testing.assert_allclose([each.score for each in several], plain, atol=1e-4)
    assert len({receipt for each in several for receipt in each.receipt_ids}) == 12
    for running, out, part in zip(batches, ("a", "b"), (codes[:3], codes[3:]), strict=True):
        said, _ = running.communicate(timeout=150)
        assert running.returncode == 0, said.decode()
        rows = scores_of(tmp_path / out)
        wanted = plain[[codes.index(code) for code in part]]
        np.testing.assert_allclose([float(rows[code]["score"]) for code in part], wanted, atol=1e-4)


def test_the_command_scores_one_and_shows_what_was_spent(scoring: Scoring, both: str) -> None:
    code = scoring.codes[17]
    own = json.dumps({name: values[0] for name, values in scoring.own([code]).items()})
    arguments = ("--home", str(scoring.network.node_home("bank-1")), "--model", both, "--uscc", code)
    one = command("score", "one", *arguments, "--own", own, "--reason", "e2e")
    (plain,) = scoring.plain(scoring.model("both", GOVERNMENT, PLATFORM), [code])
    assert one["score"] == pytest.approx(plain, abs=one["error_bound"])
    told = command("score", "limits", "--home", str(scoring.network.node_home("tax-1")))
    assert told["limits"]["maximum_leverage"] == 0.75
    assert scoring.commitment(both) in {each["model"] for each in told["requesters"][0]["models"]}
    stranger = next(each for each in scoring.loans.codes if each not in scoring.codes)
    with pytest.raises(DemoFailed, match="NO_CONSENT"):
        command("score", "one", *arguments[:-1], stranger, "--own", own, "--reason", "e2e")


def test_an_auditor_makes_the_weights_again_that_were_sent_in_every_session(
    scoring: Scoring, both: str, tmp_path: Path
) -> None:
    assert scoring.score(both, scoring.codes[18:19])[0].refused == ""
    files = [str(tmp_path / f"{node}.json") for node in ("bank-1", "tax-1", "pay-1")]
    for node, file in zip(("bank-1", "tax-1", "pay-1"), files, strict=True):
        opened = command("model", "open", both, "--home", str(scoring.network.node_home(node)), "--out", file)
        assert opened["sessions"] >= 1, node
    (audited,) = command("audit", "model", *files)["models"]
    assert audited["sessions"] >= 2


def test_own_columns_that_are_missing_or_unknown_are_named(scoring: Scoring, both: str) -> None:
    from xinqiao.v1 import agent_pb2

    for own, named in (({"annual_inc": 1.0}, "funded_amnt"), ({"annual_inc": 1, "funded_amnt": 1, "x": 2}, "x")):
        subject = agent_pb2.ScoreSubject(uscc=scoring.codes[8], own_json=json.dumps(own).encode())
        request = agent_pb2.ScoreRequest(model_id=both, subjects=[subject], reason="e2e", user="e2e")
        with scoring.network.agent("bank-1") as bank, pytest.raises(NodeError, match=named) as refused:
            bank.call("Score", request)
        assert refused.value.code == "MODEL_INVALID"


def test_a_model_is_scored_with_only_while_every_provider_approves(scoring: Scoring) -> None:
    model_id = scoring.register(scoring.model("short-lived", GOVERNMENT), serve=False)
    code = scoring.codes[9:10]
    with pytest.raises(NodeError) as early:
        scoring.score(model_id, code)
    assert early.value.code == "MODEL_NOT_APPROVED"
    scoring.step("bank-1", model_id, "in_service")
    assert scoring.score(model_id, code)[0].refused == ""
    scoring.step("tax-1", model_id, "withdrawn")
    with pytest.raises(NodeError) as late:
        scoring.score(model_id, code)
    assert late.value.code == "MODEL_RETIRED"


def test_data_comes_to_another_members_model(scoring: Scoring, tmp_path: Path) -> None:
    """The platform's model: two columns that the bank sends encrypted, and the platform's own."""
    pay = ("--home", str(scoring.network.node_home("pay-1")))
    platform = scoring.model("served", PLATFORM)
    file = tmp_path / "served.json"
    file.write_bytes(canonical(served_model("served", scoring.loans.files, PLATFORM)))
    registered = command("model", "register", *pay, "--name", "served", "--model", str(file), "--asker", BANK)
    model_id = str(registered["model_id"])
    assert registered["state"] == "approved"
    scoring.step("bank-1", model_id, "approved")
    scoring.step("pay-1", model_id, "in_service")
    codes = scoring.codes[12:16]
    found = scoring.score(model_id, codes)
    assert [each.refused for each in found] == [""] * 4, found[0].detail
    plain = scoring.plain(platform, codes)  # the same weights, whoever sends what
    np.testing.assert_allclose([each.score for each in found], plain, atol=found[0].error_bound)
    assert 0 < found[0].error_bound <= 1e-4
    assert (len(found[0].receipt_ids), found[0].reasons) == (1, [])
    scoring.registry.revoke(scoring.enterprises[15], PLATFORM, scoring.consents[15][PLATFORM])
    batch = scoring.run(model_id, codes, tmp_path / "asked")
    assert (batch["scored"], batch["refused"]) == (3, {"CONSENT_REVOKED": 1})
    rows = scores_of(tmp_path / "asked")
    np.testing.assert_allclose([float(rows[code]["score"]) for code in codes[:3]], plain[:3], atol=batch["error_bound"])
    (refused,) = scoring.score(model_id, codes[:1])  # seven were given
    assert (refused.refused, "served_scores" in refused.detail) == ("SCORE_LIMIT_REACHED", True)
    lists = ("--list", str(tmp_path / "asked.txt"), "--own", str(tmp_path / "asked-own.csv"))
    bank_home = str(scoring.network.node_home("bank-1"))
    told = command("score", "plan", "--home", bank_home, "--model", model_id, *lists)
    assert (told["mode"], told["permitted"], told["error_bound"]) == ("data_to_model", 3, batch["error_bound"])
    assert "the model itself" in told["leaks"][0]["what"]
    scoring.step("bank-1", model_id, "withdrawn")
    with pytest.raises(NodeError) as refused:
        scoring.score(model_id, codes)
    assert refused.value.code == "MODEL_NOT_APPROVED"


def test_limits_refuse_by_name(scoring: Scoring, both: str) -> None:
    code = scoring.codes[10:11]
    models = [both] + [scoring.register(scoring.model(f"more-{n}", GOVERNMENT, PLATFORM)) for n in range(3)]
    found = [scoring.score(each, code)[0] for each in models]
    assert [each.refused for each in found] == ["", "", "", "SCORE_LIMIT_REACHED"]
    assert "models_per_subject" in found[-1].detail
    assert [each["models"] for each in limits_of(scoring.network, "pay-1")["requesters"]]
    thin = scoring.model("thin", GOVERNMENT)
    few = [each for each in thin.features if not each.input.member or each.input.name.endswith("inq_fi")]
    thin_id = scoring.register(scoring.with_features(thin, few))
    with pytest.raises(NodeError, match=r"minimum_nonzero|maximum_leverage") as refused:
        scoring.score(thin_id, scoring.codes[11:12])
    assert refused.value.code == "SCORE_LIMIT_REACHED"


def test_a_consent_that_is_revoked_between_two_batches_leaves_its_row_out(
    scoring: Scoring, both: str, tmp_path: Path
) -> None:
    codes = scoring.codes[20:40]
    first = scoring.run(both, codes, tmp_path / "first")
    assert (first["scored"], first["refused"]) == (20, {})
    plain = scoring.plain(scoring.model("both", GOVERNMENT, PLATFORM), codes)
    rows = scores_of(tmp_path / "first")
    np.testing.assert_allclose([float(rows[code]["score"]) for code in codes], plain, atol=first["error_bound"])
    scoring.registry.revoke(scoring.enterprises[25], PLATFORM, scoring.consents[25][PLATFORM])
    second = scoring.run(both, codes, tmp_path / "second")
    assert (second["scored"], second["refused"]) == (19, {"CONSENT_REVOKED": 1})
    left = scores_of(tmp_path / "second")[scoring.codes[25]]
    assert (left["score"], left["refused"]) == ("", "CONSENT_REVOKED")
    assert PLATFORM in left["detail"]


def test_a_provider_that_dies_is_asked_again(scoring: Scoring, both: str, tmp_path: Path) -> None:
    code = scoring.codes[41:42]
    assert scoring.score(both, code)[0].refused == ""
    scoring.network.processes["pay-1"].kill()
    running = scoring.start_run(both, scoring.codes[42:50], tmp_path / "out")
    time.sleep(1.0)
    scoring.network.start("pay-1")
    said, _ = running.communicate(timeout=150)
    assert running.returncode == 0, said.decode()
    assert json.loads(said)["scored"] == 8
    found = scoring.score(both, code)[0]
    assert found.refused == "", found.detail


def test_a_batch_goes_on_where_its_bank_was_killed(scoring: Scoring, both: str, tmp_path: Path) -> None:
    """9,000 enterprises are two blocks; only some of the last have consented."""
    strangers = [code for code in scoring.loans.codes if code not in set(scoring.codes)][:8990]
    codes = [*strangers, *scoring.codes[50:60]]
    running = scoring.start_run(both, codes, tmp_path / "out")
    blocks = scoring.network.node_home("bank-1") / "scores"
    wait_until("a block is done", lambda: any(blocks.glob("*/block-*.arrow")), 60)
    scoring.network.processes["bank-1"].kill()
    running.communicate(timeout=60)
    scoring.network.start("bank-1")
    if not (tmp_path / "out" / "report.json").exists():
        report = scoring.run(both, codes, tmp_path / "out")
        assert report["blocks_kept"] >= 1
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert (report["subjects"], report["scored"], report["refused"]) == (9000, 10, {"NO_CONSENT": 8990})
    assert not any(blocks.iterdir())


def test_the_banks_programs_score_over_http_until_a_provider_withdraws(scoring: Scoring, both: str) -> None:
    """The last: no model is left after it."""
    model = scoring.model("both", GOVERNMENT, PLATFORM)
    home, codes = scoring.network.node_home("bank-1"), scoring.codes[20:22]
    command("score", "champion", "both", "--home", str(home), "--reason", "e2e")
    key = command("score", "key", "create", "e2e", "--home", str(home))["key"]
    own = scoring.own(codes)
    subjects = [
        {"uscc": code, "features": {name: each[at] for name, each in own.items()}} for at, code in enumerate(codes)
    ]
    with served(home) as told:
        status, answer = ask(told["http"], key, {"subjects": subjects, "reason": "e2e", "user": "e2e"})
        assert status == 200, answer
        np.testing.assert_allclose(
            [each["score"] for each in answer["results"]], scoring.plain(model, codes), atol=1e-4
        )
        scoring.step("tax-1", both, "withdrawn")
        status, refused = ask(told["http"], key, {"subjects": subjects, "reason": "e2e", "user": "e2e"})
        assert (status, refused["code"]) == (409, "MODEL_RETIRED")
        assert "tax-bureau withdrew" in refused["detail"]
