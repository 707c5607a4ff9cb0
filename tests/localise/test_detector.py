"""The hand detector: its file, its candidates, and what it finds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engine.localise.detector import HandCandidate, HandDetector
from engine.localise.export import export_detector
from engine.localise.network import DetectorNet
from engine.training.scenes import SceneBatch, SceneConfig, SceneRenderer
from engine.types import DepthFrame, Intrinsics, LumbricalError

WITHIN_MM = 45.0
SCENE_SEED = 20_261_120
#: Scenes in which a person could tell where the hand is: near enough, and most of it seen (the training's own scenes
#: include hands of ten pixels behind things).
CLEAR = SceneConfig(no_hand_fraction=0.0, held_fraction=0.15, distance_range_mm=(250.0, 900.0))
SEEN = 0.75


@pytest.fixture(scope="module")
def detector() -> HandDetector:
    return HandDetector.load()


@pytest.fixture(scope="module")
def scenes() -> SceneBatch:
    return SceneRenderer(CLEAR, SCENE_SEED).batch(110)


def clear_hands(scenes: SceneBatch) -> list[int]:
    """Scenes whose hand in front is mostly seen."""
    return torch.nonzero(scenes.seen[:, 0] > SEEN).flatten().tolist()


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "untrained.onnx"
    torch.manual_seed(1)
    export_detector(DetectorNet(8), path, {"threshold": 0.3})
    return path


def frame_of(scenes: SceneBatch, index: int, repeat: int = 1) -> DepthFrame:
    """A scene as a camera's frame, each pixel `repeat` times."""
    small = scenes.depth[index, :120].numpy()
    depth = np.where(np.isfinite(small), small * 8, 0).round().astype(np.uint16)
    depth = depth.repeat(repeat, 0).repeat(repeat, 1)
    focal = float(scenes.focal[index]) * repeat
    cx, cy = ((float(c) + 0.5) * repeat - 0.5 for c in scenes.principal[index])
    camera = Intrinsics(depth.shape[1], depth.shape[0], focal, focal, cx, cy)
    return DepthFrame(depth, 0.125, camera, 0, 0.0, 0.0)


def wide_frame(scenes: SceneBatch, index: int) -> DepthFrame:
    """The upper 90 rows of a scene as a frame of 848 x 480."""
    scale = 848 / 160
    columns = ((np.arange(848) + 0.5) / scale).astype(int)
    rows = ((np.arange(480) + 0.5) / scale).astype(int)
    base = frame_of(scenes, index)
    cx, cy = ((float(c) + 0.5) * scale - 0.5 for c in scenes.principal[index])
    focal = float(scenes.focal[index]) * scale
    return DepthFrame(base.depth[np.ix_(rows, columns)], 0.125, Intrinsics(848, 480, focal, focal, cx, cy), 0, 0.0, 0.0)


def middle(frame: DepthFrame) -> np.ndarray:
    """The principal point, pixels."""
    return np.array([frame.intrinsics.cx, frame.intrinsics.cy])


def palm_error(candidate: HandCandidate, pixel: np.ndarray, camera: Intrinsics) -> float:
    """Distance of the projected palm from a pixel, times depth over fx, mm."""
    x, y, z = candidate.palm_mm
    found = np.array([x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy])
    return float(np.linalg.norm(found - pixel) * z / camera.fx)


def test_hands_in_rendered_scenes_are_found(detector: HandDetector, scenes: SceneBatch) -> None:
    """Rendered, of another seed than training's: the surest candidate lies in the palm of one of the hands."""
    surest, placed = [], []
    for i in clear_hands(scenes)[:50]:
        frame = frame_of(scenes, i)
        candidates = detector.detect(frame)
        hands = scenes.palm[i][scenes.found[i] | scenes.doubtful[i]].numpy()
        pixels = [hand[:2] / hand[2] * frame.intrinsics.fx + middle(frame) for hand in hands]
        surest.append(
            bool(candidates) and min(palm_error(candidates[0], pixel, frame.intrinsics) for pixel in pixels) < WITHIN_MM
        )
        if surest[-1]:
            centres = scenes.centre[i].numpy()
            placed.append(np.linalg.norm(centres - candidates[0].centre_mm, axis=1).min())
    assert len(surest) == 50
    assert np.mean(surest) >= 0.85
    # The crop's cube reaches 150 mm from its centre to each side.
    assert np.median(placed) < 35
    assert np.mean(np.array(placed) < 75) > 0.9


def test_walls_and_tables_are_no_sure_hands(detector: HandDetector) -> None:
    config = SceneConfig(
        no_hand_fraction=1.0, person_fraction=0.0, things_fraction=0.0, held_fraction=0.0, wall_fraction=0.7
    )
    empty = SceneRenderer(config, SCENE_SEED).batch(40)
    scores = [max((c.score for c in detector.detect(frame_of(empty, i))), default=0.0) for i in range(40)]
    assert np.mean(np.array(scores) > 0.3) <= 0.1


def test_nothing_measured_nothing_found(detector: HandDetector) -> None:
    frame = DepthFrame(np.zeros((480, 640), np.uint16), 1.0, Intrinsics(640, 480, 500, 500, 320, 240), 0, 0.0, 0.0)
    assert detector.detect(frame) == []


def test_candidates_fall_in_score_and_keep_apart(detector: HandDetector, scenes: SceneBatch) -> None:
    for i in range(20):
        candidates = detector.detect(frame_of(scenes, i), limit=3)
        scores = [c.score for c in candidates]
        assert scores == sorted(scores, reverse=True)
        assert len(candidates) <= 3
        for c in candidates:
            assert 0 < c.score <= 1
            assert c.centre_mm.shape == c.palm_mm.shape == (3,)
            assert np.linalg.norm(c.centre_mm - c.palm_mm) < 120


def test_the_answer_does_not_hang_on_resolution_or_repetition(detector: HandDetector, scenes: SceneBatch) -> None:
    compared = 0
    for i in range(12):
        base = detector.detect(frame_of(scenes, i))
        again = detector.detect(frame_of(scenes, i))
        assert [c.score for c in base] == [c.score for c in again]
        for repeat in (2, 4):  # pixels are repeated, so each sampled pixel stays the same one
            finer = detector.detect(frame_of(scenes, i, repeat))
            assert len(finer) == len(base)
            for a, b in zip(base, finer, strict=True):
                np.testing.assert_allclose(a.palm_mm, b.palm_mm, atol=0.5)
                compared += 1
    assert compared > 6


def test_wide_frames_work(detector: HandDetector, scenes: SceneBatch) -> None:
    good = []
    for i in clear_hands(scenes):
        tangent = scenes.palm[i, 0, :2] / scenes.palm[i, 0, 2]
        if not 8 < tangent[1] * scenes.focal[i] + scenes.principal[i, 1] < 75:
            continue
        frame = wide_frame(scenes, i)
        pixel = tangent.numpy() * frame.intrinsics.fx + middle(frame)
        good.append(any(palm_error(c, pixel, frame.intrinsics) < WITHIN_MM for c in detector.detect(frame)))
    assert len(good) > 15
    assert np.mean(good) >= 0.8


def test_a_mirrored_frame_gives_mirrored_hands(detector: HandDetector, scenes: SceneBatch) -> None:
    agreed = []
    for i in range(20):
        frame = frame_of(scenes, i)
        camera = frame.intrinsics
        turned = Intrinsics(camera.width, camera.height, camera.fx, camera.fy, camera.width - 1 - camera.cx, camera.cy)
        mirror = DepthFrame(np.ascontiguousarray(frame.depth[:, ::-1]), 0.125, turned, 0, 0.0, 0.0)
        ours, theirs = detector.detect(frame), detector.detect(mirror)
        if ours and theirs:
            flipped = theirs[0].palm_mm * np.array([-1, 1, 1])
            agreed.append(min(np.linalg.norm(flipped - c.palm_mm) for c in ours) < WITHIN_MM)
    assert len(agreed) > 8
    assert np.mean(agreed) > 0.8


def test_a_frame_takes_little_time(detector: HandDetector, scenes: SceneBatch) -> None:
    frame = frame_of(scenes, 0, 4)
    detector.detect(frame)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        detector.detect(frame)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.03


def test_the_palm_is_found_in_whole_real_scenes(detector: HandDetector, shared_data: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    folder = shared_data / "real" / "full-scene"
    about = json.loads((folder / "sequence.json").read_text())
    camera = Intrinsics(**about["intrinsics"])
    palms = np.load(folder / "palm_uv.npy")
    near = []
    for path, palm in zip(sorted((folder / "depth").glob("*.png")), palms, strict=True):
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        frame = DepthFrame(depth, about["depth_unit_m"] * 1000, camera, 0, 0.0, 0.0)
        candidates = detector.detect(frame)
        near.append(bool(candidates) and palm_error(candidates[0], palm, camera) < WITHIN_MM)
    assert np.mean(near) >= 0.9


def test_exported_and_torch_networks_agree(untrained: Path, scenes: SceneBatch) -> None:
    torch.manual_seed(1)
    net = DetectorNet(8).eval()
    session = HandDetector.load(untrained)._session
    depth = torch.where(scenes.depth[:1].isinf(), 0.0, scenes.depth[:1]).unsqueeze(1)
    score, u, v, z, shift = session.run(None, {"depth": depth.numpy(), "focal": scenes.focal[:1].numpy()})
    with torch.no_grad():
        truth = net(depth, scenes.focal[:1])
    np.testing.assert_allclose(score, truth.logit.sigmoid(), atol=1e-4)
    for ours, theirs in ((u, truth.u), (v, truth.v), (z, truth.z), (shift, truth.shift)):
        np.testing.assert_allclose(ours, theirs, atol=1e-2)


def rewritten(source: Path, target: Path, facts: dict[str, object] | None) -> Path:
    """The same network with another entry about itself."""
    graph = onnx.load(str(source))
    del graph.metadata_props[:]
    if facts is not None:
        entry = graph.metadata_props.add()
        entry.key, entry.value = "lumbrical", json.dumps(facts)
    onnx.save(graph, str(target))
    return target


@pytest.mark.parametrize("facts", [None, {"kind": "encoder"}, {"kind": "detector", "version": 99}, [1]])
def test_weights_of_another_kind_or_version_are_refused(untrained: Path, tmp_path: Path, facts: object) -> None:
    path = rewritten(untrained, tmp_path / "other.onnx", facts)  # type: ignore[arg-type]
    with pytest.raises(LumbricalError, match=r"other\.onnx") as caught:
        HandDetector.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07" * 500])
def test_broken_files_give_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(LumbricalError, match=r"broken\.onnx") as caught:
        HandDetector.load(path)
    assert "\n" not in str(caught.value)


def test_another_input_size_is_refused(tmp_path: Path, untrained: Path) -> None:
    graph = onnx.load(str(untrained))
    for value in (*graph.graph.input, *graph.graph.output):
        if value.name == "depth":
            value.type.tensor_type.shape.dim[3].dim_value = 192
    del graph.graph.value_info[:]
    path = tmp_path / "wide.onnx"
    onnx.save(graph, str(path))
    with pytest.raises(LumbricalError, match=r"wide\.onnx"):
        HandDetector.load(path)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match=r"train configs/detector\.toml"):
        HandDetector.load(tmp_path / "none.onnx")
    with pytest.raises(LumbricalError):
        HandDetector.load(tmp_path)


@pytest.mark.parametrize("threshold", ["low", 7.0, None])
def test_a_threshold_that_is_none_is_refused(tmp_path: Path, threshold: object) -> None:
    export_detector(DetectorNet(8), tmp_path / "d.onnx", {"threshold": threshold})
    with pytest.raises(LumbricalError, match="its threshold is"):
        HandDetector.load(tmp_path / "d.onnx")
