"""Takes and recordings in the words that the window shows."""

from __future__ import annotations

import re
from pathlib import Path

from app.runtime.record_control import RecordPhase, RecordView
from app.runtime.recorder import RecorderStatus
from app.runtime.recording import TOO_SLOW
from app.takes_library import TakeEntry
from engine.takes.names import SUFFIX
from engine.takes.words import counted

#: Writing that lags so far behind is worth a word before anything is lost.
_LAG_S = 0.6
_SCARCE_S = 120.0
_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}(-\d+)?(\.part)?")


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: 0:05, 12:34, 1:02:03."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size_words(size: int) -> str:
    """Bytes as kB, MB or GB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            value = size / unit
            return f"{value:.1f} {name}" if value < 100 else f"{value:.0f} {name}"
    return f"{size / 1e3:.0f} kB"


def time_left(seconds: float | None, free_bytes: int | None) -> str:
    """How long the disk lasts; its free space until that is known."""
    if seconds is None:
        return f"{size_words(free_bytes)} free" if free_bytes is not None else ""
    if seconds >= 48 * 3600:
        return "days left"
    if seconds >= 3600:
        return f"{seconds / 3600:.0f} h left"
    return f"{seconds / 60:.0f} min left" if seconds >= 60 else f"{seconds:.0f} s left"


def folder_words(folder: Path) -> str:
    """A folder's path, with ~ for the user's own."""
    try:
        return str(Path("~") / folder.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(folder)


def title(entry: TakeEntry) -> str:
    """What a take is called: its name, else its file's, unless that is no more than a date."""
    name = entry.summary.name if entry.summary is not None else ""
    stem = entry.path.name[: -len(SUFFIX)]
    return name or ("Untitled" if _DATE_ONLY.fullmatch(stem) else stem)


def facts(entry: TakeEntry) -> str:
    """When, how long, how large, whose."""
    summary = entry.summary
    if summary is None:
        return f"reading … · {size_words(entry.size)}"
    date = summary.created.strftime("%d %b %Y, %H:%M").lstrip("0") if summary.created is not None else ""
    hand = f"{summary.side.value} hand" if summary.side is not None else ""
    words = (date, clock(summary.duration_s) if summary.frames else "", size_words(entry.size), summary.user, hand)
    return " · ".join(filter(None, words))


def remarks(entry: TakeEntry) -> str:
    """Its notes; where something is wrong with it, that."""
    summary = entry.summary
    if summary is None:
        return ""
    return " ".join((summary.problem or summary.notes).split())


def particulars(entry: TakeEntry) -> str:
    """Everything that is known, a line each."""
    summary = entry.summary
    lines = [str(entry.path)]
    if summary is not None:
        poses = f", {counted(summary.poses, 'pose')}" if summary.poses else ", no poses"
        lost = f"; {summary.dropped} were lost while recording" if summary.dropped else ""
        lines += [
            f"{counted(summary.frames, 'frame')}{poses}{lost}",
            f"from {summary.sensor}" if summary.sensor else "",
        ]
        saved = f"; whole images would take about {size_words(summary.full_size)}" if summary.full_size else ""
        lines += [f"only the hand's pixels are in it{saved}" if summary.hand_only else ""]
        lines += [summary.problem, summary.notes]
    return "\n".join(filter(None, lines))


def lost_words(status: RecorderStatus) -> str:
    """How many frames were lost, by reason, a line each, and how far writing lags behind."""
    lines = [f"{count} {reason}" for reason, count in status.dropped.items() if count]
    lines += [f"{status.camera_gaps} never came from the camera"] if status.camera_gaps else []
    lines = lines or ["no frame was lost"]
    lines.append(f"{status.frames_written} of {status.frames_received} frames are written")
    if status.backlog_s > 0.2:
        lines.append(f"writing is {status.backlog_s:.1f} s behind")
    return "\n".join(lines)


def lost_count(status: RecorderStatus) -> int:
    """Frames that were lost on the way to the file or from the camera."""
    return sum(status.dropped.values()) + status.camera_gaps


def saved_words(view: RecordView) -> str:
    """One line on the take that was closed last; empty where there is none."""
    receipt = view.status.receipt
    if receipt is None or view.path is None:
        return ""
    lost = f", {counted(receipt.frames_dropped, 'frame')} lost" if receipt.frames_dropped else ""
    size = size_words(view.status.size_bytes)
    instead = f" instead of about {size_words(receipt.full_size_bytes)}" if receipt.full_size_bytes else ""
    return f"saved {clock(receipt.duration_s)}, {size}{instead}{lost}"


def alarm(view: RecordView) -> str:
    """What is wrong with the recording and what to do; empty while all is well."""
    status = view.status
    if view.phase is not RecordPhase.RECORDING:
        return view.trouble
    if status.dropped.get(TOO_SLOW):
        return (
            "The disk or the processor does not keep up, so frames are missing from the take: they are counted below. "
            "Record to a faster disk, or end other programs."
        )
    if status.backlog_s > _LAG_S:
        return "The disk is slow: frames wait in memory to be written. None is lost yet."
    if status.disk_left_s is not None and status.disk_left_s < _SCARCE_S:
        return "The disk is nearly full: the take will be closed, and stay whole, when there is no more room."
    return ""
