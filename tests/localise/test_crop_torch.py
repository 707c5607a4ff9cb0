"""Crops cut in torch are those that numpy cuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.localise.crop import cut, look_at
from engine.localise.crop_torch import TorchCutter
from engine.types import DepthFrame, Intrinsics

CAMERA = Intrinsics(320, 240, 240.0, 242.0, 158.0, 121.0)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_several_windows_at_once_are_cut_as_one_by_one(device: str) -> None:
    random = np.random.default_rng(3)
    depth = random.integers(3000, 7000, (240, 320)).astype(np.uint16)
    depth[random.uniform(size=depth.shape) < 0.2] = 0
    frame = DepthFrame(depth, 0.1, CAMERA, 0, 0.0, 0.0)
    windows = [
        look_at(np.array([0.0, 0.0, 500.0])),
        look_at(np.array([-150.0, 80.0, 450.0]), mirrored=True, roll=0.7),
        look_at(np.array([400.0, 0.0, 600.0]), roll=-2.0),  # beyond the image's edge
        look_at(np.array([0.0, 300.0, 30.0])),  # steep: much of it is out of view or behind
    ]
    crops = TorchCutter(device).cut(torch.from_numpy(depth.astype(np.int32)).to(device), 0.1, CAMERA, windows)
    assert crops.dtype == torch.float32 and crops.shape == (4, 128, 128)
    expected = np.stack([cut(frame, window) for window in windows])
    assert (expected[:3] < 1).any((1, 2)).all()
    # A ray between two pixels may take either; here every pixel differs from the next.
    assert (np.abs(crops.cpu().numpy() - expected) < 1e-4).mean() > 0.999
