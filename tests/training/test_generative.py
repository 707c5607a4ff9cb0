"""The loss on recorded crops: what it asks for, what labels and slack do to it, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import Encoding
from engine.methods.gaussian.energies import EnergyConfig
from engine.training.generative import GenerativeLoss, slacken
from engine.training.losses import LossWeights
from engine.training.renders import HandRenderer, RenderConfig, RenderedBatch
from engine.training.shares import cut
from engine.types import LumbricalError


@pytest.fixture(scope="module")
def recorded() -> RenderedBatch:
    """Rendered hands as if they were recorded: nothing known."""
    config = RenderConfig(points=4000, noise=False, clutter=False, empty_fraction=0.0, left_fraction=0.0)
    batch = HandRenderer(config, 5).batch(6)
    return replace(batch, pose_known=torch.zeros(6, dtype=torch.bool), joints_known=torch.zeros(6, 21).bool())


def _truth(batch: RenderedBatch, moved_mm: float = 0.0) -> Encoding:
    """An encoder that knows all, but for a shift of the hand along x."""
    count = len(batch.depth)
    shift = torch.tensor([moved_mm, 0.0, 0.0])
    return Encoding(
        points=batch.joints + shift,
        log_sigma=torch.zeros(count, 21),
        translation=batch.joints[:, 0] + shift,
        rotation=batch.rotation,
        articulation=batch.articulation,
        beta=batch.beta,
        thickness=batch.thickness,
        hand_logit=torch.zeros(count),
        right_logit=torch.zeros(count),
    )


def _loss(encoding: Encoding, batch: RenderedBatch, slack_mm: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
    return GenerativeLoss(EnergyConfig(slack_mm=slack_mm), Skeleton())(encoding, batch, LossWeights())


def test_without_labels_it_is_least_where_the_hand_is(recorded: RenderedBatch) -> None:
    right, parts = _loss(_truth(recorded), recorded)
    assert parts["agree"] < 1e-4
    assert all(_loss(_truth(recorded, moved), recorded)[0] > right + 0.005 for moved in (-10.0, 10.0))


def test_its_slope_leads_back_to_the_hand(recorded: RenderedBatch) -> None:
    off = _truth(recorded, 8.0)
    translation = off.translation.clone().requires_grad_()
    _loss(off._replace(translation=translation, points=translation.detach()[:, None] + 0 * off.points), recorded)[1][
        "dissim"
    ].backward()
    assert translation.grad is not None and (translation.grad[:, 0] > 0).sum() >= 5


def test_head_and_hand_that_differ_cost_something(recorded: RenderedBatch) -> None:
    apart = _truth(recorded)._replace(points=recorded.joints + 10)
    assert _loss(apart, recorded)[0] > _loss(_truth(recorded), recorded)[0] + 0.1


def test_labels_pull_beyond_their_slack(recorded: RenderedBatch) -> None:
    known = recorded.joints_known.clone()
    known[:, 4] = True
    wrong = replace(recorded, joints=recorded.joints + torch.tensor([0.0, 0.0, 20.0]), joints_known=known)
    said = _truth(recorded)
    free = _loss(said, recorded)[1]["energy"]
    assert _loss(said, wrong)[1]["energy"] == pytest.approx(float(free) + 0.001 * 20**2, rel=1e-3)
    assert _loss(said, wrong, slack_mm=15.0)[1]["energy"] == pytest.approx(float(free) + 0.001 * 5**2, rel=1e-3)
    assert _loss(said, wrong, slack_mm=25.0)[1]["energy"] == pytest.approx(float(free), rel=1e-5)


def test_slack_moves_labels_of_recorded_crops_alone(recorded: RenderedBatch) -> None:
    points = recorded.joints + torch.tensor([0.0, 30.0, 0.0])
    points[1] = recorded.joints[1] + torch.tensor([0.0, 4.0, 0.0])
    some = replace(recorded, pose_known=torch.arange(6) == 2)
    left = (points - slacken(some, points, 10.0).joints)[..., 1]
    assert torch.allclose(left[0], torch.tensor(20.0), atol=1e-3)
    assert torch.allclose(left[1], torch.tensor(0.0), atol=1e-3)
    assert torch.allclose(left[2], torch.tensor(30.0), atol=1e-3)
    assert torch.equal(slacken(some, points, 0.0).joints, some.joints)


def test_rendered_crops_have_no_say(recorded: RenderedBatch) -> None:
    some = replace(recorded, pose_known=torch.arange(6) >= 4)
    spoiled = _truth(some)
    spoiled.translation[4:] += 50
    assert torch.allclose(_loss(spoiled, some)[0], _loss(_truth(cut(some, slice(0, 4))), cut(some, slice(0, 4)))[0])


def test_shares_of_a_batch_add_up(recorded: RenderedBatch) -> None:
    generative = GenerativeLoss(EnergyConfig(), Skeleton())
    said = _truth(recorded, 5.0)
    parts = []
    for share in (slice(0, 2), slice(2, 6)):
        own = Encoding(*(part[share] for part in said))
        parts.append(generative(own, cut(recorded, share), LossWeights(), lambda _: torch.tensor(6.0))[0])
    assert torch.allclose(torch.stack(parts).sum(), generative(said, recorded, LossWeights())[0])


def test_pixels_that_are_no_number_were_not_seen_and_estimates_that_are_none_are_refused(
    recorded: RenderedBatch,
) -> None:
    holes = {}
    for hole in (float("nan"), float("inf")):
        depth = recorded.depth.clone()
        depth[:, 60:64, 60:64] = hole
        holes[hole] = _loss(_truth(recorded), replace(recorded, depth=depth))[0]
    assert len({float(loss) for loss in holes.values()}) == 1
    lost = _truth(recorded)
    lost.beta[0, 0] = float("nan")
    with pytest.raises(LumbricalError, match="not finite"):
        _loss(lost, recorded)
