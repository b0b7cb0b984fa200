"""Consents in columns, for a million of them and more: what decisions read. `consent.book` adds to them.

For one thread, the one that changes them; another decides from a `snapshot`. That takes some milliseconds a million, for what only
grows (identifiers, subjects, terms, the rows of each subject) is shared, and what lies behind the snapshot's end is not looked at; what
changes in place is copied. Lists and dicts may be read while another thread adds to them, but not `array`: whoever reads one by its
buffer, as numpy does, makes that `append` fail meanwhile.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

from consent.decision import ConsentView, Terms

NEVER: Final = -1


class ConsentColumns:
    """A row for each consent, in the order in which they came."""

    def __init__(self) -> None:
        self.terms: list[Terms] = []
        self.record_ids: list[str] = []
        self.subjects: list[str] = []
        self.terms_column = array("i")
        self.valid_from = array("q")
        self.valid_to = array("q")
        self.revoked = array("q")
        self.subject_count = 0
        """The number of subjects that have any consent here."""
        self._row_of: dict[str, int] = {}
        self._rows_of_subject: dict[str, int | list[int]] = {}
        self._several: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.revoked)

    def snapshot(self) -> ConsentColumns:
        """The consents as they are now, for any thread; these here may go on."""
        taken = ConsentColumns()
        taken.terms, taken.record_ids, taken.subjects = self.terms, self.record_ids, self.subjects
        taken._row_of, taken._rows_of_subject, taken._several = self._row_of, self._rows_of_subject, self._several
        taken.terms_column, taken.revoked = self.terms_column[:], self.revoked[:]
        taken.valid_from, taken.valid_to = self.valid_from[:], self.valid_to[:]
        taken.subject_count = self.subject_count
        return taken

    def rows_of(self, uscc: str) -> list[int]:
        """Row numbers of a subject's consents."""
        rows = self._rows_of_subject.get(uscc, [])
        return self._own([rows] if isinstance(rows, int) else rows)

    def subjects_with_several(self) -> list[list[int]]:
        """The row numbers of each subject that has more than one consent."""
        return [rows for rows in map(self._own, self._several) if len(rows) > 1]

    def view_row(self, row: int) -> ConsentView:
        """A row as the decision needs it."""
        revoked = self.revoked[row]
        return ConsentView(
            record_id=self.record_ids[row],
            uscc=self.subjects[row],
            terms=self.terms[self.terms_column[row]],
            valid_from_ms=self.valid_from[row],
            valid_to_ms=self.valid_to[row],
            revoked_ms=None if revoked == NEVER else revoked,
        )

    def consents_of(self, uscc: str) -> list[ConsentView]:
        """All consents of a subject, in force or not."""
        return [self.view_row(row) for row in self.rows_of(uscc)]

    def row_of(self, record_id: str) -> int | None:
        """Row number of one consent."""
        row = self._row_of.get(record_id)
        return row if row is not None and row < len(self) else None

    def view(self, record_id: str) -> ConsentView | None:
        """One consent."""
        row = self.row_of(record_id)
        return self.view_row(row) if row is not None else None

    def stands(self, record_id: str, at_ms: int) -> bool:
        """Whether this consent is here, not withdrawn, and not over."""
        row = self.row_of(record_id)
        return row is not None and self.revoked[row] == NEVER and at_ms < self.valid_to[row]

    def _own(self, rows: list[int]) -> list[int]:
        """Those before the end; they ascend. A copy, for another thread may add to them."""
        return rows[: bisect_left(rows, len(self))]
