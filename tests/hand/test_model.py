from pathlib import Path

import numpy as np
import pytest
import torch

from engine.hand.gaussians import GaussianModel
from engine.hand.hand import HandModel
from engine.hand.model import rest_pose, sample_surface, skin_of
from engine.hand.skeleton import Skeleton
from engine.hand.template import HandTemplate, load_template
from engine.types import HandParameters, LumbricalError


def test_rest_pose_gives_the_template_back() -> None:
    template, skeleton = load_template(), Skeleton()
    points, normals = skin_of(template, skeleton)(rest_pose(skeleton), torch.zeros(1, 6))
    assert np.allclose(points[0].numpy(), template.vertices, atol=1e-3)
    assert np.allclose(normals[0].numpy(), template.normals, atol=1e-3)


def test_thickness_moves_the_surface_out_by_as_much() -> None:
    template, skeleton = load_template(), Skeleton()
    skin, pose = skin_of(template, skeleton), rest_pose(skeleton)
    thin, thick = (skin(pose, torch.full((1, 6), t))[0] for t in (0.0, 2.0))
    assert torch.allclose((thick - thin).norm(dim=-1), torch.tensor(2.0), atol=1e-3)


def test_tips_of_the_mesh_follow_long_bones() -> None:
    template, skeleton = load_template(), Skeleton()
    skin = skin_of(template, skeleton)
    beta = torch.zeros(1, 20)
    beta[0, 0] = 2.0
    pose = skeleton(torch.zeros(1, 26), beta)
    points, _ = skin(pose, torch.zeros(1, 6))
    for tip in (4, 8, 12, 16, 20):
        assert torch.cdist(pose.joints[:, tip : tip + 1], points).min() < 4.0


def test_sampled_points_lie_on_the_surface_and_cover_it() -> None:
    template, skeleton = load_template(), Skeleton()
    points, _ = sample_surface(template, 4000, skeleton)(rest_pose(skeleton), torch.zeros(1, 6))
    to_vertices = torch.cdist(points[0], torch.as_tensor(template.vertices, dtype=torch.float32))
    assert to_vertices.min(1).values.max() < 8.0
    assert to_vertices.min(0).values.max() < 8.0


def test_posed_hand_is_consistent_and_moves_rigidly() -> None:
    model = HandModel()
    theta = np.zeros(26, np.float32)
    still = model(HandParameters(theta, np.zeros(20, np.float32), np.zeros(6, np.float32), 1.0))
    theta[:3] = (10, 20, 500)
    moved = model(HandParameters(theta, np.zeros(20, np.float32), np.zeros(6, np.float32), 1.0))
    assert np.allclose(moved.joints - still.joints, (10, 20, 500), atol=1e-2)
    for name in ("vertices", "gaussian_means"):
        assert np.allclose(getattr(moved.surface, name) - getattr(still.surface, name), (10, 20, 500), atol=1e-2)
    assert np.array_equal(moved.surface.gaussian_sigmas, still.surface.gaussian_sigmas)


def test_a_posed_hand_is_what_the_differentiable_model_makes_of_it() -> None:
    random = np.random.default_rng(4)
    theta, beta, thickness = (random.normal(0, 0.5, size).astype(np.float32) for size in (26, 20, 6))
    theta[:3] = (10, 20, 500)
    hand, skeleton = HandModel()(HandParameters(theta, beta, thickness, 1.0)), Skeleton()
    pose = skeleton(*(torch.from_numpy(part)[None] for part in (theta, beta)))
    flesh = torch.from_numpy(thickness)[None]
    means, sigmas = GaussianModel(skeleton)(pose, flesh)
    assert np.allclose(hand.joints, pose.joints[0], atol=5e-3)
    assert np.allclose(hand.surface.vertices, skin_of(load_template(), skeleton)(pose, flesh)[0][0], atol=5e-3)
    assert np.allclose(hand.surface.gaussian_means, means[0], atol=5e-3)
    assert np.allclose(hand.surface.gaussian_sigmas, sigmas[0], atol=1e-4)


def test_gaussians_lie_within_the_hand_and_grow_with_thickness() -> None:
    skeleton = Skeleton()
    template = load_template()
    model = GaussianModel(skeleton)
    means, thin = model(rest_pose(skeleton), torch.zeros(1, 6))
    _, thick = model(rest_pose(skeleton), torch.full((1, 6), 2.0))
    low, high = template.vertices.min(0), template.vertices.max(0)
    assert ((means[0].numpy() > low) & (means[0].numpy() < high)).all()
    assert (thick > thin).all()


def test_broken_templates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match="not a hand template"):
        load_template(tmp_path / "none.npz")
    np.savez(tmp_path / "bad.npz", vertices=np.zeros((3, 3)))
    with pytest.raises(LumbricalError, match="not a hand template"):
        load_template(tmp_path / "bad.npz")


def test_templates_whose_arrays_are_wrong_are_refused(tmp_path: Path) -> None:
    good = {name: getattr(load_template(), name) for name in HandTemplate.__dataclass_fields__}
    vertices, faces = good["vertices"], good["faces"]
    for wrong, message in (
        ({"vertices": vertices[:, :2]}, "do not fit together"),
        ({"normals": vertices * np.nan}, "not all its numbers are finite"),
        ({"faces": faces[:, :2]}, "no triangles"),
        ({"faces": faces.astype(np.float32)}, "no triangles"),
        ({"faces": faces[:0]}, "no triangles"),
    ):
        np.savez(tmp_path / "t.npz", **{**good, **wrong})
        with pytest.raises(LumbricalError, match=message):
            load_template(tmp_path / "t.npz")
    np.savez(tmp_path / "t.npz", **good)
    (tmp_path / "t.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:5000])
    with pytest.raises(LumbricalError, match="not a hand template"):
        load_template(tmp_path / "t.npz")
