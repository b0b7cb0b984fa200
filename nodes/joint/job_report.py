"""The report of a finished job: from the run to the two files in the user's folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from modeling.jobs.leaks import statement
from modeling.report.build import Told, build_report
from modeling.report.document import Party, to_json
from modeling.report.page import page
from nodes.durable import write_bytes
from nodes.joint.job_file import JobFile
from nodes.joint.job_run import Made
from nodes.joint.job_told import PAGE_FILE, REPORT_FILE
from nodes.joint.own_table import read_own_table


def write_report(job: JobFile, made: Made, folder: Path, directory: Path, member: str) -> bytes:
    """Write report.json and report.html to `directory`; the first one's bytes. `folder`: where the bank's own table lies."""
    table, present = read_own_table(folder / "table.arrow")
    providers = tuple(partner.member for partner in made.partners)
    told = Told(
        job=made.model.job,
        name=job.name,
        reason=job.reason,
        purpose=job.purpose.value,
        settings=msgspec.to_builtins(job.settings()),
        made_ms=made.model.made_ms,
        commitment=made.model.commitment,
        parties=(
            Party(name=member, role="active", columns=0),
            *(Party(name=part.member, role="passive", product=part.product, columns=0) for part in job.providers),
        ),
        refused={partner.member: partner.refused for partner in made.partners},
        attempts=made.attempts,
        leaks=statement(
            job.algorithm,
            member,
            providers,
            rows_scored=len(made.rows.order) - made.result.training,
            selection=job.selection,
        ),
        scale=job.scorecard,
    )
    report = build_report(made.result, table, present, told, np.random.default_rng(0))
    data = to_json(report)
    write_bytes(directory / REPORT_FILE, data)
    write_bytes(directory / PAGE_FILE, page(report, job.language).encode())
    return data
