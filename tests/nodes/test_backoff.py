"""Waits grow, are spread, and stay within their bounds."""

# ruff: noqa: S311 (jitter protects nothing)

from __future__ import annotations

import random

from nodes.backoff import FIRST_S, LONGEST_S, Backoff


def test_waits_grow_to_the_longest_and_never_beyond() -> None:
    backoff = Backoff(random.Random(1))
    waits = [backoff.next_s() for _ in range(200)]
    assert waits[0] == FIRST_S
    assert all(FIRST_S <= wait <= LONGEST_S for wait in waits)
    assert max(waits[:4]) <= FIRST_S * 8
    assert max(waits[20:]) > LONGEST_S / 2


def test_two_nodes_do_not_return_at_the_same_moment() -> None:
    first, second = Backoff(random.Random(1)), Backoff(random.Random(2))
    assert [first.next_s() for _ in range(8)][1:] != [second.next_s() for _ in range(8)][1:]


def test_success_begins_again_with_the_shortest_wait() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(20):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == FIRST_S
