"""Which texts answer a query, the best first: pure, of postings.

Rules:
1. A text answers if it has more than half of the grams of each term: a word of one or two characters is there whole, a longer one or
   a question may differ a little.
2. It is worth, for each gram that it has, the gram's rarity times its weight, which saturates (Robertson, Walker, TREC-3: BM25 without
   the length of a text, for titles weigh more here); and that times the share of all grams that it has, so that what answers
   wholly comes before what answers in part.
3. Of two that are worth the same the newer one comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from portal.content.search.index import Postings

_SATURATION: Final = 1.5


def rank(query: Sequence[frozenset[str]], postings: Mapping[str, Postings]) -> npt.NDArray[np.int64]:
    """The numbers of the texts that answer, int64[m]. `query`: as of `grams.terms`."""
    size = 1 + max((int(found.numbers[-1]) for found in postings.values()), default=-1)
    answers = np.full(size, bool(query))
    worth, shared = np.zeros(size), np.zeros(size)
    for term in query:
        has = np.zeros(size)
        for gram in sorted(term & postings.keys()):
            numbers, weights = postings[gram].numbers, postings[gram].weights
            worth[numbers] += np.log1p(size / len(numbers)) * weights / (weights + _SATURATION)
            has[numbers] += 1
        answers &= has * 2 > len(term)
        shared += has
    worth *= shared / max(1, sum(map(len, query)))
    found = np.flatnonzero(answers)[::-1]
    return found[np.argsort(-worth[found], kind="stable")]
