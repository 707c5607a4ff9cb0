"""Plots that appear whole or not at all. Only who draws imports matplotlib, so that `--help` is instant."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from engine.types import LumbricalError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".png", ".svg", ".pdf")


def check_plot_path(path: Path) -> None:
    """Raise LumbricalError where a plot could not be written in the end: told before minutes of work."""
    if path.suffix.lower() not in _SUFFIXES:
        raise LumbricalError(f"--plot {path}: the file's name must end in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise LumbricalError(f"--plot {path}: the folder {path.absolute().parent} does not exist")


def write_figure(path: Path, figure: Figure) -> None:
    """Draw a figure into the file. LumbricalError when that cannot be written; an older file then stays as it was."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, suffix=path.suffix, delete=False) as file:
            temporary = Path(file.name)
        try:
            figure.savefig(temporary, dpi=150)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise LumbricalError(f"--plot {path} cannot be written: {error.strerror}") from error
