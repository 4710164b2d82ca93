"""From keys to names in a directory tree and back.

A key is its own path, so that a directory of data made by other programs can be read as a store,
and a store can be looked into with `ls`. The exceptions are marked with U+007F, a character that
no key may hold, so that nothing else needs escaping and no two keys share a path:

- a segment longer than a file name may be (255 bytes on every file system in use) becomes nested
  directories, whose names end in the mark and a plus sign;
- a file that is still being written is named by the mark and random digits;
- on Windows, characters that a file name cannot hold are written as the mark and two hex digits.
"""

import os
import re

MARK = "\x7f"
CONTINUED = MARK + "+"

_WINDOWS = os.name == "nt"
# What Windows refuses or reads as a separator, a drive or a stream; the ends it drops; devices.
_UNSAFE = r'[<>:"\\|?*]|[. ]\Z|\A(?=(?i:con|prn|aux|nul|com\d|lpt\d)(?:\.|\Z)).'
_ESCAPE = MARK + "([0-9a-f]{2})"
# An escape is three bytes long, so shorter pieces are cut there before they are escaped.
_PIECE = 80 if _WINDOWS else 240
_NAME_MAX = 80 if _WINDOWS else 255


def to_path(key: str) -> str:
    """Return the relative path for a valid key, or for a prefix that ends in a slash."""
    if not _WINDOWS and len(key) <= _NAME_MAX and key.isascii():
        return key
    return "/".join([_to_names(segment) for segment in key.split("/")])


def staged_name() -> str:
    """Return a new name for a file that is being written; not the path of any key."""
    return MARK + os.urandom(8).hex()


def is_staged(name: str) -> bool:
    """Whether this is a name from `staged_name`."""
    return len(name) == 1 + 16 and name[0] == MARK


def from_name(name: str) -> tuple[str, bool] | None:
    """Return the segment, or the piece of one, that a file name stands for.

    Returns:
        The text, and whether it goes on in the names below it; None if it stands for nothing.
    """
    if MARK not in name:
        return name, False
    continued = name.endswith(CONTINUED)
    text = name.removesuffix(CONTINUED)
    if _WINDOWS:
        text = re.sub(_ESCAPE, lambda match: chr(int(match[1], 16)), text)
    return None if MARK in text or not text else (text, continued)


def _to_names(segment: str) -> str:
    data = segment.encode()
    if len(data) <= _NAME_MAX:
        return _escape(segment)
    pieces: list[str] = []
    while len(data) > _PIECE:
        cut = _PIECE
        while data[cut] & 0xC0 == 0x80:  # noqa: PLR2004  # inside a character of UTF-8
            cut -= 1
        pieces.append(_escape(data[:cut].decode()) + CONTINUED)
        data = data[cut:]
    pieces.append(_escape(data.decode()))
    return "/".join(pieces)


def _escape(name: str) -> str:
    if not _WINDOWS:
        return name
    return re.sub(_UNSAFE, lambda match: f"{MARK}{ord(match[0]):02x}", name)
