"""Running parties: results come home, a failure is told as what it is, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from modeling.channel import Channel
from modeling.errors import DataUnusable, PeerFailed, ProtocolViolation
from modeling.local import run_in_processes, run_in_threads
from modeling.messages import Message

Run = Callable[..., dict[str, Any]]
both = pytest.mark.parametrize("run", [run_in_threads, run_in_processes])


def asks(channels: Mapping[str, Channel]) -> int:
    channels["b"].send(Message(kind="numbers", arrays={"v": np.arange(100_000)}))
    return channels["b"].receive("sum").number("n")


def answers(channels: Mapping[str, Channel]) -> int:
    values = channels["a"].receive("numbers").array("v", "int64", (None,))
    channels["a"].send(Message(kind="sum", fields={"n": int(values.sum())}))
    return channels["a"].traffic.received_bytes


@both
def test_parties_talk_and_return(run: Run) -> None:
    told = run({"a": asks, "b": answers})
    assert told["a"] == 4_999_950_000
    assert told["b"] > 800_000


@both
def test_a_round_is_something_said_and_then_answered(run: Run) -> None:
    def leads(channels: Mapping[str, Channel]) -> int:
        for _ in range(3):
            channels["b"].send(Message(kind="more"))
            channels["b"].send(Message(kind="end"))
            channels["b"].receive("first")
            channels["b"].receive("second")
        return channels["b"].traffic.rounds

    def follows(channels: Mapping[str, Channel]) -> int:
        for _ in range(3):
            channels["a"].receive("more")
            channels["a"].receive("end")
            channels["a"].send(Message(kind="first"))
            channels["a"].send(Message(kind="second"))
        return channels["a"].traffic.rounds

    assert run({"a": leads, "b": follows}) == {"a": 3, "b": 2}


@both
def test_the_cause_is_raised_and_not_its_echo(run: Run) -> None:
    def fails(channels: Mapping[str, Channel]) -> None:
        raise DataUnusable("a column is constant")

    with pytest.raises(DataUnusable, match="constant"):
        run({"a": asks, "b": fails})


@both
def test_another_message_than_was_due_ends_it(run: Run) -> None:
    def wrong(channels: Mapping[str, Channel]) -> None:
        channels["a"].receive("numbers")
        channels["a"].send(Message(kind="product"))

    with pytest.raises(ProtocolViolation, match="'product' where 'sum' was due"):
        run({"a": asks, "b": wrong})


@both
def test_silence_ends_at_the_deadline(run: Run) -> None:
    def silent(channels: Mapping[str, Channel]) -> None:
        time.sleep(1.0)

    with pytest.raises(PeerFailed):
        run({"a": asks, "b": silent}, deadline_s=0.2)


def test_a_process_that_is_killed_is_told() -> None:
    def dies(channels: Mapping[str, Channel]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(PeerFailed):
        run_in_processes({"a": asks, "b": dies}, deadline_s=5)
