"""The blocks of a batch and the result that is made of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pyarrow.parquet as pq

from consent.models import ModelVersion
from nodes.scoring.batch_files import BatchFacts, write_result
from nodes.scoring.batch_store import Asked, BatchStore, block_file, read_block, write_block
from nodes.scoring.scorer import Scored
from nodes.store import Store
from tests.nodes.exchanges.parties import Parties

A, B, C = "91110000600037341L", "91310115MA1H9GYW5F", "91440300708461136T"


def scored(uscc: str, score: float | None, refused: str = "") -> Scored:
    return Scored(uscc=uscc, model_id="m", score=score, band="B", reasons=("R1", "R2"), refused=refused)


def test_a_result_has_the_order_of_the_list_and_counts_who_was_refused(tmp_path: Path) -> None:
    folder, out = tmp_path / "blocks", tmp_path / "out"
    write_block(folder, 0, [scored(A, 1.5), scored(B, None, "NO_CONSENT")])
    write_block(folder, 1, [scored(C, -2.25)])
    version = cast(ModelVersion, SimpleNamespace(model_id="m", name="n", version=3, providers=("p",)))
    facts = BatchFacts(batch_id="b", error=1e-6, kept=1, seconds=2.0, traffic=7)
    report = write_result(folder, [C, A, B], 2, out, version, facts)
    with (out / "scores.csv").open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [(row["uscc"], row["score"], row["refused"]) for row in rows] == [
        (C, "-2.25", ""),
        (A, "1.5", ""),
        (B, "", "NO_CONSENT"),
    ]
    assert pq.read_table(out / "scores.parquet").column("score").to_pylist() == [-2.25, 1.5, None]
    assert (report.subjects, report.scored, report.refused, report.blocks_kept) == (3, 2, {"NO_CONSENT": 1}, 1)
    assert json.loads((out / "report.json").read_bytes())["error_bound"] == 1e-6


def test_a_block_is_on_disk_whole_or_not_at_all(tmp_path: Path) -> None:
    write_block(tmp_path, 3, [scored(A, 0.5)])
    assert read_block(tmp_path, 3).column("reasons").to_pylist() == ["R1 R2"]
    assert [each.name for each in tmp_path.iterdir()] == [block_file(tmp_path, 3).name]


async def test_a_batch_that_was_broken_off_is_found_by_its_folder(parties: Parties) -> None:
    store: Store = parties.bank_store
    batches = BatchStore(store)
    asked = Asked(model_id="m", source_sm3="0" * 64, subjects=3, reason="r", user="u", application_no=None)
    await batches.add("b1", "/out", asked, 1)
    await batches.opened("b1", {"p": ("exchange", b"\0request")})
    found = await batches.running("/out")
    assert found is not None
    assert (found.batch_id, found.asked, dict(found.exchanges)) == ("b1", asked, {"p": ("exchange", b"\0request")})
    await batches.finish("b1", 2)
    assert await batches.running("/out") is None
    await batches.add("b2", "/out", asked, 3)
    await batches.fail("b2", "why", 4)
    assert await batches.running("/out") is None
