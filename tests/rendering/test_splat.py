import torch

from engine.rendering.primitives import box_depth, cylinder_depth, ellipsoid_depth, plane_depth
from engine.rendering.splat import splat_depth, splat_depth_reference


def test_splat_matches_its_reference() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(2, 300, 3, generator=generator) * 300 - 150
    points[..., 2] += 400
    facing = torch.rand(2, 300, generator=generator) < 0.7
    focal = torch.tensor([40.0, 60.0])
    for mask in (None, facing):
        fast = splat_depth(points, focal, 15.5, 32, mask)
        assert torch.equal(fast, splat_depth_reference(points, focal, 15.5, 32, mask))
        assert fast.isfinite().any()


def test_points_behind_the_camera_are_not_drawn() -> None:
    points = torch.tensor([[[0.0, 0.0, -100.0]]])
    assert splat_depth(points, torch.tensor([50.0]), 15.5, 32).isinf().all()


def _rays(count: int = 400) -> torch.Tensor:
    return torch.rand(1, count, 2, generator=torch.Generator().manual_seed(1)) - 0.5


def _hits(depth: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
    hit = depth[0].isfinite()
    assert 0 < hit.sum() < len(hit)
    return torch.cat((rays[0, hit], torch.ones(int(hit.sum()), 1)), 1) * depth[0, hit, None]


def test_ellipsoid_hits_satisfy_its_equation() -> None:
    rays, centre, half = _rays(), torch.tensor([[5.0, -3, 300]]), torch.tensor([[40.0, 60, 80]])
    points = _hits(ellipsoid_depth(rays, centre, torch.eye(3)[None], half), rays)
    assert torch.allclose(((points - centre) / half).square().sum(1), torch.tensor(1.0), atol=1e-3)


def test_cylinder_hits_lie_on_the_mantle_within_its_length() -> None:
    rays, centre, half = _rays(), torch.tensor([[0.0, 0, 300]]), torch.tensor([[20.0, 60, 30]])
    local = (_hits(cylinder_depth(rays, centre, torch.eye(3)[None], half), rays) - centre) / half
    assert torch.allclose(local[:, [0, 2]].square().sum(1), torch.tensor(1.0), atol=1e-3)
    assert (local[:, 1].abs() <= 1.0001).all()


def test_box_hits_lie_on_its_faces() -> None:
    rays, centre, half = _rays(), torch.tensor([[0.0, 0, 300]]), torch.tensor([[40.0, 30, 20]])
    local = ((_hits(box_depth(rays, centre, torch.eye(3)[None], half), rays) - centre) / half).abs()
    assert torch.allclose(local.amax(1), torch.tensor(1.0), atol=1e-3)


def test_plane_depth_is_exact() -> None:
    rays = _rays()
    depth = plane_depth(rays, torch.tensor([[0.0, 0, 500]]), torch.tensor([[0.0, 0, -1]]))
    assert torch.allclose(depth, torch.tensor(500.0))
