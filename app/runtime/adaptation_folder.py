"""Where adapted versions lie: beside the profile whose hand they are of."""

from __future__ import annotations

from pathlib import Path

from calibration.profiles import checked_name, default_folder
from engine.types import Side

_NOBODY = "no profile"


def adapted_folder(user: str | None, side: Side | None, profiles: Path | None = None) -> Path:
    """The folder of a user's one hand; without a profile, one for whoever uses the app. profiles: their folder, the
    default one for None. BadProfile for a name that is none."""
    name = _NOBODY if user is None else checked_name(user)
    return (profiles or default_folder()) / "adapted" / f"{name}.{(side or Side.RIGHT).value}"
