"""`info TAKE`: what a take holds, what was dropped and what is damaged."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from engine.takes.facts import Receipt
from engine.takes.poses import PoseTable
from engine.takes.reader import Take
from engine.takes.words import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument("take", metavar="TAKE", help="a take (.mcap), also one that was cut off")
    parser.add_argument(
        "--verify", action="store_true", help="read all of it, every message, and compare every check sum"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what is known; 0 when the take is whole, 1 when something of it is damaged or missing."""
    with Take(args.take) as take:
        if args.verify:
            take.verify()
        report = describe(take) | {"verified": args.verify}
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else as_text(report))
    return 0 if report["complete"] else 1


def describe(take: Take) -> dict[str, Any]:
    """Everything about a take, as JSON can hold it."""
    poses, receipt = take.poses(), take.receipt()
    first = next(take.frames(color=False), None)
    if take.readable_count < take.frame_count:
        # How many more are lost only reading them tells.
        take.verify()
    info = asdict(take.info)
    info["side"] = take.info.side.value if take.info.side else None
    return {
        "path": str(take.path),
        "bytes": take.size,
        "complete": take.complete,
        "recording": take.recording,
        "damage": list(take.damage),
        **info,
        "frames": take.frame_count,
        "readable": take.readable_count,
        "duration_s": round(take.duration_s, 3),
        "measured_fps": round((take.frame_count - 1) / take.duration_s, 2) if take.duration_s > 0 else None,
        "depth_unit_mm": first.frame.depth_unit_mm if first is not None else None,
        "intrinsics": asdict(first.frame.intrinsics) if first is not None else None,
        "poses": len(poses),
        "tracked": int(poses.tracked.sum()),
        "events": len(take.events()),
        "weights_version": _weights(take, receipt, poses),
        "receipt": asdict(receipt),
    }


def _weights(take: Take, receipt: Receipt, poses: PoseTable) -> str:
    """What a recording was begun with, else all that tracked while it lasted."""
    versions = receipt.weights_versions or sorted(set(poses.weights_version.tolist()) - {""})
    return take.info.weights_version or ", ".join(versions)


def as_text(report: dict[str, Any]) -> str:
    """The report for people; empty fields are left out."""
    camera = report["intrinsics"]
    image = f"{camera['width']} x {camera['height']}, " if camera else ""
    rate = f" at {report['measured_fps']:g} frames/s" if report["measured_fps"] else ""
    receipt = report["receipt"]
    lost = ", ".join(f"{count} {reason}" for reason, count in receipt["dropped"].items()) or "none"
    written, readable = max(report["frames"], receipt["frames_written"]), report["readable"]
    damaged = f" while recording, {written - readable} damaged since" if readable < written else ""
    frames = counted(written, "frame")
    frames = f"{readable} of {frames} can be read" if damaged else frames
    state = "whole" if report["complete"] else "; ".join(report["damage"])
    lines = [
        f"{report['path']}: {report['bytes'] / 1e6:.1f} MB, {state}",
        f"  images     {image}{frames}, {report['duration_s']:.1f} s{rate}",
        f"  poses      {report['poses']}, of them {report['tracked']} with a hand",
        f"  received   {counted(receipt['frames_received'], 'frame')}; dropped: {lost}{damaged}; "
        f"ended: {receipt['reason']}",
    ]
    if report.get("verified"):
        lines.append("  verified   every message was read and its check sum compared")
    if receipt["camera_gaps"]:
        lines.append(f"  missing    {counted(receipt['camera_gaps'], 'frame')} never came from the camera")
    if receipt["full_size_bytes"]:
        lines.append(f"  hand only  whole images would take about {receipt['full_size_bytes'] / 1e6:.1f} MB")
    report = report | {"profile": _profile_words(report["profile"]), "tracker": _tracker_words(report["settings"])}
    words = ("name", "user", "profile", "notes", "sensor", "side", "created", "software", "weights_version", "tracker")
    lines += [f"  {name.partition('_')[0]:10} {_indented(report[name])}" for name in words if report[name]]
    if not report["complete"] and not report["recording"]:
        lines.append(f"  `python main.py recover {report['path']}` writes a clean copy")
    return "\n".join(lines)


def _indented(text: Any) -> str:
    """A text of several lines below its first one."""
    return f"\n{' ' * 13}".join(str(text).splitlines())


def _tracker_words(settings: Any) -> str:
    """By which method and runner the poses were begun; what a damaged file says is not believed to be text."""
    if not isinstance(settings, dict):
        return ""
    return ", ".join(str(settings[key])[:40] for key in ("method", "runner") if key in settings)


def _profile_words(profile: Any) -> str:
    """Whose calibrated hand the take carries; what a damaged file says is not believed to be text."""
    if not isinstance(profile, dict):
        return ""
    user, side, created = (str(profile.get(key, "?"))[:60] for key in ("user", "side", "created"))
    return f"{user}'s {side} hand, calibrated {created}"
