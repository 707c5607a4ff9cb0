"""A flame graph of a running process and its children: which function each thread was in, as an SVG that moves nothing.

The samples are py-spy's, which reads the process's memory from outside: nothing in it runs slower or otherwise.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.whole_file import written_to
from engine.types import LumbricalError

RATE_HZ = 500
SECONDS = 1
#: Names of threads and processes as the picture has them, by how py-spy's begin; None: left out.
_LANES = (
    ("lumbrical-capture", "capture thread"),
    ("lumbrical-tracking", "tracking thread"),
    ("MainThread", "main thread: window"),
    ("process", "drawing process"),
)
_WIDTH, _ROW, _MARGIN = 1400, 17, 12
_HEADER, _GAP = 48, 14
_LEAST_SHARE = 0.0015
_MOST_ROWS = 10
_LETTER_WIDTH = 6.3
#: By where a function is from: this program, its engine, others.
_COLORS = {"app": "#a7c8ee", "engine": "#f6c177", "other": "#d5d7db"}


@dataclass
class Node:
    """A function, as called from those above it. samples: in it and in what it called."""

    samples: int = 0
    children: dict[str, Node] = field(default_factory=dict)


class FlameGraph:
    """Samples this process and its children once, and draws that."""

    def __init__(self, picture: Path, folder: Path) -> None:
        """picture: the file to write; folder: for what is in between. LumbricalError when py-spy is not installed."""
        beside = str(Path(sys.executable).parent)
        program = shutil.which("py-spy", path=os.pathsep.join((beside, os.environ.get("PATH", ""))))
        if program is None:
            raise LumbricalError("--flame needs py-spy: pip install py-spy")
        self._picture, self._folded = picture, folder / "folded.txt"
        self._command = [program, "record", "--pid", str(os.getpid()), "--duration", str(SECONDS)]
        self._command += ["--rate", str(RATE_HZ), "--format", "raw", "--function", "--threads", "--subprocesses"]
        self._sampler: subprocess.Popen[str] | None = None

    def sampled(self) -> bool:
        """Whether all samples are there; the first call begins."""
        if self._sampler is None:
            self._sampler = subprocess.Popen(
                [*self._command, "--output", str(self._folded)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return self._sampler.poll() is not None

    def write(self) -> None:
        """Write the picture. LumbricalError when nothing was seen, with what to do."""
        assert self._sampler is not None
        said = self._sampler.communicate()[0].strip().splitlines()
        if not self._folded.is_file():
            if any("ermission" in line for line in said):
                raise LumbricalError(
                    "the system does not let py-spy look into another process: run this as root, or after "
                    "`sudo sysctl kernel.yama.ptrace_scope=0`"
                )
            raise LumbricalError(f"py-spy failed: {said[-1] if said else 'it said nothing'}")
        lanes = fold(self._folded.read_text())
        if not lanes:
            raise LumbricalError("py-spy saw no thread at work; try again")
        with written_to("--flame", self._picture):
            self._picture.write_text(as_svg(lanes))


def fold(text: str) -> dict[str, Node]:
    """Folded stacks (`frame;frame;… samples` a line, py-spy's with --threads --subprocesses) as a tree for each of the
    threads that matter, without the calls that all of a thread's stacks begin with, but the last of these."""
    lanes: dict[str, Node] = {}
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if not count.isdigit():
            continue
        lane, frames = _lane_of(stack.split(";"))
        if lane is not None:
            _add(lanes.setdefault(lane, Node()), frames, int(count))
    order = [title for _, title in _LANES]
    return {name: _without_trunk(lanes[name]) for name in sorted(lanes, key=order.index)}


def _lane_of(frames: list[str]) -> tuple[str | None, list[str]]:
    """In whose lane a stack belongs, and its functions."""
    heads = [i for i, frame in enumerate(frames) if re.match(r"(process \d+:|thread \()", frame)]
    name = "MainThread"
    if heads:
        # A process within the process is the one that draws; the command lines after "process" may hold any character.
        processes = sum(frames[i].startswith("process ") for i in heads)
        thread = re.match(r"thread \([^)]*\): (.*)", frames[heads[-1]])
        name = "process" if processes > 1 else thread.group(1) if thread else "MainThread"
        frames = frames[heads[-1] + 1 :]
    return next((title for start, title in _LANES if name.startswith(start)), None), frames


def _add(root: Node, frames: list[str], samples: int) -> None:
    root.samples += samples
    for frame in frames:
        root = root.children.setdefault(frame, Node())
        root.samples += samples


def _without_trunk(root: Node) -> Node:
    """Down to the last function that all of the stacks have in common, which stays."""
    while len(root.children) == 1:
        (only,) = root.children.values()
        if len(only.children) != 1 or next(iter(only.children.values())).samples < only.samples:
            break
        root = only
    return root


def as_svg(lanes: dict[str, Node]) -> str:
    """The picture: a lane for each thread, as wide as the time that was watched; what is called hangs below."""
    rows, top = [], _HEADER
    for name, root in lanes.items():
        depth = max((level for _, _, level, _ in _boxes(root)), default=0)
        rows.append(_lane(name, root, top))
        top += (depth + 2) * _ROW + _GAP
    words = (
        f"{SECONDS} s of `bench live`, sampled {RATE_HZ} times: a lane's full width is the whole time, "
        "what is empty is waiting; what a function calls hangs below it"
    )
    legend = "".join(
        f'<rect x="{_MARGIN + 150 * i}" y="26" width="12" height="12" fill="{color}"/>'
        f'<text x="{_MARGIN + 150 * i + 18}" y="36">{name}</text>'
        for i, (name, color) in enumerate(_COLORS.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 2 * _MARGIN} {top}" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="10.5">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n<text x="{_MARGIN}" y="17" font-size="12">{words}</text>\n'
        f"{legend}\n{''.join(rows)}</svg>\n"
    )


def _lane(name: str, root: Node, top: float) -> str:
    total = RATE_HZ * SECONDS
    share = f"{100 * root.samples / total:.0f} % at work"
    drawn = [f'<text x="{_MARGIN}" y="{top + 12}" font-weight="bold">{html.escape(name)}: {share}</text>\n']
    drawn.append(f'<rect x="{_MARGIN}" y="{top + _ROW}" width="{_WIDTH}" height="2" fill="#e8e9ec"/>\n')
    for frame, node, level, start in _boxes(root):
        left, width = _MARGIN + _WIDTH * start / total, _WIDTH * node.samples / total
        y = top + 4 + (level + 1) * _ROW
        title = html.escape(f"{frame}: {1000 * node.samples / RATE_HZ:.0f} ms")
        letters = int((width - 4) / _LETTER_WIDTH)
        words = frame if len(frame) <= letters else frame.partition(" (")[0]
        words = words if len(words) <= letters else words[: max(0, letters - 1)] + "…"
        text = f'<text x="{left + 2:.1f}" y="{y + 12}">{html.escape(words)}</text>' if letters >= 3 else ""
        drawn.append(
            f'<g><title>{title}</title><rect x="{left:.1f}" y="{y}" width="{max(0.5, width - 0.4):.1f}" '
            f'height="{_ROW - 1}" fill="{_color(frame)}"/>{text}</g>\n'
        )
    return "".join(drawn)


def _boxes(root: Node, level: int = 0, start: float = 0.0) -> Iterator[tuple[str, Node, int, float]]:
    """Every function below root, not too deep, that is wide enough to be seen: its name, itself, its row, its start."""
    if level >= _MOST_ROWS:
        return
    for name, node in sorted(root.children.items(), key=lambda one: -one[1].samples):
        if node.samples >= _LEAST_SHARE * RATE_HZ * SECONDS:
            yield name, node, level, start
            yield from _boxes(node, level + 1, start)
        start += node.samples


def _color(frame: str) -> str:
    place = re.search(r"\(([^)]*)\)$", frame)
    folder = place.group(1).split("/")[0] if place else ""
    return _COLORS.get(folder, _COLORS["other"])
