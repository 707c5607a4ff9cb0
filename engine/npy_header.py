"""Numpy arrays in files that may be damaged: headers, read before anything is allocated, and what can go wrong."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from typing import IO, Any

import numpy as np

#: All that numpy and zipfile raise for an .npy or .npz file that is not whole, beside OSError.
DAMAGE = (
    ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError
)  # fmt: skip


def read_npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an array declares; ValueError for anything else than numpy writes for plain numbers."""
    # The headers of later versions may be gigabytes long.
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not a plain array")
    try:
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except (SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError) as error:
        # A header is text that numpy parses as Python's literals, and passes on what the parser says of other text.
        raise ValueError("not a header") from error
    return shape, dtype
