"""Languages: Chinese unless somebody chooses English. Catalogues are gettext's .po files, read at the start as they are.

English sentences are the keys, so English needs no catalogue. A sentence without translation is shown in English, and a test that
compares the catalogues with code and templates fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Final

from babel.dates import format_datetime
from babel.messages.pofile import read_po

from consent.identifiers import CHINA_TIME
from portal.text import Name, Text

LANGUAGES: Final = {"zh": "中文", "en": "English"}
DEFAULT: Final = "zh"
_HTML_NAMES: Final = {"zh": "zh-CN", "en": "en"}
_BETWEEN: Final = {"zh": "、", "en": ", "}
_TIMES: Final = {"zh": "y年M月d日 HH:mm", "en": "d MMM y, HH:mm"}


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Sentences of one language by their English ones; empty for English."""
    if language == "en":
        return {}
    with files("portal").joinpath("locale", f"{language}.po").open("rb") as file:
        found = read_po(file, locale=language)
    return {str(message.id): str(message.string) for message in found if message.id and message.string}


def translate(language: str, text: Text | Name | str) -> str:
    """A sentence in one of `LANGUAGES`, its values filled in; sentences, names and tuples of them among those are translated, too."""
    if isinstance(text, str):
        return catalogue(language).get(text, text)
    if isinstance(text, Name):
        return text.zh if language == "zh" else text.en
    values = {name: _value(language, value) for name, value in text.values.items()}
    return catalogue(language).get(text.sentence, text.sentence).format(**values)


def _value(language: str, value: object) -> object:
    if isinstance(value, tuple):
        return _BETWEEN[language].join(str(_value(language, each)) for each in value)
    return translate(language, value) if isinstance(value, Text | Name) else value


def html_name(language: str) -> str:
    """The language's name in HTML."""
    return _HTML_NAMES[language]


def moment(language: str, time_ms: int | None) -> str:
    """A time in China, for people; a dash for none."""
    if time_ms is None:
        return "–"
    return format_datetime(datetime.fromtimestamp(time_ms / 1000, CHINA_TIME), _TIMES[language], locale=language)
