"""Text files in the encodings that departments really send: UTF-8 with and without a byte order mark, GBK and GB 18030, UTF-16.

Rules:
1. A byte order mark says what the file is.
2. A declared encoding is believed. `auto` takes UTF-8, unless most of what is not ASCII is no UTF-8 but is GB 18030: a few damaged
   cells in a UTF-8 file do not turn all its Chinese into other Chinese.
3. Bytes that are no text become U+FFFD. The cell that holds one is rejected (rule "encoding"), the others are kept.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nodes.sources.errors import SourceUnreadable

_CHUNK: Final = 1 << 20
_PROBED: Final = 16 << 20
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# GB 18030 contains GBK, which contains GB 2312; what claims to be one of them is often the next.
_ALIASES: Final = {"gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030", "cp936": "gb18030"}


def as_utf8(path: Path, declared: str, temporary: Path) -> tuple[Path, str]:
    """The file itself if it is clean UTF-8, else a copy that is, at `temporary`; and the name of the encoding.

    Raises SourceUnreadable for a file that cannot be read and for an encoding that nobody knows.
    """
    try:
        encoding = _encoding(path, declared)
        if encoding == "utf-8" and _is_clean(path):
            return path, encoding
        with temporary.open("w", encoding="utf-8", newline="") as copy:
            for text in _decoded(path, encoding):
                copy.write(text)
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror}. Check that it exists and who may read it.") from error
    return temporary, "utf-8" if encoding == "utf-8-sig" else encoding


def _encoding(path: Path, declared: str) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if declared != "auto":
        name = _ALIASES.get(declared.lower(), declared)
        try:
            # Codecs that make no text of bytes (rot13, zip) are no encodings of a file.
            "".encode(name)
            return "utf-8" if codecs.lookup(name).name == "utf-8" else name
        except (LookupError, UnicodeError, TypeError):
            raise SourceUnreadable(
                f"The encoding {declared!r} declared for {path} is unknown. Use utf-8, gb18030, utf-16, or auto."
            ) from None
    if _is_clean(path):
        return "utf-8"
    return "utf-8" if _broken_share(path, "utf-8") <= _broken_share(path, "gb18030") else "gb18030"


def _is_clean(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _broken_share(path: Path, encoding: str) -> float:
    """The share of characters that are no text, among those beyond ASCII.

    Two bytes of one UTF-8 character often happen to be a character of GB 18030, which then is one that nobody writes: that counts a
    little, so that UTF-8 wins where both could be.
    """
    broken = other = 0
    for probed, text in enumerate(_decoded(path, encoding)):
        broken += text.count("\ufffd")
        other += sum(char > "\x7f" for char in text)
        if (probed + 1) * _CHUNK >= _PROBED:
            break
    tie = 0.05 if encoding == "gb18030" else 0.0
    return broken / max(1, other) + tie


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in _chunks(path):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
