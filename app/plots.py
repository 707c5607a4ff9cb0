"""Plots that appear whole or not at all. Only who draws imports matplotlib, so that `--help` is instant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.whole_file import check_new_file, whole_file, written_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".png", ".svg", ".pdf")


def check_plot_path(path: Path) -> None:
    """Raise LumbricalError where a plot could not be written in the end: told before minutes of work."""
    check_new_file("--plot", path, _SUFFIXES, force=True)


def write_figure(path: Path, figure: Figure) -> None:
    """Draw a figure into the file. LumbricalError when that cannot be written; an older file then stays as it was."""
    with whole_file("--plot", path) as temporary, written_to("--plot", path):
        figure.savefig(temporary, dpi=150)
