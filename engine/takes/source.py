"""A take as a source of frames, like any other recording."""

from __future__ import annotations

from pathlib import Path

from engine.sensors.protocol import BadRecording, SensorBase, SensorError
from engine.takes.chunks import ChunkDamaged
from engine.takes.facts import TakeInfo
from engine.takes.frames import TakenFrame
from engine.takes.reader import Take
from engine.types import DepthFrame


class TakeSource(SensorBase):
    """Plays a take. What is damaged or was cut off is told in warnings; frames that cannot be read are passed over,
    so that their numbers are missing."""

    def __init__(self, path: str | Path, color: bool = True) -> None:
        super().__init__(Path(path).name or str(path))
        self._path = Path(path)
        self._color = color
        self._take: Take | None = None
        self._next = 0

    @property
    def info(self) -> TakeInfo:
        """What the take says of itself. Raises SensorError before open."""
        if self._take is None:
            raise SensorError(f"{self.name} has not been opened")
        return self._take.info

    @property
    def is_live(self) -> bool:
        return False

    @property
    def warnings(self) -> tuple[str, ...]:
        if self._take is None or not self._take.damage:
            return ()
        lost = "; ".join(self._take.damage[:3])
        return (f"{self.name}: {lost}; {self._take.frames_in_words()}. `recover` writes a clean copy",)

    def _open(self) -> None:
        self._take = take = Take(self._path)
        if take.frame_count == 0:
            why = "; ".join(take.damage) or "nothing was recorded"
            raise BadRecording(f"{self._path} holds no frames: {why}")
        first = next(take.frames(color=False), None)
        if first is None:
            raise BadRecording(f"{self._path}: none of its {take.frame_count} frames can be read: it is damaged")
        self._intrinsics = first.frame.intrinsics
        self._fps, self._frame_count, self._side = take.fps, take.frame_count, take.info.side
        self._next = 0

    def _read(self, timeout_s: float) -> DepthFrame:
        taken = self._readable()
        self._next = taken.frame.number + 1
        if taken.frame.intrinsics != self._intrinsics:
            raise BadRecording(f"{self._path}: the images' intrinsics change at frame {taken.frame.number}")
        return taken.frame

    def _readable(self) -> TakenFrame:
        """The next frame that is whole."""
        take = self._take
        assert take is not None
        while self._next < take.frame_count:
            try:
                return take.frame(self._next, self._color)
            except ChunkDamaged:
                self._next = take.next_after_damage(self._next)
        raise self._end_of_stream()

    def _seek(self, index: int) -> None:
        self._next = index

    def _close(self) -> None:
        if self._take is not None:
            self._take.close()
