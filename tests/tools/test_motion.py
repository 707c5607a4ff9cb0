from pathlib import Path

import numpy as np
import pytest
import torch

from engine.geometry.rotations import euler_to_matrix
from engine.hand.skeleton import Skeleton
from engine.types import LumbricalError
from tools.build_pose_bank import farthest_points, main
from tools.demo_motion import Piece, looped
from tools.motion_fitting import fit_clip
from tools.motion_sources import Clip, read_intel, read_leap


def _clip(frames: int, seconds: float) -> tuple[Clip, torch.Tensor]:
    """A hand of another shape that closes halfway while its wrist turns, and its angles."""
    way = torch.linspace(0, 1, frames).unsqueeze(1)
    open_hand = torch.tensor([[0.1, 0.0, 0.1, 0.1] + 4 * [0.1, 0.02, 0.15, 0.1]])
    bent = torch.tensor([[0.2, -0.2, 0.4, 0.3] + 4 * [0.7, 0.0, 0.9, 0.5]])
    angles = (1 - way) * open_hand + way * bent
    skeleton = Skeleton()
    lengths = (1.1 * skeleton.bone_length_mean).expand(frames, 20)
    rotation = euler_to_matrix(torch.tensor([[0.3, 2.0, -0.7]]) + 0.4 * way)
    pose = skeleton.pose(torch.tensor([[40.0, 200.0, -30.0]]).expand(frames, 3), rotation, angles, lengths)
    joints = pose.joints.double().numpy()
    joints[:, 0] = np.nan
    return Clip("made up", joints, np.linspace(0, seconds, frames)), angles


def test_fit_finds_the_angles_without_a_wrist_to_go_by() -> None:
    clip, angles = _clip(6, 0.2)
    fitted = fit_clip(clip, steps=150)
    assert np.nanmean(fitted.residual_mm) < 1.5
    assert np.isnan(fitted.residual_mm[:, 0]).all()
    miss = np.abs(fitted.articulation - angles.numpy())
    # Bends are held by the points; sideways angles share the palm's own turn.
    assert miss.reshape(-1, 5, 4)[:, 1:, [0, 2, 3]].mean() < 0.1
    assert miss.mean() < 0.15


def test_looped_motion_ends_as_it_begins_and_keeps_rotations() -> None:
    clip, _ = _clip(60, 1.5)
    motion = looped((Piece("a", 0.0, 1.5), Piece("a", 0.0, 1.5, (0, 30, 0), pace=0.8)), {"a": clip}, 30.0, fit_steps=25)
    count = len(motion.articulation)
    assert count == len(motion.rotation) == len(motion.offset)
    assert torch.allclose(motion.rotation @ motion.rotation.mT, torch.eye(3).expand(count, 3, 3), atol=1e-4)
    steps = (motion.articulation - motion.articulation.roll(1, 0)).abs().amax(1)
    assert steps[0] < 1.5 * steps[1:].max()


def test_farthest_points_take_the_ends_before_the_middle() -> None:
    line = np.array([[0.0], [0.45], [0.5], [0.55], [1.0]], np.float32)
    chosen, radius = farthest_points(line, 3)
    assert sorted(chosen.tolist()) == [0, 2, 4]
    assert radius == pytest.approx(0.05)


def test_missing_and_wrong_files_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "leap.npz"
    np.savez(wrong, something=np.zeros(3))
    for path in (tmp_path / "none.npz", wrong):
        with pytest.raises(LumbricalError, match=path.name):
            read_leap(path)
    poses, model = tmp_path / "a.pose", tmp_path / "a.json"
    poses.write_text("1 2 3\n")
    model.write_text("{}")
    with pytest.raises(LumbricalError, match="pose bank"):
        read_intel(poses, model)
    assert main([str(wrong), str(poses), str(model), "--out", str(tmp_path / "bank.npz")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "bank.npz").exists()


def test_recordings_are_hands(shared_data: Path) -> None:
    motion = shared_data / "motion"
    clips = read_leap(motion / "leap.npz")
    assert len(clips) == 10
    intel = read_intel(motion / "intel-animbank.pose", motion / "intel-model_hand.json")
    assert intel.joints.shape == (2336, 21, 3)
    for clip in [*clips, intel]:
        index = np.linalg.norm(np.diff(clip.joints[:, 5:9], axis=1), axis=-1).mean(0)
        assert np.all((index > 12) & (index < 60)), clip.name
        assert index[0] > index[1]
        # A right hand bends its fingers to where (little to index knuckle) x (along the finger) points, a left one not.
        across, along = clip.joints[:, 5] - clip.joints[:, 17], clip.joints[:, 10] - clip.joints[:, 9]
        bend = np.einsum("ij,ij->i", np.cross(across, along), clip.joints[:, 12] - clip.joints[:, 11])
        assert (bend > 0).mean() > 0.95, clip.name
