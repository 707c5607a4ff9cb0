"""Rigged glTF hands: brought to the skeleton's rest pose, whatever their pose, unit, frame and side."""

from __future__ import annotations

import base64
import json
import random
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.hand.hand import HandModel
from engine.hand.imports import load_hand
from engine.hand.template import HandTemplate, load_template
from engine.types import HandParameters, LumbricalError
from tests.hand.own_hand_files import Rig, document_of, glb, glb_of, own_rig, turned

Document = dict[str, Any]


@pytest.fixture(scope="module")
def own() -> Rig:
    return own_rig()


def loaded(folder: Path, data: bytes, name: str = "hand.glb") -> HandTemplate:
    path = folder / name
    path.write_bytes(data)
    return load_hand(path)


def bent(fingers: tuple[float, float, float, float], thumb: tuple[float, float, float, float]) -> np.ndarray:
    theta = np.zeros(26, np.float32)
    theta[6:10] = thumb
    theta[10:] = np.tile(fingers, 4)
    return theta


POSES = {
    "open": bent((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
    "spread": bent((-0.1, 0.2, 0.1, 0.0), (-0.3, -0.2, 0.0, 0.0)),
    "pinch": bent((0.7, 0.0, 0.8, 0.4), (0.3, 0.2, 0.4, 0.4)),
    "fist": bent((1.4, 0.0, 1.7, 1.0), (0.5, 0.3, 0.7, 0.7)),
}


def posed(template: HandTemplate, theta: np.ndarray, beta: np.ndarray | None = None) -> np.ndarray:
    shape = np.zeros(20, np.float32) if beta is None else beta
    return HandModel(template)(HandParameters(theta, shape, np.zeros(6, np.float32), 1.0)).surface.vertices


@pytest.mark.parametrize("pose", POSES)
def test_our_own_hand_comes_back(tmp_path: Path, own: Rig, pose: str) -> None:
    back, template = loaded(tmp_path, glb_of(own)), load_template()
    assert np.array_equal(back.faces, template.faces)
    far = np.linalg.norm(posed(back, POSES[pose]) - posed(template, POSES[pose]), axis=1)
    assert far.max() < 0.5


def test_our_own_hand_follows_other_bone_lengths(tmp_path: Path, own: Rig) -> None:
    beta = np.zeros(20, np.float32)
    beta[:3] = (2.0, -1.0, 1.0)
    back, template = loaded(tmp_path, glb_of(own)), load_template()
    far = np.linalg.norm(posed(back, POSES["pinch"], beta) - posed(template, POSES["pinch"], beta), axis=1)
    # The thumb's carpal bone has no WebXR joint: its skin goes to the wrist, and from there to all palm bones.
    assert np.median(far) < 0.1
    assert far.max() < 5.0


def test_arrays_are_a_template_s(tmp_path: Path, own: Rig) -> None:
    back, template = loaded(tmp_path, glb_of(own)), load_template()
    for name in ("vertices", "normals", "bone_weights", "thickness_weights"):
        array = getattr(back, name)
        assert array.dtype == np.float32 and np.isfinite(array).all()
    assert back.faces.dtype == np.int32
    np.testing.assert_allclose(np.linalg.norm(back.normals, axis=1), 1.0, atol=1e-5)
    assert np.median(np.einsum("ij,ij->i", back.normals, template.normals)) > 0.99
    for weights in (back.bone_weights, back.thickness_weights):
        assert weights.min() >= 0
        np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    assert (back.bone_weights > 0).sum(1).max() <= 4
    assert np.abs(back.thickness_weights - template.thickness_weights).mean() < 0.02


@pytest.mark.parametrize("has_axes", [True, False], ids=["axes", "places only"])
@pytest.mark.parametrize("is_left", [False, True], ids=["right", "left"])
def test_unit_frame_and_side_do_not_matter(tmp_path: Path, own: Rig, is_left: bool, has_axes: bool) -> None:
    rig = own.mirrored() if is_left else own
    rig = rig.moved(turned((0.5, -1.2, 2.5), scale=90.0, shift=(300.0, -2000.0, 70.0)))
    back = loaded(tmp_path, glb_of(rig if has_axes else rig.without_axes()))
    np.testing.assert_allclose(back.vertices, load_template().vertices, atol=0.05)
    assert np.einsum("ij,ij->i", back.normals, load_template().normals).min() > 0.5


def test_triangles_are_turned_outwards(tmp_path: Path, own: Rig) -> None:
    back = loaded(tmp_path, glb_of(replace(own, faces=own.faces[:, ::-1])))
    assert np.einsum("ij,ij->i", back.normals, load_template().normals).min() > 0.5


@pytest.mark.parametrize("has_axes", [True, False], ids=["axes", "places only"])
def test_a_bent_hand_is_laid_flat(tmp_path: Path, has_axes: bool) -> None:
    rig = own_rig(bent((0.3, 0.05, 0.4, 0.3), (0.2, 0.1, 0.3, 0.3)))
    back = loaded(tmp_path, glb_of(rig if has_axes else rig.without_axes()))
    far = np.linalg.norm(back.vertices - load_template().vertices, axis=1)
    assert np.median(far) < 0.2 and np.percentile(far, 95) < 2.5


def test_a_large_hand_takes_the_mean_lengths(tmp_path: Path) -> None:
    beta = np.zeros(20)
    beta[0] = 2.5
    back = loaded(tmp_path, glb_of(own_rig(beta=beta)))
    ends = [np.abs(t.vertices).max(0) for t in (back, load_template())]
    assert abs(ends[0][1] - ends[1][1]) < 1.0, "the middle finger's end"
    far = np.linalg.norm(back.vertices - load_template().vertices, axis=1)
    # The model's fingers grow in length only, so a long hand's are thinner once everything is scaled to the mean.
    assert np.median(far) < 2.5 and np.percentile(far, 95) < 6.0


def test_tips_inside_the_flesh_are_moved_to_its_end(tmp_path: Path, own: Rig) -> None:
    binds = own.binds.copy()
    for tip in (4, 8, 12, 16, 20):
        binds[tip, :3, 3] = 0.5 * (binds[tip, :3, 3] + binds[tip - 1, :3, 3])
    back = loaded(tmp_path, glb_of(replace(own, binds=binds)))
    assert np.linalg.norm(back.vertices - load_template().vertices, axis=1).max() < 0.8


def test_wrist_and_thumb_may_begin_elsewhere_along_their_rays(tmp_path: Path, own: Rig) -> None:
    binds = own.binds.copy()
    binds[0, :3, 3] -= 0.25 * (binds[9, :3, 3] - binds[0, :3, 3])
    binds[1, :3, 3] += 0.25 * (binds[2, :3, 3] - binds[1, :3, 3])
    back = loaded(tmp_path, glb_of(replace(own, binds=binds)))
    np.testing.assert_allclose(back.vertices, load_template().vertices, atol=0.05)


def test_split_and_unused_vertices_are_mended(tmp_path: Path, own: Rig) -> None:
    corner = own.faces.ravel()
    extra = np.full((1, 3), 5000.0)
    rig = replace(
        own,
        vertices=np.concatenate((own.vertices[corner], extra)),
        weights=np.concatenate((own.weights[corner], [[1, 0, 0, 0]])),
        weight_joints=np.concatenate((own.weight_joints[corner], [[0, 0, 0, 0]])),
        faces=np.arange(len(corner)).reshape(-1, 3),
    )
    assert len(loaded(tmp_path, glb_of(rig)).vertices) == len(load_template().vertices)


def test_other_spellings_missing_metacarpals_and_extra_joints(tmp_path: Path, own: Rig) -> None:
    rig = replace(own, names=[name.replace("-", "_").upper() for name in own.names[:21]] + ["a", "b", "c", "d"])
    document, binary = document_of(rig)
    # A twist bone that hangs on the index finger's proximal phalanx moves with it; the others go to the wrist.
    document["nodes"][5]["children"] = [21]
    back = loaded(tmp_path, glb(document, binary))
    moved = np.linalg.norm(posed(back, POSES["fist"]) - posed(back, POSES["open"]), axis=1)
    index = own.weight_joints[:, 0] == 21
    palm = own.weight_joints[:, 0] == 23
    assert np.median(moved[index]) > 3 * np.median(moved[palm])


def test_text_form_with_embedded_data(tmp_path: Path, own: Rig) -> None:
    document, binary = document_of(own)
    document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
    back = loaded(tmp_path, json.dumps(document).encode(), "hand.gltf")
    np.testing.assert_allclose(back.vertices, load_template().vertices, atol=0.05)


def test_quantised_positions_are_read(tmp_path: Path, own: Rig) -> None:
    document, binary = document_of(own)
    size = np.abs(own.vertices).max() * 1e-3
    steps = np.round(own.vertices * 1e-3 / size * 32767).astype("<i2")
    content = np.concatenate((steps, np.zeros((len(steps), 1), "<i2")), 1).tobytes()
    binds = np.frombuffer(binary[document["bufferViews"][4]["byteOffset"] :], "<f4", 400).reshape(25, 4, 4)
    binds = np.diag([size, size, size, 1]).astype("<f4") @ binds
    document["bufferViews"].append(
        {"buffer": 0, "byteOffset": len(binary), "byteLength": len(content), "byteStride": 8}
    )
    document["bufferViews"].append({"buffer": 0, "byteOffset": len(binary) + len(content), "byteLength": 1600})
    document["accessors"][0].update(bufferView=5, componentType=5122, normalized=True)
    document["accessors"][4]["bufferView"] = 6
    document["buffers"][0]["byteLength"] = len(binary) + len(content) + 1600
    document["extensionsRequired"] = ["KHR_mesh_quantization"]
    back = loaded(tmp_path, glb(document, binary + content + binds.tobytes()))
    np.testing.assert_allclose(back.vertices, load_template().vertices, atol=0.1)


def _set(*path: object, value: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def _drop(*path: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


_WRONG: dict[str, tuple[Callable[[Document], None], str]] = {
    "no skin": (_drop("skins"), "has no skin"),
    "a missing joint": (_set("nodes", 8, "name", value="bone"), "lacks WebXR joints in its skin: index-finger-tip;"),
    "no names": (_set("nodes", value=[{}] * 26), "wrist, thumb-metacarpal, thumb-phalanx-proximal and 18 more"),
    "no bind pose": (_drop("skins", 0, "inverseBindMatrices"), "without inverseBindMatrices"),
    "no mesh": (_drop("nodes", 25, "skin"), "no mesh that moves with the hand's skin"),
    "no weights": (_drop("meshes", 0, "primitives", 0, "attributes", "WEIGHTS_0"), "without skin weights"),
    "lines": (_set("meshes", 0, "primitives", 0, "mode", value=1), "not made of triangles"),
    "another file": (_set("buffers", 0, "uri", value="http://example.org/hand.bin"), "keeps its data in another file"),
    "a local file": (_set("buffers", 0, "uri", value="../hand.bin"), "keeps its data in another file"),
    "a huge buffer": (_set("buffers", 0, "byteLength", value=1 << 40), "byteLength is 1099511627776"),
    "a long buffer": (_set("buffers", 0, "byteLength", value=1 << 30), "a buffer declares 1073741824 bytes"),
    "a huge count": (_set("accessors", 0, "count", value=2_000_000_000), "50000 is the most"),
    "a long count": (_set("accessors", 0, "count", value=49_000), "reaches beyond its buffer view"),
    "a view too far": (_set("bufferViews", 0, "byteOffset", value=1 << 30), "reaches beyond its buffer"),
    "a view of nothing": (_set("accessors", 0, "bufferView", value=-1), "buffer view -1 is not there"),
    "overlapping elements": (_set("bufferViews", 4, "byteStride", value=4), "reaches beyond its buffer view"),
    "sparse": (_set("accessors", 0, "sparse", value={}), "sparse accessors"),
    "compressed": (_set("extensionsRequired", value=["KHR_draco_mesh_compression"]), "without compression"),
    "version 1": (_set("asset", "version", value="1.0"), "not a glTF 2 file"),
    "a wrong type": (_set("accessors", 0, "type", value="VEC2"), "not VEC3"),
    "nodes of nothing": (_set("skins", 0, "joints", value=[999]), "node 999 is not there"),
    "tables of numbers": (_set("skins", value=[1, 2]), "skins is not a list of objects"),
}


@pytest.mark.parametrize("case", _WRONG)
def test_a_wrong_file_gets_one_line(tmp_path: Path, own: Rig, case: str) -> None:
    change, words = _WRONG[case]
    document, binary = document_of(own)
    change(document)
    with pytest.raises(LumbricalError) as caught:
        loaded(tmp_path, glb(document, binary))
    assert words in str(caught.value) and "hand.glb" in str(caught.value)
    assert "\n" not in str(caught.value)


def _damaged_rig(own: Rig, case: str) -> Rig:
    if case == "vertex":
        return replace(own, vertices=np.where(np.arange(len(own.vertices))[:, None] == 7, np.nan, own.vertices))
    if case == "weight":
        return replace(own, weights=np.where(np.arange(len(own.weights))[:, None] == 7, np.nan, own.weights))
    if case == "unweighted":
        return replace(own, weights=np.where(np.arange(len(own.weights))[:, None] == 7, 0.0, own.weights))
    binds = own.binds.copy()
    if case == "together":
        binds[6, :3, 3] = binds[5, :3, 3]
    elif case == "stretched":
        binds[4, :3, 3] = binds[3, :3, 3] + 30 * (binds[3, :3, 3] - binds[2, :3, 3])
        return replace(own, binds=binds, weight_joints=np.where(own.weight_joints == 3, 2, own.weight_joints))
    elif case == "long":
        binds[3, :3, 3] = binds[2, :3, 3] + 9 * (binds[3, :3, 3] - binds[2, :3, 3])
    elif case == "line":
        binds[[0, 5, 9, 13, 17], :3, 3] = np.outer([0, 70, 80, 90, 100], (0, -1, 0))
    return replace(own, binds=binds)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("vertex", "not a finite number"),
        ("weight", "not a finite number"),
        ("unweighted", "no joint moves"),
        ("together", "two joints in one place, index_mcp and index_pip"),
        ("stretched", "no vertices that follow the bone before thumb_tip"),
        ("long", "thumb_mcp to thumb_ip is 9 times as long"),
        ("line", "in one line"),
    ],
)
def test_a_rig_that_is_no_hand_gets_one_line(tmp_path: Path, own: Rig, case: str, words: str) -> None:
    with pytest.raises(LumbricalError, match=words):
        loaded(tmp_path, glb_of(_damaged_rig(own, case)))


def test_a_flat_hand_without_axes_needs_a_name(tmp_path: Path, own: Rig) -> None:
    rig = own.without_axes()
    rig.binds[:21, 2, 3] = 0.0
    with pytest.raises(LumbricalError, match="put left or right into the file's name"):
        loaded(tmp_path, glb_of(rig))
    right, left = (loaded(tmp_path, glb_of(rig), f"{name}_hand.glb") for name in ("Right", "LEFT"))
    palm = load_template().vertices[:, 2].argmin()
    assert right.vertices[palm, 2] < 0 < left.vertices[palm, 2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither a glTF hand"),
        (b"solid hand\nfacet normal", "neither a glTF hand"),
        (b"glTF", "ends within its header"),
        (struct.pack("<4sIIII", b"glTF", 2, 1 << 31, 0, 0), "declares 2147483648 bytes and has 20"),
        (struct.pack("<4sIIII", b"glTF", 1, 20, 0, 0), "not a glTF 2 file"),
        (b'{"asset": ', "its JSON"),
        (b'{"asset": {"version": "2.0"}}', "has no skin"),
        (b'{"a":' * 100_000, "its JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "its JSON"),
        (b"\x80\x04cos\nsystem\n", "is a Python pickle"),
    ],
)
def test_something_else_gets_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(LumbricalError, match=words):
        loaded(tmp_path, data)


def test_no_file_and_a_folder_get_one_line(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match="cannot be read: No such file"):
        load_hand(tmp_path / "none.glb")
    with pytest.raises(LumbricalError, match="is not a file"):
        load_hand(tmp_path)


def test_damaged_files_never_do_more_than_fail(tmp_path: Path, own: Rig) -> None:
    whole, chance = glb_of(own), random.Random(5)
    json_end = 20 + struct.unpack_from("<I", whole, 12)[0]
    start_s, failed = time.monotonic(), 0
    for case in range(200):
        data = bytearray(whole)
        if case % 4 == 0:
            del data[chance.randrange(len(data)) :]
        else:
            # The text breaks a file in more ways than the numbers do, so most flips go there.
            for _ in range(chance.choice((1, 3, 20))):
                data[chance.randrange(json_end if case % 4 < 3 else len(data))] = chance.randrange(256)
        try:
            loaded(tmp_path, bytes(data))
        except LumbricalError as error:
            failed += 1
            assert "\n" not in str(error)
    assert failed > 100
    assert time.monotonic() - start_s < 60
