"""What the pages of credit share: words, choices, figures of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portal.applications import shown
from portal.applications.words import tone
from portal.credit import words
from portal.credit.keeping import figures
from portal.credit.line import overdue_days
from portal.text import Name, Text


def context() -> dict[str, Any]:
    """Words and functions that every template of this subject may use."""
    return shown.context() | {
        "credit_states": words.STATES,
        "classes": words.CLASSES,
        "pendings": words.PENDING,
        "kinds_of_entry": words.ENTRIES,
        "yes_no": words.YES_NO,
        "line_of": figures,
        "tone": tone,
        "overdue_days": overdue_days,
    }


def choices() -> Mapping[str, Sequence[tuple[str, Text | Name]]]:
    """What the selects of filters and forms offer, by the field's name."""
    yes_no = [shown.ANY, *words.YES_NO.items()]
    return {
        **shown.choices(),
        "state": [shown.ANY, *words.STATES.items()],
        "pending": [shown.ANY, *words.PENDING.items()],
        "first_loan": yes_no,
        "credit_loan": yes_no,
        "class5": list(words.CLASSES.items()),
    }
