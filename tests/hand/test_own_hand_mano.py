"""MANO models: converted without ever running what is in the pickle, then fitted like any other hand."""

from __future__ import annotations

import io
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.hand.imports import load_hand
from engine.types import LumbricalError
from tests.hand.own_hand_files import made_up_mano, mano_pickle, turned
from tools.convert_mano import convert

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "convert_mano.py"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(mano_pickle(made_up_mano(), monkeypatch))
    monkeypatch.undo()
    return path


@pytest.fixture
def converted(model: Path) -> Path:
    target = model.with_suffix(".npz")
    convert(model, target)
    return target


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_converted_model_becomes_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    mano = made_up_mano()
    source, target = tmp_path / "m.pkl", tmp_path / "m.npz"
    source.write_bytes(mano_pickle(mano, monkeypatch, protocol))
    convert(source, target)
    template = load_hand(target)
    used = np.unique(mano.faces)
    # It was built around the resting skeleton, so nothing of it may move; the order is that of the file.
    np.testing.assert_allclose(template.vertices, 1000 * mano.v_template[used], atol=0.1)
    groups = [0, *(4 * finger + k for finger in (1, 2, 4, 3, 0) for k in (1, 2, 3))]
    own = template.bone_weights[:, groups[1:]]
    np.testing.assert_allclose(own, mano.weights[used][:, 1:], atol=1e-6)


def test_a_left_model_is_mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mano = made_up_mano()
    right = 1000 * mano.v_template[np.unique(mano.faces)]
    turn = turned((0.3, 2.0, -1.0))[:3, :3]
    mano.v_template = (mano.v_template * (1, -1, 1)) @ turn.T
    (tmp_path / "m.pkl").write_bytes(mano_pickle(mano, monkeypatch))
    convert(tmp_path / "m.pkl", tmp_path / "m.npz")
    np.testing.assert_allclose(load_hand(tmp_path / "m.npz").vertices, right, atol=0.1)


class _Payload:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.arguments


def _payloads(mark: Path) -> dict[str, Any]:
    return {
        "os.system": _Payload(os.system, f"touch {mark}"),
        "eval": _Payload(eval, f"open({str(mark)!r}, 'w')"),
        "open": _Payload(open, str(mark), "w"),
        "subprocess": _Payload(subprocess.Popen, ["touch", str(mark)]),
        "getattr": _Payload(getattr, "", "join"),
        "numpy.load": _Payload(np.load, "x.npy"),
        "numpy.memmap": _Payload(np.memmap, str(mark), "u1", "w+", 0, 8),
        "pickle.loads": _Payload(pickle.loads, b"."),
    }


@pytest.mark.parametrize("name", _payloads(Path("x")))
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    mark = tmp_path / "ran"
    payload = _payloads(mark)[name]
    source = tmp_path / "m.pkl"
    source.write_bytes(pickle.dumps({"v_template": payload, "nested": [{"x": (payload,)}]}, protocol))
    with pytest.raises(LumbricalError, match="was not opened: it asks for"):
        convert(source, tmp_path / "m.npz")
    assert not mark.exists() and not (tmp_path / "m.npz").exists()
    with pytest.raises(LumbricalError, match=r"pickle|neither"):
        load_hand(source)
    assert not mark.exists()


def test_names_behind_a_dot_reach_nothing(tmp_path: Path) -> None:
    source = tmp_path / "m.pkl"
    source.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.")
    with pytest.raises(LumbricalError, match="was not opened: it asks for"):
        convert(source, tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a readable pickle"),
        (b"\x80\x02}", "not a readable pickle"),
        (pickle.dumps([1, 2]), "is not a MANO model"),
        (pickle.dumps({"v_template": np.zeros((778, 3))}), "has no usable weights"),
        (pickle.dumps({"v_template": np.zeros((5, 3))}), "has no usable v_template"),
        (pickle.dumps({"v_template": np.array([{}], object)}), "has no usable v_template"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "not a readable pickle"),
    ],
)
def test_another_pickle_gets_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    source = tmp_path / "m.pkl"
    source.write_bytes(content)
    with pytest.raises(LumbricalError, match=words):
        convert(source, tmp_path / "m.npz")


def test_damaged_pickles_never_do_more_than_fail(model: Path, tmp_path: Path) -> None:
    whole, chance, failed = model.read_bytes(), random.Random(3), 0
    # What is not numbers: the first and last of it and the places between the arrays.
    sensitive = [i for i in range(len(whole)) if i < 400 or i > len(whole) - 400]
    for case in range(200):
        data = bytearray(whole)
        if case % 4 == 0:
            del data[chance.randrange(len(data)) :]
        for _ in range(chance.choice((1, 3, 20))):
            place = chance.choice(sensitive) if case % 4 < 3 else chance.randrange(len(data))
            if place < len(data):
                data[place] = chance.randrange(256)
        model.write_bytes(bytes(data))
        try:
            convert(model, tmp_path / "m.npz", force=True)
            load_hand(tmp_path / "m.npz")
        except LumbricalError:
            failed += 1
    assert failed > 50


def test_damaged_archives_never_do_more_than_fail(converted: Path) -> None:
    whole, chance, failed = converted.read_bytes(), random.Random(4), 0
    for case in range(200):
        data = bytearray(whole)
        if case % 4 == 0:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.choice((1, 5))):
                data[chance.randrange(len(data))] = chance.randrange(256)
        converted.write_bytes(bytes(data))
        try:
            load_hand(converted)
        except LumbricalError:
            failed += 1
    assert failed > 150


def _npz(changes: dict[str, Any], source: Path) -> bytes:
    with np.load(source, allow_pickle=False) as archive:
        arrays = {**{name: archive[name] for name in archive.files}, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": None}, "lacks weights"),
        ({"J": np.zeros((15, 3))}, "do not fit together"),
        ({"J": np.full((16, 3), np.nan)}, "not finite"),
        ({"J": np.zeros((16, 3))}, "two joints in one place, wrist and thumb_cmc"),
        ({"weights": np.zeros((778, 24))}, r"weights is float64 \(778, 24\)"),
        ({"faces": np.full((9, 3), 778)}, "vertices that are not there"),
        ({"tip_vertices": np.full(5, -1)}, "vertices that are not there"),
        ({"v_template": np.array([{}], object)}, "v_template is not an array of numbers"),
        ({"v_template": np.zeros((60_000, 3))}, "v_template is float64"),
        ({"v_template": np.float64(3)}, "v_template is float64"),
    ],
)
def test_another_archive_gets_one_line(converted: Path, changes: dict[str, Any], words: str) -> None:
    converted.write_bytes(_npz(changes, converted))
    with pytest.raises(LumbricalError, match=words):
        load_hand(converted)


def test_a_member_that_declares_more_than_it_has_is_refused(converted: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(converted) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "v_template.npy":
                content = content.replace(b"(778, 3), }    ", b"(49000, 3), }  ")
                assert b"49000" in content
            new.writestr(name, content)
    converted.write_bytes(buffer.getvalue())
    with pytest.raises(LumbricalError, match="v_template ends early"):
        load_hand(converted)


def test_the_script_says_what_it_did_and_what_is_wrong(model: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)

    done = run(model, tmp_path / "own.npz")
    assert done.returncode == 0 and "--hand" in done.stdout, done.stderr
    again = run(model, tmp_path / "own.npz")
    assert again.returncode == 2 and "--force" in again.stderr and len(again.stderr.splitlines()) == 1
    assert run(model, tmp_path / "own.npz", "--force").returncode == 0
    missing = run(tmp_path / "none.pkl", tmp_path / "other.npz")
    assert missing.returncode == 2 and len(missing.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("tmp*"))
