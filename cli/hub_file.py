"""The file that pins a hub: where it is, its TLS authority, its log key. Written by `xinqiao hub info`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from cli.errors import CliError
from nodes.credentials import HubFacts, load_hub
from nodes.settings import hub_path


def read_hub_file(path: Path) -> HubFacts:
    """Read the file wherever it lies. Raises CliError CONFIGURATION if it is not there, CredentialsInvalid if damaged."""
    if not path.is_file():
        raise CliError(
            "CONFIGURATION", f"{path} does not exist. Ask the hub's operator for the file (`xinqiao hub info`)."
        )
    # The one reader of this format takes the home that the file lies in.
    with TemporaryDirectory() as home:
        hub_path(Path(home)).write_bytes(path.read_bytes())
        return load_hub(Path(home))
