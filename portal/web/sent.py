"""Reading what a browser sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import UploadFile
from starlette.requests import Request

from portal.errors import PortalError
from portal.text import Text

MOST_FIELDS: Final = 400


async def read_form(request: Request) -> Mapping[str, str]:
    """What was sent, by name; of a name that was sent again, as ticked boxes are, all values with commas between them.

    A file where text belongs counts as nothing. Raises PortalError INVALID_ARGUMENT.
    """
    try:
        sent = await request.form(max_files=0, max_fields=MOST_FIELDS)
    except Exception as problem:  # of python-multipart, starlette and the decoder alike: the body is no form
        raise PortalError(
            "INVALID_ARGUMENT", Text("The form did not arrive whole. Go back and send it again.")
        ) from problem
    texts = {name: [each for each in sent.getlist(name) if not isinstance(each, UploadFile)] for name in sent}
    return {name: ",".join(values) for name, values in texts.items() if values}


def own_path(text: str) -> str:
    """A path of this portal to go to after a login; the start page for anything else, as another site's address."""
    safe = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and len(text) < 500
    return text if safe else "/"
