"""How a failure is told: as a page, or as a problem document (RFC 9457) in the API."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from portal.errors import PortalError
from portal.web.authorize import API
from portal.web.i18n import translate
from portal.web.pages import page
from portal.web.visits import visit_of

PROBLEM: Final = {
    "title": "Problem",
    "description": "A problem document (RFC 9457). `title`: a code of docs/errors.md; `faults`: what is wrong with which field.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "faults"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "faults": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "additionalProperties": False,
}
"""What `told` answers in the API, as JSON Schema."""


def told(request: Request, error: PortalError) -> Response:
    """An error as a page, or as a problem document."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    if request.url.path.startswith(API):
        language = visit_of(request).language
        document = {
            "type": f"about:blank#{error.code}",
            "title": error.code,
            "status": error.status,
            "detail": translate(language, error.text),
            "faults": {name: translate(language, text) for name, text in error.faults.items()},
        }
        return JSONResponse(document, error.status, headers, media_type="application/problem+json")
    answer = page(request, "error.html", status=error.status, error=error)
    answer.headers.update(headers)
    return answer
