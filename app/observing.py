"""Tracks a recording once, as fast as it goes, to collect crops of its hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.types import LumbricalError

if TYPE_CHECKING:
    from engine.adaptation.observed import ObservedCrops


def observe(source: str, weights: Path | None = None) -> ObservedCrops:
    """The crops of the frames of a recording in which the tracker saw a hand. LumbricalError when there are none."""
    from tqdm import tqdm

    from app.commands.track import make_tracker, open_sensor
    from engine.adaptation.observed import ObservedCrops
    from engine.sensors.protocol import EndOfStream

    sensor = open_sensor(source)
    if sensor.is_live:
        raise LumbricalError(f"{source} is a camera; record it first: learning goes over the frames many times")
    tracker, crops, frames = make_tracker(weights=weights), ObservedCrops(), 0
    with sensor, tqdm(total=sensor.frame_count, unit="frame", desc=source, leave=False, disable=None) as bar:
        tracker.side = sensor.side
        while True:
            try:
                frame = sensor.read()
            except EndOfStream:
                break
            if frame is None:
                continue
            frames += 1
            crops.add(tracker.track(frame))
            bar.update(1)
    if not len(crops):
        raise LumbricalError(f"{source}: no hand was tracked in its {frames} frames")
    print(f"{source}: {len(crops)} crops of {frames} frames", file=sys.stderr)
    return crops
