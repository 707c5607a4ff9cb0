"""Which array a name means, in which units, and what is refused before it is loaded."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.evaluation.joint_files import (
    DataSet,
    JointFile,
    find_predictions,
    find_truth,
    load_joints,
    nyu_joints_21,
)
from engine.geometry.camera import project
from engine.types import Intrinsics, LumbricalError

CAMERA = Intrinsics(1, 1, 500.0, 510.0, 320.0, 240.0)
IN_MM = DataSet(None, is_nyu=False)


def _hands(frames: int = 4, joints: int = 21) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 50, (frames, joints, 3)) + (0, 0, 600)


def _npz(path: Path, **arrays: NDArray[np.generic]) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return path


def _npy(path: Path, array: NDArray[np.generic]) -> Path:
    np.save(path, array)
    return path


def _header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _refused(path: Path, data_set: DataSet = IN_MM) -> str:
    """What loading the only array of a file says."""
    with pytest.raises(LumbricalError) as caught:
        load_joints(find_truth(str(path)), data_set)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_ground_truth_is_the_key_named_or_the_one_called_so_or_the_only_one(tmp_path: Path) -> None:
    named = _npz(tmp_path / "named.npz", a=_hands(), ground_truth=_hands())
    assert find_truth(f"{named}:a") == JointFile(named, "a")
    assert find_truth(str(named)).key == "ground_truth"
    assert find_truth(str(_npz(tmp_path / "one.npz", a=_hands()))).key == "a"
    assert find_truth(str(_npz(tmp_path / "track.npz", joints_mm=_hands(), state=np.zeros(4)))).key == "joints_mm"
    two = _npz(tmp_path / "two.npz", a=_hands(), b=_hands())
    with pytest.raises(LumbricalError, match=r"holds a, b: say which .*two.npz:a"):
        find_truth(str(two))
    with pytest.raises(LumbricalError, match="no array 'c', it holds a, b"):
        find_truth(f"{two}:c")


def test_predictions_are_all_arrays_but_the_ground_truth(tmp_path: Path) -> None:
    path = _npz(tmp_path / "all.npz", ground_truth=_hands(), a=_hands(), b=_hands())
    truth = find_truth(str(path))
    assert [file.key for file in find_predictions(str(path), truth)] == ["a", "b"]
    assert [file.key for file in find_predictions(str(path), find_truth(f"{path}:b"))] == ["a"]
    assert [file.key for file in find_predictions(f"{path}:b", truth)] == ["b"]
    tracked = _npz(tmp_path / "track.npz", joints_mm=_hands(), theta=np.zeros((4, 26)))
    assert [file.key for file in find_predictions(str(tracked), truth)] == ["joints_mm"]
    alone = _npz(tmp_path / "alone.npz", uvd=_hands())
    assert [file.key for file in find_predictions(str(alone), find_truth(str(alone)))] == ["uvd"]


def test_a_file_whose_name_has_a_colon_is_that_file(tmp_path: Path) -> None:
    path = _npy(tmp_path / "a.npz:b.npy", _hands())
    assert find_truth(str(path)) == JointFile(path, None)
    with pytest.raises(LumbricalError, match=r"only an .npz file has names; leave :c out"):
        find_truth(f"{path}:c")


def test_names_ending_in_uvd_are_pixels_and_depth(tmp_path: Path) -> None:
    hands = _hands()
    uvd = np.concatenate((project(hands, CAMERA), hands[..., 2:]), -1)
    path = _npz(tmp_path / "mixed.npz", hand_uvd=uvd, plain=hands)
    camera = DataSet(CAMERA, is_nyu=False)
    np.testing.assert_allclose(load_joints(JointFile(path, "hand_uvd"), camera), hands)
    np.testing.assert_allclose(load_joints(JointFile(path, "plain"), camera), hands)
    with pytest.raises(LumbricalError, match="--intrinsics fx,fy,cx,cy"):
        load_joints(JointFile(path, "hand_uvd"), IN_MM)
    by_file = _npz(tmp_path / "all_UVD.npz", a=uvd, joints_mm=hands)
    assert JointFile(by_file, "a").is_uvd and not JointFile(by_file, "joints_mm").is_uvd
    uvd[1, 2, 2] = 0
    assert "depths of 0 or less" in _refused(_npy(tmp_path / "zero_uvd.npy", uvd), camera)


def test_files_named_nyu_have_its_camera_and_its_36_joints_become_21(tmp_path: Path) -> None:
    hands = _hands(joints=36)
    truth = find_truth(str(_npy(tmp_path / "nyu_some.npy", hands)))
    data_set = DataSet.of(truth)
    assert data_set.camera is not None and data_set.camera.fx == 588.03
    loaded = load_joints(truth, data_set)
    np.testing.assert_array_equal(loaded, nyu_joints_21(hands))
    np.testing.assert_array_equal(loaded[:, [0, 4, 20]], hands[:, [35, 24, 0]])
    np.testing.assert_array_equal(loaded[:, 7], hands[:, 19:21].mean(1))
    assert DataSet.of(truth, CAMERA).camera == CAMERA
    other = find_truth(str(_npy(tmp_path / "other.npy", hands)))
    assert DataSet.of(other) == IN_MM
    assert load_joints(other, IN_MM).shape == (4, 36, 3)


def test_what_track_writes_is_read_with_its_gaps(tmp_path: Path) -> None:
    hands = _hands()
    hands[2] = np.nan
    lines = [{"number": i, "joints_mm": None if i == 2 else hand.tolist()} for i, hand in enumerate(hands)]
    text = tmp_path / "track.jsonl"
    text.write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.testing.assert_array_equal(load_joints(JointFile(text, None), IN_MM), hands)
    arrays = _npz(tmp_path / "track.npz", joints_mm=hands.astype(np.float32), side=np.array(["right"] * 4))
    np.testing.assert_allclose(load_joints(find_truth(str(arrays)), IN_MM), hands, rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("[1]", "line 1 is not a result"),
        ("{}", "line 1 is not a result"),
        ("[" * 100_000, "line 1 is not a result"),
        ('{"joints_mm": [[1, 2], [3]]}', "line 1 is not a result"),
        ('{"joints_mm": [[1, 2, 3]]}', r"shape \(1, 3\)"),
        ("", "is empty"),
    ],
)
def test_lines_that_track_did_not_write_are_refused(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "track.jsonl"
    path.write_text(line)
    with pytest.raises(LumbricalError, match=complaint):
        load_joints(JointFile(path, None), IN_MM)


def test_arrays_that_are_no_joints_are_refused(tmp_path: Path) -> None:
    hands = _hands()
    assert "shape (4, 63)" in _refused(_npy(tmp_path / "flat.npy", hands.reshape(4, 63)))
    assert "shape (0, 21, 3)" in _refused(_npy(tmp_path / "none.npy", hands[:0]))
    assert "int64 values" in _refused(_npy(tmp_path / "int.npy", hands.astype(np.int64)))
    assert "nothing but NaN" in _refused(_npy(tmp_path / "nan.npy", hands * np.nan))
    torn, infinite = hands.copy(), hands.copy()
    torn[1, 2, 0], infinite[1, 2, 0] = np.nan, np.inf
    assert "NaN in part" in _refused(_npy(tmp_path / "torn.npy", torn))
    assert "infinite" in _refused(_npy(tmp_path / "infinite.npy", infinite))
    assert "over 100000" in _refused(_npy(tmp_path / "far.npy", hands * 1e300))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    assert "never loaded" in _refused(tmp_path / "objects.npy")
    assert "never loaded" in _refused(_npz(tmp_path / "objects.npz", a=objects))
    for name in ("raw.npy", "raw.npz"):
        (tmp_path / name).write_bytes(pickle.dumps(_hands()))
        assert "is not a whole" in _refused(tmp_path / name)


def test_declared_sizes_are_not_believed(tmp_path: Path) -> None:
    absurd, lie = _header("(1000000000000, 21, 3)"), _header("(400000, 21, 3)")
    for name, data, complaint in (("absurd", absurd, "more than can be"), ("lie", lie + bytes(99), "not a whole")):
        (tmp_path / f"{name}.npy").write_bytes(data)
        assert complaint in _refused(tmp_path / f"{name}.npy")
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", data)
        assert complaint in _refused(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("text", ["-" * 9000 + "1", "(" * 500, "'''", "{[]: 1}", "\n  a\n b", "\0", "x"])
def test_headers_of_nonsense_are_damage(tmp_path: Path, text: str) -> None:
    header = text.encode() + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert "is not a whole .npy file" in _refused(tmp_path / "a.npy")


def test_damaged_missing_and_other_files_are_told(tmp_path: Path) -> None:
    whole = _npz(tmp_path / "whole.npz", a=_hands()).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for name, data in (("cut", whole[: len(whole) // 2]), ("flipped", bytes(flipped)), ("empty", b"")):
        (tmp_path / f"{name}.npz").write_bytes(data)
        assert "is not a whole .npz file" in _refused(tmp_path / f"{name}.npz")
    with zipfile.ZipFile(tmp_path / "bare.npz", "w") as archive:
        archive.writestr("read.me", "nothing")
    assert "holds no arrays" in _refused(tmp_path / "bare.npz")
    with zipfile.ZipFile(tmp_path / "escape.npz", "w") as archive:
        archive.writestr("a\x1b[31m.npy", "")
    assert "cannot be printed" in _refused(tmp_path / "escape.npz")
    (tmp_path / "joints.txt").write_text("1 2 3")
    for path, complaint in ((tmp_path / "no.npz", "does not exist"), (tmp_path / "joints.txt", "is not an .npz")):
        with pytest.raises(LumbricalError, match=complaint):
            find_truth(str(path))
    with pytest.raises(LumbricalError, match=r"is not an .npz"):
        find_truth(str(tmp_path))
