"""`evaluate` with a tracker whose errors are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app import cli
from app.commands import evaluate, track
from engine.evaluation.report import PALM_LIMIT_MM, WORST_JOINT_LIMIT_MM
from engine.geometry.camera import project
from engine.hand.conventions import map_joints
from engine.hand.skeleton import Skeleton
from engine.sensors.sequence_folder import write_sequence
from engine.tracker import HIDDEN_MM
from engine.types import (
    DepthFrame,
    FloatArray,
    HandGeometry,
    HandParameters,
    HandSurface,
    Intrinsics,
    Side,
    TrackingResult,
    TrackingState,
)

CAMERA = Intrinsics(64, 48, 60.0, 61.0, 31.5, 23.5)
Use = Callable[["FakeTracker"], "FakeTracker"]
Labels = dict[str, NDArray[np.floating]]


def _parameters(index: int) -> HandParameters:
    theta = np.zeros(26, np.float32)
    theta[:3] = (5 * index, 40, 500 + index)
    theta[6:] = 0.2
    return HandParameters(theta, np.zeros(20, np.float32), np.zeros(6, np.float32), 0.9)


def _hand(index: int, convention: str = "anatomical") -> NDArray[np.float32]:
    """The hand of frame `index` as the fake tracker sees it, (21, 3) mm."""
    parameters = _parameters(index)
    pose = Skeleton()(torch.from_numpy(parameters.theta)[None], torch.from_numpy(parameters.beta)[None])
    arrays = (pose.joints[0].numpy(), pose.rotations[0].numpy(), pose.bone_lengths[0].numpy())
    return map_joints(convention, *arrays).astype(np.float32)


class FakeTracker:
    """Knows every frame's hand by its number, but for those in `blind`; notes how it was used."""

    def __init__(self, blind: tuple[int, ...] = (), side: Side = Side.RIGHT) -> None:
        self.side: Side | None = None
        self.faces = np.array([[0, 1, 2]], np.int32)
        self.resets = 0
        self.centres: list[FloatArray | None] = []
        self._blind = blind
        self._result_side = side

    def reset(self) -> None:
        self.resets += 1

    def track(self, frame: DepthFrame, crop_centre_mm: FloatArray | None = None) -> TrackingResult:
        self.centres.append(crop_centre_mm)
        if frame.number in self._blind:
            return TrackingResult(frame, TrackingState.LOST, message="the hand was lost")
        surface = np.array([[-60, -60, 483], [60, -60, 483], [0, 60, 483]], np.float32)
        geometry = HandGeometry.of(
            _hand(frame.number), HandSurface(surface, np.zeros((1, 3), np.float32), np.ones(1, np.float32))
        )
        if self._result_side is Side.LEFT:
            geometry = geometry.mirrored()
        parameters = _parameters(frame.number)
        return TrackingResult(
            frame, TrackingState.TRACKING, self._result_side, parameters, geometry, confidence=0.9, residual_mm=3.0
        )


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Put a fake in the tracker's place."""

    def put(tracker: FakeTracker) -> FakeTracker:
        monkeypatch.setattr(evaluate, "make_tracker", lambda *_: tracker)
        return tracker

    return put


def _folder(
    path: Path, arrays: Labels, fps: float = 30.0, frames: int = 4, held: int | None = None, **extra: object
) -> Path:
    """A plate 3 mm before the fake tracker's surface; held: the depth, mm, of something that covers most of it."""
    depth = np.zeros((CAMERA.height, CAMERA.width), np.uint16)
    depth[10:40, 20:50] = 480
    if held is not None:
        depth[10:27, 20:50] = held
    source = (DepthFrame(depth, 1.0, CAMERA, i, i / 30, 0.0) for i in range(frames))
    write_sequence(path, source, fps=fps, side=Side.RIGHT, sensor="test", labels=arrays, extra=extra)
    return path


def _report(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert cli.main(["evaluate", "--json", *map(str, arguments)]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def _error(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert cli.main(["evaluate", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_errors_are_those_of_the_convention_named(tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTracker())
    truth = np.stack([_hand(i, "nyu") for i in range(4)])
    truth[..., 2] += 3
    report = _report(capsys, _folder(tmp_path / "hand", {"joints_mm": truth}, joint_convention="nyu", labels="made up"))
    for key in ("mean_joint_error_mm", "median_joint_error_mm", "finger_joint_error_mm"):
        assert report[key] == pytest.approx(3, abs=1e-3)
    assert report["procrustes_error_mm"] == pytest.approx(0, abs=1e-3)
    assert report["unmapped_joint_error_mm"] > 4
    assert report["within_20mm"] == 1
    assert report["per_joint_error_mm"]["index_tip"] == pytest.approx(3, abs=1e-3)
    assert (report["frames"], report["frames_tracked"]) == (4, 4)
    assert report["mdpc_median_mm"] > 0
    assert report["depth_residual_median_mm"] == report["unoccluded_residual_median_mm"] == 3
    assert report["palm_error_median_mm"] is None and report["palm_within_45mm"] is None
    assert report["joint_convention"] == "nyu" and report["images"] == "real" and report["gt_crop"] is False
    assert report["sequences"]["hand"]["labels"] == "made up"
    assert report["sequences"]["hand"]["mean_joint_error_mm"] == report["mean_joint_error_mm"]


def test_what_covers_the_hand_is_not_counted_in_its_unoccluded_residual(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeTracker())
    near = _report(capsys, _folder(tmp_path / "near", {}, held=463))
    assert near["depth_residual_median_mm"] == near["unoccluded_residual_median_mm"] == 20  # may be the hand itself
    held = _report(capsys, _folder(tmp_path / "held", {}, held=433))
    assert (held["depth_residual_median_mm"], held["unoccluded_residual_median_mm"]) == (50, 3)


def test_a_left_hand_is_mapped_as_the_mirror_of_a_right_one(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeTracker(side=Side.LEFT))
    truth = np.stack([_hand(i, "msra14") for i in range(4)]) * np.array([-1, 1, 1], np.float32)
    report = _report(capsys, _folder(tmp_path / "hand", {"joints_mm": truth}, joint_convention="msra14"))
    assert report["mean_joint_error_mm"] == pytest.approx(0, abs=1e-3)


def test_untracked_frames_are_misses_but_leave_the_means_alone(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeTracker(blind=(1,)))
    truth = np.stack([_hand(i) for i in range(4)])
    truth[2, 4] = np.nan
    palm = np.stack([project(hand[[0, 5, 9, 13, 17]].mean(0), CAMERA) for hand in truth]) + (6, 0)
    labels = {"joints_mm": truth, "palm_uv": palm.astype(np.float32)}
    report = _report(capsys, _folder(tmp_path / "hand", labels))
    assert report["frames_tracked"] == 3
    assert report["mean_joint_error_mm"] == pytest.approx(0, abs=1e-3)
    assert report["within_20mm"] == 0.75
    assert report["palm_error_median_mm"] == pytest.approx(50, rel=0.02)
    assert report["palm_within_45mm"] == 0
    assert report["joint_convention"] == "anatomical"


def test_palm_within_counts_lost_frames_against_us(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeTracker(blind=(0,)))
    palm = np.stack([project(_hand(i)[[0, 5, 9, 13, 17]].mean(0), CAMERA) for i in range(4)])
    report = _report(capsys, _folder(tmp_path / "hand", {"palm_uv": palm.astype(np.float32)}))
    assert report["palm_within_45mm"] == 0.75
    assert report["palm_error_median_mm"] == pytest.approx(0, abs=0.01)
    assert report["mean_joint_error_mm"] is None and report["within_20mm"] is None


def test_two_dimensional_labels_alone_give_pixels(tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTracker())
    points = np.stack([project(_hand(i), CAMERA) for i in range(4)]) + (0, 2)
    points[0] = np.nan
    report = _report(capsys, _folder(tmp_path / "hand", {"joints_uv_2d": points.astype(np.float32)}))
    assert report["uv_error_median_px"] == pytest.approx(2, abs=1e-3)
    assert report["mean_joint_error_mm"] is None
    assert report["joint_convention"] is None


@pytest.mark.parametrize("labels", [{}, {"joints_mm": np.full((4, 21, 3), np.nan, np.float32)}])
def test_a_folder_without_labels_says_so_and_what_was_measured(
    labels: Labels, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeTracker())
    bare, full = (
        _folder(tmp_path / "bare", labels),
        _folder(tmp_path / "full", {"joints_mm": np.stack([_hand(i) for i in range(4)])}),
    )
    assert cli.main(["evaluate", str(bare), str(full)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "no labels" in line]
    assert len(told) == 1 and told[0].startswith("bare has no labels (joints_mm.npy") and "MDPC and residual" in told[0]
    report = _report(capsys, bare, full)
    assert [report["sequences"][name]["label_files"] for name in ("bare", "full")] == [[], ["joints_mm"]]
    assert report["sequences"]["bare"]["mdpc_median_mm"] > 0


def test_a_plot_of_what_has_no_labels_is_refused(tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTracker())
    assert "no joints_mm.npy" in _error(capsys, _folder(tmp_path / "bare", {}), "--plot", tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_the_tracker_starts_anew_where_frames_do_not_follow_each_other(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = np.stack([_hand(i) for i in range(4)])
    moving = _folder(tmp_path / "moving", {"joints_mm": truth})
    stills = _folder(tmp_path / "stills", {"joints_mm": truth}, fps=0)
    tracker = use(FakeTracker())
    _report(capsys, moving)
    assert tracker.resets == 1 and tracker.side is Side.RIGHT
    tracker = use(FakeTracker())
    report = _report(capsys, moving, stills)
    assert tracker.resets == 1 + 1 + 4
    assert report["frames"] == 8 and set(report["sequences"]) == {"moving", "stills"}


def test_recordings_of_one_name_stay_apart(tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTracker())
    truth = np.stack([_hand(i) for i in range(4)])
    first = _folder(tmp_path / "a" / "hand", {"joints_mm": truth})
    second = _folder(tmp_path / "b" / "hand", {"joints_mm": truth + np.float32(1)})
    report = _report(capsys, first, second)
    assert set(report["sequences"]) == {"hand", str(second)}
    assert report["mean_joint_error_mm"] == pytest.approx(3**0.5 / 2, abs=1e-3)


def test_gt_crop_hands_over_the_labels_centre_and_leaves_unlabelled_frames_out(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = use(FakeTracker())
    truth = np.stack([_hand(i) for i in range(4)])
    truth[3] = np.nan
    folder = _folder(tmp_path / "hand", {"joints_mm": truth})
    assert _report(capsys, folder)["frames"] == 4
    assert tracker.centres == [None] * 4
    report = _report(capsys, folder, "--gt-crop")
    assert report["frames"] == 3 and report["gt_crop"] is True
    np.testing.assert_allclose(np.array(tracker.centres[4:]), truth[:3].mean(1), rtol=1e-5)


def test_the_table_names_every_recording_and_what_it_is(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeTracker())
    truth = np.stack([_hand(i) for i in range(4)])
    first = _folder(tmp_path / "first", {"joints_mm": truth}, rendered=True)
    assert cli.main(["evaluate", str(first), str(_folder(tmp_path / "second", {}))]) == 0
    printed = capsys.readouterr().out
    assert "first: rendered images, right hand, as sequence.json says, joints as in anatomical" in printed
    assert "second: real images, right hand, as sequence.json says, no 3D labels" in printed
    assert "untracked frames as misses" in printed
    assert "all" in printed.split()


def test_the_plot_is_written_whole(tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTracker())
    folder = _folder(tmp_path / "hand", {"joints_mm": np.stack([_hand(i) for i in range(4)])})
    _report(capsys, folder, "--plot", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "hand"]


def test_bad_input_is_one_line_before_anything_is_tracked(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = use(FakeTracker())
    truth = np.stack([_hand(i) for i in range(4)])
    good = _folder(tmp_path / "good", {"joints_mm": truth})
    unknown = _folder(tmp_path / "unknown", {"joints_mm": truth}, joint_convention="leap")
    bare = _folder(tmp_path / "bare", {})
    (tmp_path / "empty").mkdir()
    assert "does not exist" in _error(capsys, good, tmp_path / "nowhere")
    assert "sequence.json" in _error(capsys, good, tmp_path / "empty")
    assert '"leap" is not known' in _error(capsys, good, unknown)
    assert "leave it out" in _error(capsys, bare, "--gt-crop")
    behind = _folder(tmp_path / "behind", {"joints_mm": -truth})
    assert "behind the camera" in _error(capsys, behind, "--gt-crop")
    assert "given twice" in _error(capsys, good, good)
    assert ".png, .svg or .pdf" in _error(capsys, good, "--plot", tmp_path / "curve.txt")
    assert "does not exist" in _error(capsys, good, "--plot", tmp_path / "nowhere" / "curve.png")
    np.save(good / "joints_mm.npy", truth[:3])
    assert "shape" in _error(capsys, good)
    assert tracker.centres == []


def test_the_rendered_table_shows_what_the_intervals_hold() -> None:
    errors = {f"{key}_joint_error_mm": 8.0 for key in ("mean", "median", "finger")}
    uncertainty = {"within_90": {"all": 0.904, "seen": 0.921, "hidden": None}, "interval_90_median_mm": 11.5}
    row = {"what": "hands", "frames": 4, **errors, "uncertainty": uncertainty}
    header, figures = evaluate.rendered_table({"test_sets": {"held": row}}).splitlines()[:2]
    assert header.split() == ["rendered", "mean", "median", "fingers", "in", "90", "%", "seen", "hidden", "radius"]
    assert figures.split() == ["held", "4", "8.0", "8.0", "8.0", "90", "%", "92", "%", "-", "11.5"]
    assert len(header) == len(figures)


def _explained(capsys: pytest.CaptureFixture[str], table: str) -> dict[str, str]:
    """What the help says of each column of a table, by its title."""
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    part = capsys.readouterr().out.split(f"columns of the table of {table}:\n")[1].split("\n\n")[0]
    return {line[2:14].rstrip(): line[14:] for line in part.splitlines()}


def _header_of(titles: Iterable[str]) -> list[str]:
    return " ".join(titles).split()


def test_the_help_explains_every_column_of_recordings_and_the_notes_name_no_other(
    tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeTracker())
    assert cli.main(["evaluate", str(_folder(tmp_path / "hand", {}))]) == 0
    printed = capsys.readouterr().out
    explained = _explained(capsys, "FOLDER")
    assert printed.splitlines()[0].split() == _header_of(explained)
    assert "within_" not in printed and "<20mm and palm<45 count untracked frames as misses" in printed
    assert explained["mean"].startswith("mm;") and explained["2D px"].startswith("pixels;")
    assert explained["palm<45"].startswith("%") and f"{PALM_LIMIT_MM:g} mm" in explained["palm<45"]
    assert f"{WORST_JOINT_LIMIT_MM:g} mm" in explained["<20mm"] and f"{HIDDEN_MM:g} mm" in explained["unoccluded"]


def test_the_help_explains_every_column_of_rendered_hands(capsys: pytest.CaptureFixture[str]) -> None:
    header = evaluate.rendered_table({"test_sets": {}}).splitlines()[0]
    assert header.split() == _header_of(_explained(capsys, "--rendered"))


@pytest.mark.parametrize(("named", "used"), [([], "onnx"), (["--runner=int8"], "int8")])
def test_a_runner_is_measured_in_the_whole_tracker(
    named: list[str], used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def make(weights: Path | None, runner: str) -> FakeTracker:
        made.append(runner)
        return FakeTracker()

    monkeypatch.setattr(track, "make_tracker", make)
    assert cli.main(["evaluate", str(_folder(tmp_path / "a", {})), *named]) == 0
    assert made == [used]


@pytest.mark.parametrize(("named", "used"), [([], "onnx"), (["--runner=int8"], "int8")])
def test_a_runner_is_measured_on_rendered_hands(
    named: list[str], used: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(runner: object, config: object, progress: object) -> dict[str, object]:
        assert runner == used
        return {"test_sets": {}}

    monkeypatch.setattr("engine.runners.choose.make_runner", lambda loaded, name: name)
    monkeypatch.setattr("engine.evaluation.rendered.evaluate_rendered", measured)
    assert cli.main(["evaluate", "--rendered", "--json", *named]) == 0
