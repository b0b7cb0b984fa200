"""Where the secret that encrypts key files comes from.

In this order: --secret-file, the variable XINQIAO_SECRET_FILE, the file ``keys/secret`` in the home. The last one is made
by the command that makes the home (32 random bytes as hex, mode 0600) when neither of the others is given; it says so,
because whoever has that file and the key files has the keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from trust.keyfile import secret_from_file, write_protected

VARIABLE: Final = "XINQIAO_SECRET_FILE"
SECRET_BYTES: Final = 32

SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        envvar=VARIABLE,
        help="File (mode 0600) with the secret that encrypts the key files; if not given, keys/secret in the home.",
    ),
]


def secret_path(home: Path) -> Path:
    """Where a home keeps its own secret."""
    return home / "keys" / "secret"


def read_secret(home: Path, given: Path | None) -> bytes:
    """The secret of a home that exists. Raises KeyFileError."""
    return secret_from_file(given if given is not None else secret_path(home))


def prepare_secret(
    home: Path, given: Path | None, random: Callable[[int], bytes] = secrets.token_bytes
) -> tuple[bytes, str]:
    """The secret for a new home, made if none is given, and the sentence that says where it is. Raises KeyFileError."""
    if given is not None:
        return secret_from_file(given), f"The key files are encrypted with the secret in {given}."
    return _make(secret_path(home), random), _sentence(home)


@contextmanager
def secret_for_enrolment(home: Path, given: Path | None) -> Iterator[tuple[bytes, str]]:
    """As `prepare_secret`, for a home whose folder of keys must not exist yet; the secret moves there at the end.

    It is on disk before any key is made with it, and stays for the next attempt if enrolment fails.
    """
    if given is not None or secret_path(home).exists():
        yield prepare_secret(home, given)
        return
    waiting = home / "secret.new"
    secret = _make(waiting, secrets.token_bytes)
    yield secret, _sentence(home)
    waiting.rename(secret_path(home))


def _sentence(home: Path) -> str:
    return (
        f"The secret in {secret_path(home)} opens the key files beside it. Keep a copy elsewhere, or move it to another disk "
        f"and name it by --secret-file or {VARIABLE}."
    )


def _make(path: Path, random: Callable[[int], bytes]) -> bytes:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_protected(path, random(SECRET_BYTES).hex().encode() + b"\n")
    return secret_from_file(path)
