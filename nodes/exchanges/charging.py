"""What a batch use (a transfer, a training) spends and records, in one transaction with the rest of its plan."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping

from consent.columns import ConsentColumns
from consent.decision import Terms, UseCounts, refuse_by_counts, window_of
from consent.usage import BatchCommitment, ExchangeRequest, Receipt
from nodes.errors import UseRefused
from nodes.policy import counts_reader


def limited_terms(book: ConsentColumns, record_ids: Iterable[str]) -> dict[str, Terms]:
    """Those of these consents whose uses are limited."""
    views = ((record_id, book.view(record_id)) for record_id in record_ids)
    return {
        record_id: view.terms
        for record_id, view in views
        if view is not None and (view.terms.limit is not None or view.terms.frequency is not None)
    }


def charge(connection: sqlite3.Connection, spends: Iterable[str], limited: Mapping[str, Terms], now_ms: int) -> None:
    """Charge one use to each consent. Raises UseRefused if one was spent since the selection: the plan is made again then."""
    counts = counts_reader(connection)
    windows: list[tuple[str, int]] = []
    for record_id, each in limited.items():
        window = window_of(each, now_ms)
        spent = refuse_by_counts(each, counts(record_id, window))
        if spent is not None:
            raise UseRefused(
                "A use was spent by another request at this moment. Start the transfer again.", reason=spent.value
            )
        if window is not None:
            windows.append((record_id, window))
    connection.executemany(
        "INSERT INTO uses (record_id, total) VALUES (?, 1) ON CONFLICT (record_id) DO UPDATE SET total = total + 1",
        [(record_id,) for record_id in spends],
    )
    connection.executemany(
        "INSERT INTO use_windows (record_id, window_start_ms, used) VALUES (?, ?, 1)"
        " ON CONFLICT (record_id, window_start_ms) DO UPDATE SET used = used + 1",
        windows,
    )


def all_counts(connection: sqlite3.Connection) -> Callable[[str, int | None], UseCounts]:
    """Every count at once, for a selection over all subjects."""
    totals: dict[str, int] = dict(connection.execute("SELECT record_id, total FROM uses"))
    windows: dict[tuple[str, int], int] = {
        (record_id, start): used for record_id, start, used in connection.execute("SELECT * FROM use_windows")
    }

    def counts(record_id: str, window_start: int | None) -> UseCounts:
        in_window = windows.get((record_id, window_start), 0) if window_start is not None else 0
        return UseCounts(total=totals.get(record_id, 0), in_window=in_window)

    return counts


def batch_receipt(
    request: ExchangeRequest,
    *,
    side: str,
    receipt_id: str,
    node_id: str,
    time_ms: int,
    record_count: int,
    commitment: BatchCommitment,
    decision: str,
    request_no: int = 0,
    digest: str = "",
    legal_basis: str | None = None,
) -> Receipt:
    """The receipt of a whole batch, for either side. `digest`: of what was made, the commitment's root if nothing else."""
    return Receipt(
        receipt_id=receipt_id,
        side=side,  # type: ignore[arg-type]
        exchange_id=request.exchange_id,
        request_no=request_no,
        user=request.user,
        institution=request.requester,
        node_id=node_id,
        time_ms=time_ms,
        reason=request.reason,
        items=tuple(item.item_id for item in request.items),
        fields=tuple(f"{item.item_id}.{name}" for item in request.items for name in item.fields),
        subject="",
        purpose=request.purpose,
        legal_basis=legal_basis,
        mode=request.mode,
        record_count=record_count,
        digest=digest or commitment.root,
        decision=decision,
        batch=commitment,
    )
