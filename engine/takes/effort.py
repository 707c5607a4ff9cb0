"""How hard to compress: as configured, or, when writing lags behind, whatever gets the most through."""

from __future__ import annotations

from dataclasses import dataclass

#: zstd's level, or None: stored as it is.
Level = int | None
FASTEST_LEVEL = -5
#: How much a new measurement counts against what was known.
_NEWS = 0.3


@dataclass
class _Speed:
    """Seconds a raw byte takes to be packed, and packed bytes a raw byte becomes."""

    pack_s: float
    ratio: float


class Effort:
    """Measures packing and writing, and chooses a level for the next chunk.

    Where the disk is what is slow, packing small is fastest; where the processor is, not packing at all. behind: set it
    to True while chunks come faster than they can be written.
    """

    def __init__(self, level: int) -> None:
        self.behind = False
        self._usual = level
        self._levels: tuple[Level, ...] = (level, FASTEST_LEVEL, None)
        self._speeds: dict[Level, _Speed] = {}
        self._write_s = 0.0

    def note(self, level: Level, raw: int, packed: int, pack_s: float, write_s: float) -> None:
        """What a chunk took: seconds to pack `raw` bytes into `packed` ones, and to write those."""
        news = _Speed(pack_s / raw, packed / raw)
        old = self._speeds.get(level, news)
        self._speeds[level] = _Speed(_mixed(old.pack_s, news.pack_s), _mixed(old.ratio, news.ratio))
        self._write_s = _mixed(self._write_s or write_s / packed, write_s / packed)

    def level(self) -> Level:
        """For the next chunk."""
        if not self.behind:
            return self._usual
        # Each is tried once: only then is it known.
        untried = [level for level in self._levels if level not in self._speeds]
        return untried[0] if untried else min(self._levels, key=self._expected_s)

    def _expected_s(self, level: Level) -> float:
        speed = self._speeds[level]
        return speed.pack_s + speed.ratio * self._write_s


def _mixed(old: float, new: float) -> float:
    return (1 - _NEWS) * old + _NEWS * new
