"""A party's process as its agent sees it: what it tells, what it asks, and how it ends.

The processes here are small programs in the place of a party; `test_worker` has the real one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from nodes.errors import NodeError
from nodes.party.process import STALE, Ended, PartyProcess, PartyTask, Told, start_party

PROLOGUE = """
import json, os, signal, socket, sys
task = json.load(sys.stdin)
control = socket.socket(fileno=task["control"])
lines = control.makefile("rw")
peers = {name: socket.socket(fileno=number) for name, number in task["peers"].items()}
def tell(**said):
    lines.write(json.dumps(said) + "\\n")
    lines.flush()
"""


def nobody() -> Sequence[int]:
    return ()


async def started(
    program: str,
    *,
    progress: Callable[[Told], None] = lambda _told: None,
    withdrawn: Callable[[], Sequence[int]] = nobody,
    peers: tuple[str, ...] = ("active", "p2"),
) -> PartyProcess:

    def task(numbers: Mapping[str, int], control: int) -> PartyTask:
        return PartyTask(party="p1", active="active", result="", peers=dict(numbers), control=control)

    async def answers(question: str) -> Sequence[int]:
        assert question == "withdrawn"
        return withdrawn()

    command = (sys.executable, "-S", "-c", PROLOGUE + program)
    return await start_party(command, task, peers, progress=progress, answers=answers)


async def ended(party: PartyProcess) -> Ended:
    """How it ended; then everything is let go."""
    try:
        async with asyncio.timeout(10):
            return await party.ended
    finally:
        await let_go(party)


async def let_go(party: PartyProcess) -> None:
    await party.kill()
    for each in party.sockets.values():
        each.close()


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("tell(finished=True)", Ended()),
        ("tell(finished=True); os.kill(os.getpid(), signal.SIGKILL)", Ended()),
        ("tell(failed='DATA_UNUSABLE', message='why')", Ended(failed="DATA_UNUSABLE", message="why")),
        ("tell(failed='PROTOCOL_VIOLATION')", Ended(failed="PROTOCOL_VIOLATION")),
        ("tell(failed='INTERNAL')", Ended(failed="INTERNAL")),
        ("tell(failed='PEER_FAILED')", Ended(failed="PEER_FAILED", again=True)),
        ("tell(failed='WORKERS_FAILED')", Ended(failed="WORKERS_FAILED", again=True)),
        ("tell(failed='DATA_UNUSABLE'); control.recv(1)", Ended(failed="DATA_UNUSABLE")),  # known before it has ended
        ("tell(failed=" + repr(STALE) + ")", Ended(failed="CONSENT_STALE", again=True)),
        ("tell(phase='train', done=1); sys.exit(3)", Ended(failed="PARTY_LOST", message="exit code 3", again=True)),
        ("sys.exit(0)", Ended(failed="PARTY_LOST", message="exit code 0", again=True)),
        ("os.kill(os.getpid(), signal.SIGKILL)", Ended(failed="PARTY_LOST", message="signal 9", again=True)),
        (
            "lines.write('{\"finished\":true'); lines.flush()",
            Ended(failed="PARTY_LOST", message="exit code 0", again=True),
        ),
    ],
)
async def test_how_a_process_ended_and_whether_another_attempt_may_help(program: str, how: Ended) -> None:
    found = await ended(await started(program))
    assert (found.failed, found.again) == (how.failed, how.again)
    assert how.message in found.message


async def test_a_process_that_is_killed_from_outside_is_lost_and_may_be_started_again() -> None:
    party = await started("tell(phase='train'); control.recv(1)")
    party.child.kill()
    found = await ended(party)
    assert (found.failed, found.again) == ("PARTY_LOST", True)
    assert "signal 9" in found.message


async def test_progress_is_told_in_its_order_and_the_last_word_is_none() -> None:
    seen: list[Told] = []
    program = "tell(phase='prepare', total=1); tell(phase='train', done=1, total=3); tell(finished=True)"
    await ended(await started(program, progress=seen.append))
    assert seen == [Told(phase="prepare", total=1), Told(phase="train", done=1, total=3)]


ASKS = """
tell(asks='withdrawn')
answer = json.loads(lines.readline())
tell(failed=answer.get("refused") or "ROWS", message=str(answer["rows"]))
"""


async def test_a_process_is_told_who_has_left_as_often_as_it_asks() -> None:
    answers = iter([(), (3,), (3, 70_000)])
    program = "for _ in range(2):\n    tell(asks='withdrawn'); lines.readline()\n" + ASKS
    found = await ended(await started(program, withdrawn=lambda: next(answers)))
    assert (found.failed, found.message) == ("ROWS", "[3, 70000]")


@pytest.mark.parametrize(("code", "again"), [("CONSENT_STALE", True), ("LOG_INCONSISTENT", False)])
async def test_a_node_that_does_not_know_who_has_left_says_so_and_no_row(code: str, again: bool) -> None:
    def unknown() -> Sequence[int]:
        raise NodeError("too old", code=code)

    found = await ended(await started(ASKS, withdrawn=unknown))
    assert found == Ended(failed=code, message="[]", again=again)


async def test_each_peer_has_a_socket_of_its_own() -> None:
    program = "for name, peer in peers.items():\n    peer.sendall(name.encode() + peer.recv(9))\ntell(finished=True)"
    party = await started(program)
    for name, mine in party.sockets.items():
        mine.sendall(b" heard")
        mine.setblocking(False)
        said = b""
        while len(said) < len(name) + 6:
            said += await asyncio.get_running_loop().sock_recv(mine, 100)
        assert said == name.encode() + b" heard"
    assert await ended(party) == Ended()


async def test_a_process_that_does_nothing_is_ended_at_once() -> None:
    party = await started("signal.signal(signal.SIGTERM, signal.SIG_IGN); tell(phase='x'); control.recv(1)")
    async with asyncio.timeout(5):
        await let_go(party)
        await let_go(party)
    assert party.child.returncode == -9
    assert party.ended.cancelled()


async def test_who_is_cancelled_while_it_ends_has_let_go_of_it() -> None:
    party = await started("tell(phase='x'); control.recv(1)")
    ending = asyncio.ensure_future(party.kill())
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    assert ending.cancelled()
    async with asyncio.timeout(5):
        assert await party.child.wait() == -9
        while not party._writer.transport.is_closing():
            await asyncio.sleep(0.01)
    assert party.ended.cancelled()
    for each in party.sockets.values():
        each.close()


async def test_who_is_cancelled_while_it_starts_leaves_none_behind(tmp_path: Path) -> None:
    """The task is larger than a pipe holds, and the program does not read it."""
    began = tmp_path / "began"
    program = f"import os, time; open({str(began)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def task(peers: Mapping[str, int], control: int) -> PartyTask:
        return PartyTask(party="p1", active="active", result="x" * (1 << 20), peers=dict(peers), control=control)

    async def answers(_question: str) -> Sequence[int]:
        raise AssertionError

    command = (sys.executable, "-S", "-c", program)
    starting = asyncio.ensure_future(start_party(command, task, ("active",), progress=lambda _: None, answers=answers))
    async with asyncio.timeout(20):
        while not began.exists() or not began.read_text():
            await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert starting.cancelled()
        while Path(f"/proc/{began.read_text()}").exists():
            await asyncio.sleep(0.01)


async def test_a_program_that_is_not_there_leaves_nothing_open() -> None:
    def task(_peers: Mapping[str, int], _control: int) -> PartyTask:
        raise AssertionError

    async def answers(_question: str) -> Sequence[int]:
        raise AssertionError

    with pytest.raises(FileNotFoundError):
        await start_party(("/nowhere/python",), task, ("active",), progress=lambda _told: None, answers=answers)
