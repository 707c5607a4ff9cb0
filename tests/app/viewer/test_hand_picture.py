"""Pictures of poses and of residuals, as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from app.viewer.hand_picture import HandPainter
from calibration.frames import Build
from calibration.poses import CATALOGUE
from engine.types import Side

SIZE = 96


@pytest.fixture(scope="module")
def painter() -> HandPainter:
    return HandPainter()


def test_pictures_show_the_poses(painter: HandPainter) -> None:
    pictures = [painter.pose(pose, SIZE) for pose in CATALOGUE[:3]]
    assert pictures[0].shape == (SIZE, SIZE, 4) and pictures[0].dtype == np.uint8
    shown = pictures[0][..., 3] > 128
    assert 0.1 < shown.mean() < 0.6
    rows, columns = np.nonzero(shown)
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    assert np.allclose(middle, (SIZE - 1) / 2, atol=1.5), "the hand is in the middle"
    assert not np.array_equal(pictures[0], pictures[1])
    left = HandPainter(Side.LEFT).pose(CATALOGUE[0], SIZE)
    assert np.array_equal(left, pictures[0][:, ::-1])


def test_a_surface_has_no_holes(painter: HandPainter) -> None:
    alpha = painter.pose(CATALOGUE[0], 200)[..., 3]
    around = [alpha[2 + dy : 198 + dy, 2 + dx : 198 + dx] for dy, dx in ((-2, 0), (2, 0), (0, -2), (0, 2))]
    inside = np.min(around, axis=0) == 255
    assert inside.sum() > 1000 and (alpha[2:198, 2:198][inside] == 255).mean() > 0.998


def test_residuals_are_coloured(painter: HandPainter) -> None:
    count = len(painter._template.vertices)
    near, far, unseen = (painter.heat(Build.mean(), np.full(count, mm), SIZE)[0] for mm in (0.5, 12.0, np.nan))
    middle = (SIZE * 2 // 3, SIZE // 2)
    assert near[middle][1] > near[middle][0] and far[middle][0] > far[middle][1]
    assert np.ptp(unseen[middle][:3].astype(int)) < 40
