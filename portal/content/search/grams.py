"""What texts are cut into, for the index, for a query and for what is highlighted: one cut for all three.

Chinese has no blanks between words. A run of Chinese characters is cut into its characters and its pairs of neighbours; a run of
other letters and digits is one word. A query looks for pairs, and for a character only where it stands alone: so words of one and
two characters are found exactly, and longer ones by all of their pairs. No dictionary of words is needed that grows old.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

TITLE_COUNTS: Final = 8
MOST_WEIGHT: Final = 255
_LONGEST_WORD: Final = 40
_HAN: Final = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_RUN: Final = re.compile(rf"([{_HAN}]+)|(?:(?![{_HAN}])[^\W_])+")
_HAN_LETTER: Final = re.compile(f"[{_HAN}]")
_WORD_LETTER: Final = re.compile(rf"(?![{_HAN}])[^\W_]")
_WIDE: Final = {code: chr(code - 0xFEE0).lower() for code in range(0xFF01, 0xFF5F)}
_FOLD: Final = _WIDE | {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@dataclass(frozen=True)
class Piece:
    """A part of a text. `hit`: whether it is what was looked for."""

    text: str
    hit: bool


def weights(title: str, text: str) -> Mapping[str, int]:
    """How often each gram occurs, at most `MOST_WEIGHT`; in the title it counts `TITLE_COUNTS` times."""
    counted = Counter(_grams(text))
    for gram in _grams(title):
        counted[gram] += TITLE_COUNTS
    return {gram: min(MOST_WEIGHT, count) for gram, count in counted.items()}


def of_kind(kind: str) -> str:
    """What every text of a kind has besides, so that a query can keep to one: no word has a colon."""
    return f"kind:{kind}"


def terms(query: str) -> Sequence[frozenset[str]]:
    """The terms of a query, each as the grams that stand for it."""
    found = [frozenset(_looked_for(run)) for run in _RUN.finditer(_folded(query))]
    return list(dict.fromkeys(found))


def highlight(text: str, query: Sequence[frozenset[str]], longest: int) -> Sequence[Piece]:
    """A stretch of a text of at most `longest` characters where most of what was looked for stands, in pieces."""
    wanted = frozenset[str]().union(*query)
    places = _places(text, wanted)
    begin = 0 if len(text) <= longest else max(0, _densest(places, longest) - longest // 8)
    if begin:  # not in the middle of an English word
        begin = 1 + text.find(" ", begin, begin + longest // 8) or begin
    end = begin + longest
    pieces = [Piece("…", hit=False)] if begin else []
    at = begin
    for first, last in _joined(places):
        if begin <= first and last <= end:
            pieces += [Piece(text[at:first], hit=False), Piece(text[first:last], hit=True)]
            at = last
    pieces += [Piece(text[at:end], hit=False), Piece("…" if end < len(text) else "", hit=False)]
    return [piece for piece in pieces if piece.text]


def _grams(text: str) -> Iterator[str]:
    for run in _RUN.finditer(_folded(text)):
        letters = run.group()
        if run.group(1) is None:
            yield letters[:_LONGEST_WORD]
        else:
            yield from letters
            yield from map("".join, pairwise(letters))


def _looked_for(run: re.Match[str]) -> Sequence[str]:
    letters = run.group()
    if run.group(1) is None:
        return [letters[:_LONGEST_WORD]]
    return [letters[at : at + 2] for at in range(max(1, len(letters) - 1))]


def _folded(text: str) -> str:
    """The same characters at the same places, in lower case and of the usual width."""
    return text.translate(_FOLD)


def _places(text: str, wanted: Set[str]) -> Sequence[tuple[int, int, str]]:
    """Where grams stand, in order: start, end, gram."""
    folded = _folded(text)
    found = []
    for gram in wanted:
        end, chinese = 0, _HAN_LETTER.match(gram) is not None
        while (start := folded.find(gram, end)) >= 0:
            end = start + (1 if chinese else len(gram))  # pairs overlap
            if chinese or _stands_alone(folded, start, end):
                found.append((start, start + len(gram), gram))
    return sorted(found)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no letter of the same word touches it."""
    return not (start and _WORD_LETTER.match(text, start - 1)) and _WORD_LETTER.match(text, end) is None


def _densest(places: Sequence[tuple[int, int, str]], longest: int) -> int:
    """Where the stretch begins that has the most different grams; 0 if there is none at all."""
    inside: Counter[str] = Counter()
    most, begin, first = 0, 0, 0
    for start, _end, gram in places:
        inside[gram] += 1
        while start - places[first][0] > longest * 3 // 4:
            left = places[first][2]
            inside[left] -= 1
            if not inside[left]:
                del inside[left]
            first += 1
        if len(inside) > most:
            most, begin = len(inside), places[first][0]
    return begin


def _joined(places: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int]]:
    """Places that touch, as one."""
    begun: tuple[int, int] | None = None
    for start, end, _gram in places:
        if begun is not None and start <= begun[1]:
            begun = (begun[0], max(begun[1], end))
            continue
        if begun is not None:
            yield begun
        begun = (start, end)
    if begun is not None:
        yield begun
