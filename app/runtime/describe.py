"""What a source is, in the words that a take of it carries."""

from __future__ import annotations

from app.runtime.interfaces import FrameSource
from engine.sensors.playback import Playback
from engine.sensors.protocol import Sensor
from engine.sensors.sequence_folder import SequenceFolder

_LONGEST = 1000


def described(source: FrameSource | Sensor) -> str:
    """An open source's name with the camera that a recording came from; rendered images stay called rendered."""
    sensor = source.sensor if isinstance(source, Playback) else source
    if not isinstance(sensor, SequenceFolder):
        # Takes say of themselves which camera it was. Reading takes is not imported only to ask.
        return str(getattr(getattr(sensor, "info", None), "sensor", "") or sensor.name)[:_LONGEST]
    extra = sensor.info.extra
    words = (str(extra.get("sensor") or ""), "rendered" if extra.get("rendered") is True else "")
    origin = ", ".join(filter(None, words))[:_LONGEST]
    return f"{sensor.name} ({origin})" if origin else sensor.name
