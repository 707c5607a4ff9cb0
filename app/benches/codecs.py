"""`python main.py bench codecs`: how small and how fast depth images are packed, codec by codec."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint16]

_MAX_FRAMES = 60
#: As many images as a chunk of a take holds, about.
_CHUNK_BYTES = 4 << 20
_LEAST_S = 0.3
_ZSTD_LEVELS = (-5, -1, 1, 3, 6)


@dataclass(frozen=True)
class Codec:
    """pack and unpack a chunk: some images on top of each other. plain: MCAP's own compression of raw images, which
    every tool can read."""

    name: str
    pack: Callable[[Image], Any]
    unpack: Callable[[Any, tuple[int, ...]], Any]
    plain: bool


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    codecs = kinds.add_parser("codecs", help="depth codecs: ratio and speed", description=run.__doc__)
    codecs.add_argument("sources", nargs="+", metavar="SOURCE", help="recordings or sequence folders")
    codecs.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Pack the first 60 images of each recording with each codec, unpack them, and compare bit for bit.

    MB/s are of raw images, on one thread, the best of several rounds. RVL is measured where its author's package,
    pyrvl, is installed.
    """
    import numpy as np

    from app.runtime.preloaded import load_frames
    from app.runtime.sources import open_recording

    report: dict[str, Any] = {}
    for spec in args.sources:
        images = [frame.depth for frame in load_frames(open_recording(spec), _MAX_FRAMES)]
        per_chunk = max(1, _CHUNK_BYTES // images[0].nbytes)
        chunks = [np.concatenate(images[at : at + per_chunk]) for at in range(0, len(images), per_chunk)]
        rows = {codec.name: measure(codec, chunks) for codec in codecs()}
        height, width = images[0].shape
        report[spec] = {
            "frames": len(images),
            "width": width,
            "height": height,
            "measured_share": round(float(np.mean([(image > 0).mean() for image in images])), 3),
            "codecs": rows,
        }
    print(json.dumps(report, indent=2) if args.json else as_table(report))
    return 0


def codecs() -> list[Codec]:
    """Every codec that can be measured here."""
    import lz4.frame
    import zstandard

    found = [Codec("lz4", lz4.frame.compress, lambda data, _: lz4.frame.decompress(data), plain=True)]
    found += [_zstd(level) for level in _ZSTD_LEVELS]
    pack, unpack = zstandard.ZstdCompressor(level=1).compress, zstandard.ZstdDecompressor().decompress
    found.append(
        Codec(
            "difference + zstd 1",
            lambda image: pack(_differences(image).data),
            lambda data, shape: _sums(unpack(data), shape),
            plain=False,
        )
    )
    found += [_png(level) for level in (1, 3)]
    return [*found, *_rvl()]


def _zstd(level: int) -> Codec:
    import zstandard

    pack, unpack = zstandard.ZstdCompressor(level=level).compress, zstandard.ZstdDecompressor().decompress
    return Codec(f"zstd {level}", lambda image: pack(image.data), lambda data, _: unpack(data), plain=True)


def _differences(image: Image) -> Image:
    """Each pixel less its left neighbour."""
    import numpy as np

    return np.diff(image, axis=1, prepend=np.uint16(0))


def _sums(data: bytes, shape: tuple[int, ...]) -> Image:
    import numpy as np

    return np.cumsum(np.frombuffer(data, np.uint16).reshape(shape), axis=1, dtype=np.uint16)


def _png(level: int) -> Codec:
    import cv2

    return Codec(
        f"PNG {level}",
        lambda image: cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, level])[1],
        lambda data, _: cv2.imdecode(data, cv2.IMREAD_UNCHANGED),
        plain=False,
    )


def _rvl() -> list[Codec]:
    try:
        import pyrvl
    except ImportError:
        print("RVL is left out: it needs the package pyrvl", file=sys.stderr)
        return []
    return [Codec("RVL", pyrvl.compress, lambda data, _: pyrvl.decompress(data), plain=False)]


def measure(codec: Codec, chunks: list[Image]) -> dict[str, Any]:
    """Ratio and MB/s; LumbricalError when the images do not come back as they were."""
    import numpy as np

    from engine.types import LumbricalError

    packed = [codec.pack(chunk) for chunk in chunks]
    for data, chunk in zip(packed, chunks, strict=True):
        back = codec.unpack(data, chunk.shape)
        raw = back if isinstance(back, bytes) else np.asarray(back).tobytes()
        if raw != chunk.tobytes():
            raise LumbricalError(f"{codec.name} does not give the images back as they were")
    size = sum(chunk.nbytes for chunk in chunks)
    pairs = list(zip(packed, chunks, strict=True))
    return {
        "ratio": round(size / sum(len(data) for data in packed), 2),
        "pack_mb_per_s": round(size / 1e6 / _best_s(lambda: [codec.pack(chunk) for chunk in chunks])),
        "unpack_mb_per_s": round(size / 1e6 / _best_s(lambda: [codec.unpack(d, c.shape) for d, c in pairs])),
        "opens_everywhere": codec.plain,
    }


def _best_s(work: Callable[[], object]) -> float:
    best = float("inf")
    end_s = time.perf_counter() + _LEAST_S
    while best == float("inf") or time.perf_counter() < end_s:
        start_s = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start_s)
    return best


def as_table(report: dict[str, Any]) -> str:
    """One table a recording."""
    lines = []
    for spec, found in report.items():
        measured = f"{100 * found['measured_share']:.0f} % of the pixels measured"
        lines.append(f"{spec}: {found['frames']} images of {found['width']} x {found['height']}, {measured}")
        lines.append(f"  {'codec':20} {'ratio':>6} {'pack MB/s':>10} {'unpack MB/s':>12}  any tool reads it")
        for name, row in found["codecs"].items():
            everywhere = "yes" if row["opens_everywhere"] else "no"
            lines.append(
                f"  {name:20} {row['ratio']:6.2f} {row['pack_mb_per_s']:10d} {row['unpack_mb_per_s']:12d}  {everywhere}"
            )
    return "\n".join(lines)
