"""Where takes go: the user's own data folder, unless told otherwise, and never the program's own folder by accident."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from engine.types import LumbricalError

_APP = "Lumbrical"
_PROGRAM = Path(__file__).resolve().parents[1]


def default_takes_folder() -> Path:
    """The folder `takes` in the user's data folder; it need not exist yet."""
    return Path(platformdirs.user_data_dir(_APP, appauthor=False)) / "takes"


def thumbnails_folder() -> Path:
    """Where pictures of takes are kept, which can be made again; it need not exist yet."""
    return Path(platformdirs.user_cache_dir("lumbrical")) / "thumbnails"


def checked_takes_folder(folder: str | Path) -> Path:
    """The folder as a whole path, `~` replaced. LumbricalError where it is, or lies in, the program's own folder."""
    whole = Path(folder).expanduser().absolute()
    if whole.resolve().is_relative_to(_PROGRAM):
        raise LumbricalError(
            f"takes would go to {whole}, into the program's own folder, where an update may remove them: choose another"
        )
    return whole
