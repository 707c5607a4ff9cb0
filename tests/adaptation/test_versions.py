"""Versions on disk: whole or not at all, the newest kept, nothing believed unchecked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine.adaptation.versions import AdaptedHand, VersionStore
from engine.hand.relief import RELIEF_SIZE
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import load_weights
from engine.runners.onnx_runner import OnnxRunner
from engine.runners.torch_runner import TorchRunner
from engine.types import LumbricalError

HAND = AdaptedHand(np.linspace(-1, 1, 20), np.ones(6), np.zeros(100))


def test_a_hand_comes_back_and_is_used_only_when_told(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "new" / "user.right")
    assert store.current == 0 and store.numbers() == []
    version = store.add(HAND, None)
    assert version.number == 1 and version.weights is None and store.current == 0
    store.use(1)
    found = VersionStore(store.folder).load(store.current).hand
    assert found is not None and np.array_equal(found.beta, HAND.beta) and len(found.skin) == 100


def test_weights_run_alike_in_both_runners(tmp_path: Path) -> None:
    torch.manual_seed(2)
    encoder = Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)).eval()
    version = VersionStore(tmp_path).add(HAND, encoder)
    assert version.weights is not None and version.onnx is not None
    loaded = load_weights(version.weights)
    crops, distances = np.random.default_rng(1).uniform(-1, 1, (2, 128, 128)).astype(np.float32), np.full(2, 500.0)
    one = TorchRunner(loaded).run(crops, distances.astype(np.float32))
    other = OnnxRunner(loaded, path=version.onnx).run(crops, distances.astype(np.float32))
    assert np.abs(one.points - other.points).max() < 0.05


def test_the_oldest_go_but_not_the_one_in_use(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=2)
    for number in range(1, 5):
        store.add(HAND, None)
        if number == 1:
            store.use(1)
    assert store.numbers() == [1, 3, 4] and store.before(4) == 3 and store.before(1) == 0
    store.use(3)
    store.discard(4)
    assert store.add(HAND, None).number == 4 and store.current == 3


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    store.add(HAND, None)
    (tmp_path / "000001" / "hand.safetensors").write_bytes(b"no hand")
    with pytest.raises(LumbricalError, match=r"hand\.safetensors is damaged"):
        store.load(1)
    with pytest.raises(LumbricalError, match="no adapted version 7"):
        store.use(7)
    (tmp_path / "current.json").write_text("[" * 100_000)
    assert store.current == 0
    with pytest.raises(LumbricalError, match="beyond any hand"):
        store.add(AdaptedHand(np.full(20, 99.0), np.ones(6), np.zeros(3)), None)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LumbricalError, match="cannot be written"):
        VersionStore(tmp_path / "file").add(HAND, None)


def test_a_surface_comes_back_and_versions_without_one_still_load(tmp_path: Path) -> None:
    store, relief = VersionStore(tmp_path), np.linspace(-2, 2, RELIEF_SIZE)
    path = tmp_path / "000001" / "hand.safetensors"
    store.add(replace(HAND, relief=relief), None)
    found = store.load(1).hand
    assert found is not None and np.array_equal(found.relief, relief)
    arrays = {"beta": HAND.beta, "thickness": HAND.thickness, "skin": HAND.skin}
    save_file(arrays, path)
    found = store.load(1).hand
    assert found is not None and found.relief.shape == (RELIEF_SIZE,) and not found.relief.any()


@pytest.mark.parametrize("relief", [np.zeros(7), np.full(RELIEF_SIZE, 20.0), np.full(RELIEF_SIZE, np.nan)])
def test_a_surface_that_is_none_is_refused(tmp_path: Path, relief: np.ndarray) -> None:
    with pytest.raises(LumbricalError, match=r"hand\.safetensors is damaged"):
        VersionStore(tmp_path).add(replace(HAND, relief=relief), None)
