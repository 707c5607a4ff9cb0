"""Image files that are not trusted: their headers are checked before anything is decoded."""

from __future__ import annotations

import stat
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import MAX_IMAGE_SIDE, BadRecording

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_TAIL = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_PNG_HEADER_SIZE = 33
_MAX_FILE_BYTES = 64 << 20
#: JPEG markers that start a frame header: SOF0-SOF15 without DHT, JPG and DAC.
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _file_size(path: Path) -> int:
    """The size in bytes. Opening a pipe that lies there instead of a file would wait for a writer, for ever."""
    found = path.stat()
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
        raise BadRecording(f"{path} is not a file: copy or record the sequence again")
    return found.st_size


def _read_bytes(path: Path) -> bytes:
    try:
        size = _file_size(path)
        if size > _MAX_FILE_BYTES:
            raise BadRecording(f"{path} is {size >> 20} MB, too large for one image: is it the right file?")
        return path.read_bytes()
    except OSError as error:
        raise BadRecording(f"{path} cannot be read: {error.strerror}") from error


def _check_png_header(path: Path, header: bytes, depth_bits: int, width: int, height: int) -> None:
    if len(header) < _PNG_HEADER_SIZE or header[:8] != _PNG_SIGNATURE or header[12:16] != b"IHDR":
        raise BadRecording(f"{path} is not a PNG image: record or convert the sequence again")
    found_width, found_height, bits, color_type = struct.unpack(">IIBB", header[16:26])
    if bits != depth_bits or color_type != 0:
        kind = "grey" if color_type == 0 else "colour"
        raise BadRecording(f"{path} is a {bits}-bit {kind} PNG: it must be {depth_bits}-bit grey")
    if max(found_width, found_height) > MAX_IMAGE_SIDE:
        raise BadRecording(f"{path} is {found_width} x {found_height}: images over {MAX_IMAGE_SIDE} are refused")
    if (found_width, found_height) != (width, height):
        raise BadRecording(
            f"{path} is {found_width} x {found_height} but the intrinsics in sequence.json are for {width} x {height}:"
            " correct them"
        )


def check_png(path: Path, depth_bits: int, width: int, height: int) -> None:
    """A quick look at both ends of a grey PNG file. Raises BadRecording: no PNG, other depth or size, cut short."""
    try:
        size = _file_size(path)
        with path.open("rb") as file:
            header = file.read(_PNG_HEADER_SIZE)
            file.seek(max(0, size - len(_PNG_TAIL)))
            tail = file.read(len(_PNG_TAIL))
    except OSError as error:
        raise BadRecording(f"{path} cannot be read: {error.strerror}") from error
    _check_png_header(path, header, depth_bits, width, height)
    if tail != _PNG_TAIL:
        raise BadRecording(f"{path} is cut short: copy or record the sequence again")


def _check_png_chunks(path: Path, data: bytes) -> None:
    """libpng warns and goes on where a check sum is wrong, so the check sums are verified here."""
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise BadRecording(f"{path} is damaged: copy or record the sequence again")
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end
    raise BadRecording(f"{path} is cut short: copy or record the sequence again")


def _decode(name: object, data: bytes, flags: int) -> NDArray[np.generic]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadRecording(f"{name} cannot be decoded: copy or record the sequence again") from error
    if image is None:
        raise BadRecording(f"{name} cannot be decoded: copy or record the sequence again")
    return np.asarray(image)


def read_grey_png(path: Path, depth_bits: int, width: int, height: int) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """A grey PNG of 8 or 16 bits: (height, width) uint8 or uint16. Raises BadRecording as `check_png` does."""
    data = _read_bytes(path)
    _check_png_header(path, data[:_PNG_HEADER_SIZE], depth_bits, width, height)
    _check_png_chunks(path, data)
    image = _decode(path, data, cv2.IMREAD_UNCHANGED)
    dtype = np.uint16 if depth_bits == 16 else np.uint8
    if image.dtype != dtype or image.shape != (height, width):
        raise BadRecording(f"{path} decodes to {image.shape} {image.dtype}, not {height} x {width} {dtype.__name__}")
    return image  # type: ignore[return-value]


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) from a JPEG's frame header, or None."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def read_color_jpeg(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    """A colour JPEG as (height, width, 3) uint8 RGB. Raises BadRecording: no JPEG, another size, cut short."""
    return decode_color_jpeg(_read_bytes(path), path, width, height)


def decode_color_jpeg(data: bytes, name: object, width: int, height: int) -> NDArray[np.uint8]:
    """The same of a JPEG in memory; name: what it is called in the message of a BadRecording."""
    size = _jpeg_size(data)
    if size is None or not data.rstrip(b"\x00").endswith(b"\xff\xd9"):
        raise BadRecording(f"{name} is not a whole JPEG image: copy or record the sequence again")
    if size != (width, height):
        raise BadRecording(
            f"{name} is {size[0]} x {size[1]}: colour must be registered to the {width} x {height} depth"
        )
    return np.ascontiguousarray(_decode(name, data, cv2.IMREAD_COLOR)[..., ::-1]).astype(np.uint8, copy=False)
