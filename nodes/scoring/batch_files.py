"""The files of a batch: the list and own columns that it reads, and the result that it leaves."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from consent.models import ModelVersion
from nodes.durable import write_bytes
from nodes.errors import NodeError
from nodes.scoring.batch_store import read_block
from nodes.scoring.own import SUBJECT, read_own_file
from nodes.scoring.recipe import Recipe
from trust.suite import Sm3

CSV_FILE: Final = "scores.csv"
PARQUET_FILE: Final = "scores.parquet"
REPORT_FILE: Final = "report.json"


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a batch. `refused`: by reason. `bytes`: of ciphertexts and rows, both ways, since it was begun or gone on with."""

    batch_id: str
    model_id: str
    model: str
    version: int
    providers: tuple[str, ...]
    subjects: int
    scored: int
    refused: dict[str, int]
    error_bound: float
    blocks: int
    blocks_kept: int
    seconds: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """What is asked. Paths are absolute; `directory`: new, or of one that was broken off."""

    model_id: str
    file: Path
    own_file: Path | None
    directory: Path
    reason: str
    user: str
    application_no: str | None = None


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """What a report tells of how a batch went. `kept`: blocks that were done before; `traffic`: bytes."""

    batch_id: str
    error: float
    kept: int
    seconds: float
    traffic: int


def read_batch(request: BatchRequest, recipe: Recipe) -> tuple[list[str], pa.Table, str]:
    """The list, the own columns, and the digest of both files. Raises NodeError."""
    subjects = read_subjects(request.file)
    own = read_own_file(recipe.own, request.own_file)
    digest = Sm3("\n".join(subjects).encode())
    if request.own_file is not None:
        digest.update(request.own_file.read_bytes())
    return subjects, own, digest.digest().hex()


def read_subjects(file: Path) -> list[str]:
    """Codes in the order of a list, each once. Raises NodeError INVALID_ARGUMENT."""
    try:
        if file.suffix.lower() == ".parquet":
            found = pq.read_table(file, columns=[SUBJECT]).column(SUBJECT).to_pylist()
        else:
            with file.open(encoding="utf-8-sig", newline="") as text:
                if file.suffix.lower() == ".csv":
                    found = [row.get(SUBJECT) for row in csv.DictReader(text)]
                else:
                    found = [line.strip() for line in text if line.strip()]
    except (OSError, UnicodeDecodeError, pa.ArrowException, csv.Error) as error:
        raise NodeError(f"{file} cannot be read ({type(error).__name__}).", code="INVALID_ARGUMENT") from error
    if not found or not all(isinstance(each, str) and each for each in found):
        raise NodeError(
            f"{file} names no enterprises: it is a text with a code a line, or has a column {SUBJECT} with one in each row.",
            code="INVALID_ARGUMENT",
        )
    return list(dict.fromkeys(found))


def write_result(
    folder: Path, listed: Sequence[str], blocks: int, directory: Path, version: ModelVersion, facts: BatchFacts
) -> BatchReport:
    """Put the blocks together in the order of the list and write the report, last: a folder with a report is complete."""
    table = pa.concat_tables([read_block(folder, block) for block in range(blocks)])
    table = table.take(pc.index_in(pa.array(listed, pa.string()), value_set=table.column(SUBJECT).combine_chunks()))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pyarrow.csv.write_csv(table, directory / CSV_FILE)
    pq.write_table(table, directory / PARQUET_FILE)
    refused = Counter(each for each in table.column("refused").to_pylist() if each)
    report = BatchReport(
        batch_id=facts.batch_id,
        model_id=version.model_id,
        model=version.name,
        version=version.version,
        providers=version.providers,
        subjects=len(table),
        scored=len(table) - refused.total(),
        refused=dict(refused.most_common()),
        error_bound=facts.error,
        blocks=blocks,
        blocks_kept=facts.kept,
        seconds=round(facts.seconds, 3),
        bytes=facts.traffic,
    )
    write_bytes(directory / REPORT_FILE, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    return report
