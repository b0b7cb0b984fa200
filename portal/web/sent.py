"""Reading what a browser sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.requests import Request

from portal.errors import PortalError
from portal.text import Text

MOST_FIELDS: Final = 400
MOST_FILES: Final = 1


@dataclass(frozen=True)
class _Sent:
    fields: Mapping[str, str]
    files: Mapping[str, bytes]


async def read_form(request: Request) -> Mapping[str, str]:
    """What was sent, by name; of a name that was sent again, as ticked boxes are, all values with commas between them.

    A file where text belongs counts as nothing. Raises PortalError INVALID_ARGUMENT.
    """
    return (await _read(request)).fields


async def read_file(request: Request, name: str) -> bytes:
    """The file that was sent under a name, empty if there is none. It is no larger than a body may be (`Settings.max_body`).

    Raises PortalError INVALID_ARGUMENT.
    """
    return (await _read(request)).files.get(name, b"")


async def _read(request: Request) -> _Sent:
    kept = getattr(request.state, "sent", None)
    if isinstance(kept, _Sent):
        return kept
    try:
        async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
            files = {name: await file.read() for name, file in form.items() if isinstance(file, UploadFile)}
            texts = {name: [each for each in form.getlist(name) if not isinstance(each, UploadFile)] for name in form}
    except Exception as problem:  # of python-multipart, starlette and the decoder alike: the body is no form
        raise PortalError(
            "INVALID_ARGUMENT", Text("The form did not arrive whole. Go back and send it again.")
        ) from problem
    request.state.sent = sent = _Sent({name: ",".join(values) for name, values in texts.items() if values}, files)
    return sent


def own_path(text: str) -> str:
    """A path of this portal to go to after a login; the start page for anything else, as another site's address."""
    safe = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and len(text) < 500
    return text if safe else "/"
