"""`xinqiao portal client-key` and `token`: what a program needs that uses the portal's API for an account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.clock import now_ms
from cli.commands import command
from cli.output import Result
from cli.portal_commands import app
from cli.secret import VARIABLE
from portal.clients import token as tokens
from trust.keyfile import load_private_key, save_private_key, secret_from_file
from trust.sm2 import PrivateKey

KeyFile = Annotated[Path, typer.Option("--key", help="The program's key file.")]
ProgramSecret = Annotated[
    Path,
    typer.Option("--secret-file", envvar=VARIABLE, help="File (mode 0600) with the secret that encrypts the key file."),
]


@command(app, "client-key")
def client_key(key: KeyFile, secret_file: ProgramSecret) -> Result:
    """Make a program's SM2 key. Its public half goes into the portal's page “Programs that act for you”."""
    made = PrivateKey.generate()
    save_private_key(key, made, secret_from_file(secret_file))
    return Result(
        data={"key_file": str(key), "public_key": made.public.encode(), "key_id": made.public.key_id},
        text=[f"Made {key}. Let the program in by its public key:", made.public.encode()],
    )


@command(app, "token")
def token(
    key: KeyFile,
    secret_file: ProgramSecret,
    client: Annotated[str, typer.Option("--client", help="The program's number at the portal (iss).")],
    url: Annotated[str, typer.Option("--url", help="The portal's address as browsers see it.")],
) -> Result:
    """Sign a token for the next five minutes: `curl -H "Authorization: Bearer $(xinqiao portal token …)" …`."""
    signed = tokens.make(
        client, load_private_key(key, secret_from_file(secret_file)), url.rstrip("/"), now_ms() // 1000
    )
    return Result(data={"token": signed, "expires_s": tokens.MOST_S}, text=[signed])
