"""My data to print: consents, models and uses as a PDF. Chinese is set in a font that every reader of PDF has; none is carried along.

A print proves nothing by itself; it says which signed file does.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, Final

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, TableStyle

from portal.consents.lineage import Involvement
from portal.consents.service import Use
from portal.consents.words import MODES, PURPOSES, STATES, USES
from portal.hub_link import Standing, Verified
from portal.text import Text
from portal.web.i18n import moment, translate

FONT: Final = "STSong-Light"  # Adobe's, for simplified Chinese
_MARGIN: Final = 18 * mm
_BODY: Final = ParagraphStyle("body", fontName=FONT, fontSize=9, leading=13, wordWrap="CJK")
_CELL: Final = ParagraphStyle("cell", parent=_BODY, fontSize=7.5, leading=10.5)
_TITLE: Final = ParagraphStyle("title", parent=_BODY, fontSize=18, leading=26, spaceAfter=6)
_HEAD: Final = ParagraphStyle("head", parent=_BODY, fontSize=12, leading=18, spaceBefore=12, spaceAfter=4)
_LINES: Final = TableStyle(
    [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.HexColor("#d9e2ec")),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#f2f5f8")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is printed. `items` and `members`: names by id, in the reader's language."""

    uscc: str
    made_ms: int
    consents: Sequence[Standing]
    uses: Sequence[Use]
    lineage: Sequence[Involvement]
    verified: Verified
    items: Mapping[str, str]
    members: Mapping[str, str]


def render(told: Told, language: str) -> bytes:
    """The PDF in one language."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    words = _Words(told, language)
    say, when = words.say, words.when
    parts: list[Any] = [
        Paragraph(escape(say(Text("My data"))), _TITLE),
        Paragraph(escape(f"{told.uscc} · {when(told.made_ms)}"), _BODY),
        Paragraph(
            escape(
                say(
                    Text(
                        "Every record of use was verified when this was made, in a log of {size} entries that the hub signed {time}. "
                        "This print proves nothing by itself; the signed file from the same page does, without any server.",
                        size=told.verified.size,
                        time=when(told.verified.time_ms),
                    )
                )
            ),
            _BODY,
        ),
        *words.section(
            Text("My consents"),
            (
                (Text("State"), 16),
                (Text("Who may use it"), 28),
                (Text("Who keeps and gives it"), 28),
                (Text("Purpose"), 28),
                (Text("What"), 48),
                (Text("In force"), 26),
            ),
            map(words.consent, told.consents),
            Text("You have given no consent yet: nobody may use your data."),
        ),
        *words.section(
            Text("Models and joint computations"),
            ((Text("Model"), 62), (Text("Whose"), 30), (Text("How"), 50), (Text("Time"), 32)),
            map(words.involvement, told.lineage),
            Text("Your data went into no model."),
        ),
        *words.section(
            Text("Who used my data"),
            (
                (Text("Time"), 26),
                (Text("Who"), 34),
                (Text("Purpose"), 26),
                (Text("What"), 36),
                (Text("Reason"), 26),
                (Text("Result"), 26),
            ),
            map(words.use, told.uses),
            Text("No use of your data is recorded."),
        ),
    ]
    return _built(parts, f"{say(Text('Xinqiao'))} · {told.uscc}")


class _Words:
    """Values as people read them."""

    def __init__(self, told: Told, language: str) -> None:
        self._told = told
        self._comma = "、" if language == "zh" else ", "
        self.say: Callable[[Text], str] = partial(translate, language)
        self.when: Callable[[int], str] = partial(moment, language)

    def section(
        self, title: Text, columns: Sequence[tuple[Text, int]], rows: Iterable[Sequence[str]], empty: Text
    ) -> list[Any]:
        """A heading and a table, widths in mm; or the sentence that there is nothing."""
        head = Paragraph(escape(self.say(title)), _HEAD)
        body = [[Paragraph(escape(cell), _CELL) for cell in row] for row in rows]
        if not body:
            return [head, Paragraph(escape(self.say(empty)), _BODY)]
        top = [Paragraph(escape(self.say(name)), _CELL) for name, _ in columns]
        table = LongTable([top, *body], colWidths=[width * mm for _, width in columns], repeatRows=1)
        table.setStyle(_LINES)
        return [head, table]

    def consent(self, one: Standing) -> Sequence[str]:
        """A row."""
        doc = one.consent
        return (
            self.say(STATES[one.state]),
            self._members(doc.recipients.data_users),
            self._members([doc.recipients.data_source]),
            self.say(PURPOSES[doc.purpose.purpose_code]),
            self._list(f"{self._item(part.item_id)} ({self.say(MODES[part.mode])})" for part in doc.scope),
            f"{self.when(doc.limits.valid_from_ms)} – {self.when(doc.limits.valid_to_ms)}",
        )

    def involvement(self, one: Involvement) -> Sequence[str]:
        """A row."""
        named = "" if one.model is None else f"{one.model.version.name} {one.model.version.version} "
        how = [Text("trained on your data, among others")] if one.jobs else []
        how += [Text("scored you: {count} times", count=one.scores)] if one.scores else []
        return (
            named + one.commitment[:16] if one.commitment else self.say(Text("No model so far")),
            self._members(one.institutions),
            self._list(self.say(each) for each in how),
            f"{self.when(one.first_ms)} – {self.when(one.last_ms)}",
        )

    def use(self, one: Use) -> Sequence[str]:
        """A row."""
        told = one.receipt
        result = self.say(Text("used")) if one.permitted else f"{self.say(Text('refused'))} {told.decision}"
        entries = self.say(Text("entries {entries}", entries=", ".join(map(str, one.entries))))
        return (
            self.when(told.time_ms),
            f"{self._members([told.institution])} · {told.user}",
            f"{self.say(PURPOSES[told.purpose])} · {self.say(USES[told.mode])}",
            self._list(map(self._item, told.items)),
            told.reason,
            f"{result} · {entries}",
        )

    def _item(self, item_id: str) -> str:
        return self._told.items.get(item_id, item_id)

    def _members(self, members: Iterable[str]) -> str:
        return self._list(self._told.members.get(each, each) for each in members)

    def _list(self, parts: Iterable[str]) -> str:
        return self._comma.join(parts)


def _built(parts: list[Any], foot: str) -> bytes:
    def paint(canvas: Any, document: Any) -> None:  # noqa: ANN401 (reportlab has no types)
        canvas.setFont(FONT, 7.5)
        canvas.drawString(_MARGIN, 10 * mm, foot)
        canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, str(document.page))

    stream = io.BytesIO()
    margins = {"leftMargin": _MARGIN, "rightMargin": _MARGIN, "topMargin": _MARGIN, "bottomMargin": _MARGIN}
    document = SimpleDocTemplate(stream, pagesize=A4, title=foot, author="", **margins)
    document.build(parts, onFirstPage=paint, onLaterPages=paint)
    return stream.getvalue()
