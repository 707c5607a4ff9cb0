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
    # Only what has one says which camera it was: takes do, of themselves.
    info = getattr(sensor, "info", None)
    if isinstance(sensor, SequenceFolder):
        words = [str(sensor.info.extra.get("sensor") or "")]
        words += ["rendered"] if sensor.info.extra.get("rendered") is True else []
        origin = ", ".join(filter(None, words))[:_LONGEST]
        return f"{sensor.name} ({origin})" if origin else sensor.name
    return str(getattr(info, "sensor", "") or sensor.name)[:_LONGEST]
