"""Settings from TOML: what is taken, and one line for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import AppConfig, load_config
from engine.types import LumbricalError


def write(folder: Path, text: str) -> Path:
    path = folder / "lumbrical.toml"
    path.write_text(text)
    return path


def test_entries_override_the_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, 'source = "realsense"\n[viewer]\nmax_fps = 24\n[tracking]\nsmoothing = 0.1\n'))
    assert (config.source, config.viewer.max_fps, config.tracking.smoothing) == ("realsense", 24, 0.1)
    assert config.viewer.cloud_points == AppConfig().viewer.cloud_points


def test_no_file_means_the_defaults() -> None:
    assert load_config(None) == AppConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "no setting colour"),
        ("[viewer]\nshine = 1", "no setting viewer.shine"),
        ("[viewer]\nmax_fps = 0", "viewer.max_fps must be"),
        ('[tracking]\nsmoothing = "much"', "tracking.smoothing must be"),
        ("[tracking]\nsmoothing = nan", "tracking.smoothing must be"),
        ("source = 3", "source must name"),
        ("viewer = 3", "must be a table"),
        ("[viewer", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_files_name(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(LumbricalError) as caught:
        load_config(path)
    message = str(caught.value)
    assert words in message and str(path) in message and "\n" not in message


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match="cannot read"):
        load_config(tmp_path / "none.toml")
