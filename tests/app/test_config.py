"""Settings from TOML: what is taken, and one line for what is not."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.config import AppConfig, Isolated, RecordingConfig, SensorsConfig, TrackingConfig, ViewerConfig, load_config
from engine.runners.choose import RUNNERS
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
        ("[tracking]\nthreads = 1.5", "tracking.threads must be a whole number"),
        ('[tracking]\nrunner = "fast"', "tracking.runner must be one of onnx, int8, torch"),
        ("[tracking]\nrunner = [1]", "tracking.runner must be one of"),
        ("[viewer]\ncloud_points = 1e3", "viewer.cloud_points must be a whole number"),
        ('[sensors]\nisolated = "some"', "sensors.isolated must be one of cameras, all, none"),
        ("[sensors]\nisolated = true", "sensors.isolated must be one of"),
        ("[sensors]\nfps = 90.5", "sensors.fps must be a whole number"),
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


def test_the_manual_lists_every_setting_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    told = {row[0].strip("`"): row[1:3] for row in rows}
    kinds = ", ".join(f'`"{kind}"`' for kind in Isolated)
    real: dict[str, list[str]] = {
        "source": ["", ""],
        "takes_folder": ["", ""],
        "sensors.isolated": [f'`"{SensorsConfig().isolated}"`', kinds],
        "tracking.runner": ['`""`', ", ".join(f'`"{name}"`' for name in ("", *RUNNERS))],
    }
    parts: dict[str, Any] = {
        "viewer": ViewerConfig(),
        "tracking": TrackingConfig(),
        "recording": RecordingConfig(),
        "sensors": SensorsConfig(),
    }
    for table, part in parts.items():
        for name, default in vars(part).items():
            if isinstance(default, str):
                continue
            key, (low, _, high) = f"{table}.{name}", told[f"{table}.{name}"][1].partition(" – ")
            real[key] = [f"{default:g}" if isinstance(default, float) else str(default), f"{low} – {high}"]
            for edge, beyond in ((low, -0.5), (high, 0.5)):
                replace(part, **{name: int(edge)})
                with pytest.raises(LumbricalError, match=key):
                    replace(part, **{name: int(edge) + beyond})
    assert {field.name for field in fields(AppConfig)} == {*parts, "source", "takes_folder"}
    assert told == real


def test_the_manual_s_example_is_the_defaults(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    assert load_config(write(tmp_path, example)) == AppConfig(source="recording.mkv", takes_folder="~/takes")
    entries = tomllib.loads(example)
    assert [set(entries[name]) for name in ("viewer", "tracking", "sensors", "recording")] == [
        set(vars(part)) for part in (ViewerConfig(), TrackingConfig(), SensorsConfig(), RecordingConfig())
    ]


def test_the_help_points_to_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "docs/settings.md" in capsys.readouterr().out


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match="cannot read"):
        load_config(tmp_path / "none.toml")
