"""How long a Matroska file (.mkv) says it is: enough to tell one that was cut short from one that is empty."""

from __future__ import annotations

from pathlib import Path
from typing import IO

_EBML_ID, _SEGMENT_ID = 0x1A45DFA3, 0x18538067


def expected_size(path: Path) -> int | None:
    """Bytes of the whole file as its head tells; None where it does not: other files, and recordings not ended well.

    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        if _number(file, keep_marker=True) != _EBML_ID:
            return None
        head = _number(file)
        if head is None:
            return None
        file.seek(head, 1)
        if _number(file, keep_marker=True) != _SEGMENT_ID:
            return None
        content = _number(file)
        return None if content is None else file.tell() + content


def _number(file: IO[bytes], keep_marker: bool = False) -> int | None:
    """A number of 1 to 8 bytes whose first byte's leading zeros count the further ones. None at the end of the file and
    for the number that stands for "unknown". keep_marker: identifiers count the bit after those zeros as theirs."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return None
    value = int.from_bytes(first + rest, "big")
    if keep_marker:
        return value
    unknown = (1 << 7 * length) - 1
    value &= unknown
    return None if value == unknown else value
