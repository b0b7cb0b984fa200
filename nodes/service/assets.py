"""Files that our pages load, all from this process, and the policies that let them load nothing else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from nodes.service.problems import CallFailed

_OWN: Final = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
REFERENCE_POLICY: Final = f"default-src 'none'; style-src 'self'; {_OWN}"
"""The API's page has no script at all."""
PAGE_POLICY: Final = f"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; {_OWN}"
"""The monitor's: plotly writes styles into what it draws; no script but our own files, and none within the page."""


@cache
def asset(name: str) -> tuple[bytes, str]:
    """The file of that name and its media type. Raises CallFailed NOT_FOUND."""
    if name == "plotly.js":
        from plotly.offline import get_plotlyjs

        return get_plotlyjs().encode(), "text/javascript; charset=utf-8"
    found = {
        "style.css": (("modeling.report", "style.css"), "text/css; charset=utf-8"),
        "reference.css": (("nodes.service", "reference.css"), "text/css; charset=utf-8"),
        "monitor.css": (("nodes.service.monitor", "monitor.css"), "text/css; charset=utf-8"),
        "monitor.js": (("nodes.service.monitor", "monitor.js"), "text/javascript; charset=utf-8"),
        "page.js": (("modeling.report", "page.js"), "text/javascript; charset=utf-8"),
    }.get(name)
    if found is None:
        raise CallFailed("NOT_FOUND", "There is no such file.")
    (package, file), media_type = found
    return files(package).joinpath(file).read_bytes(), media_type
