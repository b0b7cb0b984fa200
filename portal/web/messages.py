"""The sentences of code and templates, as gettext finds them: `python -m portal.web.messages` adds new ones to the catalogues."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from portal.web.i18n import LANGUAGES

_METHODS = [("locale/**", "ignore"), ("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
_KEYWORDS = {"Text": None, "_": None}


def extract(folder: Path) -> Catalog:
    """All sentences, in the order of files and lines."""
    found = Catalog(project="xinqiao")
    for _file, _line, sentence, _comments, _context in extract_from_dir(
        folder, _METHODS, keywords=_KEYWORDS, comment_tags=()
    ):
        found.add(sentence)
    return found


def update() -> None:
    """Bring the catalogues up to date; what is new has no translation yet, and what is gone goes."""
    with as_file(files("portal")) as folder:
        sentences = extract(folder)
        for language in LANGUAGES:
            path = folder / "locale" / f"{language}.po"
            if not path.exists():
                continue
            with path.open("rb") as file:
                catalogue = read_po(file, locale=language)
            catalogue.update(sentences, no_fuzzy_matching=True)
            catalogue.obsolete.clear()
            with path.open("wb") as file:
                write_po(file, catalogue, width=120, omit_header=False, include_lineno=False, no_location=True)


if __name__ == "__main__":
    update()
