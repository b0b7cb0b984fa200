"""The texts that come with the program: about the platform itself, for every portal; made-up examples, for a demonstration.

A text is a file KIND.NAME.zh.md, with KIND.NAME.en.md beside it if it is translated; its first line is the title. Before that stand a
policy's facts, as TOML between lines of `+++`. KIND.NAME is the text's id: what is there already, in whatever version, is left alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from sqlalchemy import Connection

from portal.content import service
from portal.content.kinds import Kind
from portal.state import Portal

_FENCE = "+++\n"
_CHINESE, _ENGLISH = ".zh.md", ".en.md"


@dataclass(frozen=True, kw_only=True)
class Seed:
    """One text that comes with the program."""

    content_id: str
    kind: Kind
    written: service.Written


def load(portal: Portal, connection: Connection, *, examples: bool = False) -> int:
    """Publish what is not there yet; returns how many. Only inside `Database.write`."""
    loaded = [
        service.load(connection, seed.content_id, seed.kind, seed.written, portal.clock(), example=example)
        for example in ((False, True) if examples else (False,))
        for seed in read(examples=example)
    ]
    return sum(loaded)


def read(*, examples: bool) -> Iterator[Seed]:
    """The texts about the platform, or the examples."""
    folder = files(__package__)
    if examples:
        folder = folder.joinpath("examples")
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(_CHINESE):
            content_id = file.name.removesuffix(_CHINESE)
            yield Seed(content_id=content_id, kind=Kind(content_id.partition(".")[0]), written=_read(folder, file))


def _read(folder: Traversable, file: Traversable) -> service.Written:
    text = file.read_text(encoding="utf-8")
    facts = ""
    if text.startswith(_FENCE):
        _, facts, text = text.split(_FENCE, 2)
    title, body = _parts(text)
    english = folder.joinpath(file.name.replace(_CHINESE, _ENGLISH))
    title_en, body_en = _parts(english.read_text(encoding="utf-8")) if english.is_file() else ("", "")
    return service.Written(title=title, body=body, title_en=title_en, body_en=body_en, **tomllib.loads(facts))


def _parts(text: str) -> tuple[str, str]:
    title, _, body = text.partition("\n")
    return title.removeprefix("# ").strip(), body.strip()
