"""Motions from what `track --out` writes, and from files that only look like it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.results_file import result_record, results_file
from engine.takes.export import export_motion, load_results
from engine.takes.motion import Motion
from engine.types import (
    DepthFrame,
    HandGeometry,
    HandSurface,
    Intrinsics,
    LumbricalError,
    Side,
    TrackingResult,
    TrackingState,
)
from tests.takes.export.clips import moving_hand, parameters_of

_NOTHING = np.zeros((0, 3), np.float32)
_CAMERA = Intrinsics(4, 4, 4.0, 4.0, 2.0, 2.0)


def _results(motion: Motion) -> list[TrackingResult]:
    """The results that a tracker would have given for it."""
    results = []
    for frame in range(len(motion)):
        image = DepthFrame(
            np.zeros((4, 4), np.uint16),
            1.0,
            _CAMERA,
            int(motion.frame_number[frame]),
            float(motion.device_time_s[frame]),
            0.0,
        )
        if not motion.tracked[frame]:
            results.append(TrackingResult(image, TrackingState.LOST, motion.side))
            continue
        surface = HandSurface(_NOTHING, _NOTHING, _NOTHING[:, 0])
        geometry = HandGeometry.of(motion.joints_mm[frame].astype(np.float32), surface)
        results.append(
            TrackingResult(
                image,
                TrackingState.TRACKING,
                motion.side,
                parameters_of(motion, frame),
                geometry,
                motion.joint_sigma_mm[frame].astype(np.float32),
            )
        )
    return results


def _written(path: Path, *motions: Motion) -> Path:
    with results_file(path) as file:
        for motion in motions:
            for result in _results(motion):
                file.add(result_record(result))
    return path


@pytest.mark.parametrize("suffix", [".npz", ".jsonl"])
@pytest.mark.parametrize("side", list(Side))
def test_a_motion_comes_back_and_can_be_exported(tmp_path: Path, suffix: str, side: Side) -> None:
    motion = moving_hand(side)
    back = load_results(_written(tmp_path / f"results{suffix}", motion))
    assert back.side is side
    np.testing.assert_array_equal(back.tracked, motion.tracked)
    np.testing.assert_array_equal(back.frame_number, motion.frame_number)
    np.testing.assert_allclose(back.device_time_s, motion.device_time_s)
    for name in ("theta", "beta", "thickness", "joints_mm", "joint_sigma_mm"):
        np.testing.assert_allclose(getattr(back, name), getattr(motion, name), atol=2e-4, err_msg=name)
    # What rounding to four places leaves between joints and theta is within what exporters allow.
    export_motion(back, tmp_path / "take.bvh")


def test_a_file_of_both_hands_asks_which(tmp_path: Path) -> None:
    path = _written(tmp_path / "results.npz", moving_hand(Side.RIGHT), moving_hand(Side.LEFT, frames=10, lost=()))
    with pytest.raises(LumbricalError, match="both hands"):
        load_results(path)
    left = load_results(path, Side.LEFT)
    assert left.side is Side.LEFT and len(left) == 34 and left.lost_count == 24


def test_a_side_that_never_was_seen_is_lost_throughout(tmp_path: Path) -> None:
    assert load_results(_written(tmp_path / "results.npz", moving_hand()), Side.LEFT).lost_count == 24


def test_a_clip_without_hand(tmp_path: Path) -> None:
    path = _written(tmp_path / "results.jsonl", moving_hand(frames=2, lost=(0, 1)))
    assert load_results(path).lost_count == 2


def test_an_empty_npz_has_no_frames(tmp_path: Path) -> None:
    assert len(load_results(_written(tmp_path / "results.npz"))) == 0


@pytest.mark.parametrize("suffix", [".npz", ".jsonl"])
def test_damage_is_one_clear_line_and_never_a_crash(tmp_path: Path, suffix: str) -> None:
    """Cut anywhere, bytes turned over anywhere: the motion or a LumbricalError."""
    whole = _written(tmp_path / f"results{suffix}", moving_hand(frames=6)).read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / f"damaged{suffix}"
    refused = 0
    for case in range(150):
        data = bytearray(whole)
        if case % 2:
            del data[int(random.integers(len(data))) :]
        else:
            for place in random.integers(len(data), size=3):
                data[place] ^= int(random.integers(1, 256))
        path.write_bytes(data)
        try:
            load_results(path)
        except LumbricalError as error:
            assert "\n" not in str(error) and path.name in str(error)
            refused += 1
    assert refused > 70


def _npz(path: Path, **changed: Any) -> Path:
    whole = _written(path, moving_hand(frames=3, lost=()))
    with np.load(whole, allow_pickle=False) as archive:
        arrays = dict(archive) | changed
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"theta": None}, "not a whole .npz"),
        ({"theta": np.zeros((3, 25))}, "theta has shape"),
        ({"theta": np.zeros((2, 26))}, "not a whole .npz"),
        ({"theta": np.zeros((3, 26), object)}, "theta holds object"),
        ({"side": np.array(["right", "both", "right"])}, "'both'"),
        ({"side": np.zeros(3)}, "side holds float64"),
        ({"time_s": np.full(3, np.nan)}, "no finite device time"),
        ({"theta": np.full((3, 26), np.nan)}, "theta of frame 0"),
    ],
)
def test_arrays_that_track_does_not_write(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(LumbricalError, match=says):
        load_results(_npz(tmp_path / "results.npz", **changed))


def test_a_huge_declared_size_is_not_believed(tmp_path: Path) -> None:
    path = _npz(tmp_path / "results.npz")
    for frames in (10**12, 400_000):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (frames, 26)})
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (members | {"theta.npy": header.getvalue()}).items():
                archive.writestr(name, content)
        with pytest.raises(LumbricalError, match=r"declares 1000000000000 frames|not a whole"):
            load_results(path)


@pytest.mark.parametrize(
    "line", ["[]", "{}", "null", "7", '{"number": 1}', "[" * 10_000, "\xff", "{" + " " * 2_000_000]
)
def test_lines_that_track_does_not_write(tmp_path: Path, line: str) -> None:
    path = _written(tmp_path / "results.jsonl", moving_hand(frames=2, lost=()))
    path.write_text(path.read_text() + line + "\n", encoding="latin-1")
    with pytest.raises(LumbricalError, match="line 3"):
        load_results(path)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    path = _written(tmp_path / "results.jsonl", moving_hand(frames=2, lost=()))
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    second["beta"][3] = float("nan")
    path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    with pytest.raises(LumbricalError, match="beta of frame 1"):
        load_results(path)


@pytest.mark.parametrize("name", ["absent.npz", "absent.jsonl", "folder.npz", "take.mcap", "long" * 200 + ".npz"])
def test_files_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(LumbricalError, match=name):
        load_results(tmp_path / name)


def test_an_empty_jsonl(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").touch()
    with pytest.raises(LumbricalError, match="is empty"):
        load_results(tmp_path / "results.jsonl")
