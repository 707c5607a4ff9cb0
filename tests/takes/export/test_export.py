"""The one entry: kinds, names, whole files only, nothing overwritten unasked, and motions that cannot be posed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from engine.takes.export import EXPORT_KINDS, check_export, export_motion, kind_of
from engine.takes.motion import Motion
from engine.types import LumbricalError
from tests.takes.export.clips import fields_of, moving_hand

every_kind = pytest.mark.parametrize("kind", list(EXPORT_KINDS))
posing_kinds = pytest.mark.parametrize("kind", ["bvh", "bvh-rigid", "glb", "ply"])


def _target(folder: Path, kind: str) -> Path:
    return folder / f"take{EXPORT_KINDS[kind].suffix}"


def _refused(motion: Motion, path: Path, kind: str | None, says: str, **options: object) -> None:
    before = sorted(path.parent.rglob("*")) if path.parent.is_dir() else []
    with pytest.raises(LumbricalError, match=says) as told:
        export_motion(motion, path, kind, **options)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)
    assert (sorted(path.parent.rglob("*")) if path.parent.is_dir() else []) == before


@every_kind
def test_every_kind_says_what_it_wrote(tmp_path: Path, kind: str) -> None:
    path = _target(tmp_path, kind)
    told = export_motion(moving_hand(), path, kind)
    assert (told.path, told.kind, told.frames, told.lost_frames) == (path, EXPORT_KINDS[kind], 24, 6)
    files = [path] if path.is_file() else list(path.iterdir())
    assert told.byte_count == sum(file.stat().st_size for file in files) > 0
    assert list(tmp_path.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == (0o666 if path.is_file() else 0o777) & ~mask


@every_kind
def test_nothing_is_overwritten_unless_told(tmp_path: Path, kind: str) -> None:
    path = _target(tmp_path, kind)
    export_motion(moving_hand(), path, kind)
    _refused(moving_hand(frames=30), path, kind, "exists already")
    told = export_motion(moving_hand(frames=12, lost=()), path, kind, force=True)
    assert told.frames == 12 and list(tmp_path.iterdir()) == [path]
    assert path.is_file() or len(list(path.iterdir())) == 12


def test_a_folder_with_other_things_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "take"
    path.mkdir()
    (path / "000001.ply").touch()
    (path / "thesis.txt").write_text("years of work")
    _refused(moving_hand(), path, "ply", "holds|not a folder of exported meshes only", force=True)
    assert (path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").touch()
    _refused(moving_hand(), tmp_path / "file", "ply", "not a folder of exported meshes", force=True)


@every_kind
def test_an_export_that_fails_leaves_nothing_and_keeps_the_old(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _target(tmp_path, kind)
    export_motion(moving_hand(), path, kind)
    old = path.read_bytes() if path.is_file() else len(list(path.iterdir()))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.rename" if kind == "ply" else "os.replace", full)
    _refused(moving_hand(), path, kind, "cannot be written: No space left", force=True)
    assert (path.read_bytes() if path.is_file() else len(list(path.iterdir()))) == old


def test_what_appeared_while_it_was_writing_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(motion: Motion, path: Path) -> None:
        path.write_text("mine")
        (tmp_path / "take.csv").write_text("theirs")

    monkeypatch.setattr("engine.takes.export.write_csv", slow)
    with pytest.raises(LumbricalError, match="exists already"):
        export_motion(moving_hand(), tmp_path / "take.csv")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["theirs"]


def test_stopped_by_the_user_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.takes.export.write_meshes", stopped)
    monkeypatch.setattr("engine.takes.export.write_csv", stopped)
    for path, kind in ((tmp_path / "take.csv", "csv"), (tmp_path / "meshes", "ply")):
        with pytest.raises(KeyboardInterrupt):
            export_motion(moving_hand(), path, kind)
    assert list(tmp_path.iterdir()) == []


def test_old_meshes_come_back_when_the_new_cannot_take_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "take"
    export_motion(moving_hand(), path, "ply")
    rename, calls = os.rename, 0

    def second_fails(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr("os.rename", second_fails)
    _refused(moving_hand(frames=3, lost=()), path, "ply", "cannot be written", force=True)
    assert len(list(path.iterdir())) == 18 and calls == 3


def test_a_name_that_no_disk_takes(tmp_path: Path) -> None:
    _refused(moving_hand(), tmp_path / f"{'long' * 200}.bvh", None, "File name too long")
    _refused(moving_hand(), tmp_path / ("long" * 200), "ply", "File name too long")


def test_kinds_go_by_name_or_suffix() -> None:
    assert [kind_of(Path(f"a/take{s}")).name for s in (".bvh", ".GLB", ".csv", ".npz")] == ["bvh", "glb", "csv", "npz"]
    assert kind_of(Path("take.bvh"), "bvh-rigid").name == "bvh-rigid"
    assert kind_of(Path("folder"), "ply").name == "ply"
    assert all(name == kind.name and kind.summary for name, kind in EXPORT_KINDS.items())


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("take.fbx", None, "must end in .bvh, .csv, .glb, .npz"),
        ("take", None, "must end in"),
        ("take.ply", None, "name a folder"),
        ("take.ply", "ply", "without .ply"),
        ("take.csv", "ply", "without .csv"),
        ("take.csv", "bvh", "must end in .bvh"),
        ("take.bvh", "fbx", "choose from bvh, bvh-rigid, glb, csv, npz, ply"),
        ("absent/take.bvh", None, "does not exist"),
    ],
)
def test_names_that_fit_no_kind(tmp_path: Path, path: str, kind: str | None, says: str) -> None:
    _refused(moving_hand(), tmp_path / path, kind, says)
    with pytest.raises(LumbricalError, match=says):
        check_export(tmp_path / path, kind)


def test_a_folder_in_a_files_place(tmp_path: Path) -> None:
    (tmp_path / "take.bvh").mkdir()
    _refused(moving_hand(), tmp_path / "take.bvh", None, "is a folder", force=True)


@every_kind
def test_a_clip_without_frames(tmp_path: Path, kind: str) -> None:
    fields = fields_of(moving_hand())
    empty = Motion(**(fields | {name: rows[:0] for name, rows in fields.items() if isinstance(rows, np.ndarray)}))
    assert len(empty) == 0
    _refused(empty, _target(tmp_path, kind), kind, "has no frames")


@posing_kinds
def test_a_clip_without_a_hand(tmp_path: Path, kind: str) -> None:
    lost = Motion(**(fields_of(moving_hand()) | {"tracked": np.zeros(24, np.bool_)}))
    _refused(lost, _target(tmp_path, kind), kind, "no hand in any of its 24 frames")


@pytest.mark.parametrize("kind", ["bvh", "glb"])
def test_joints_that_are_not_thetas_are_told_with_their_frame(tmp_path: Path, kind: str) -> None:
    fields = fields_of(moving_hand())
    fields["joints_mm"][12, 8, 0] += 0.2
    _refused(Motion(**fields), _target(tmp_path, kind), kind, r"0\.2 mm off .* in frame 12")
    # A table says what it was given.
    export_motion(Motion(**fields), tmp_path / "take.csv")


@pytest.mark.parametrize("fps", [0.0, -30.0, float("nan"), float("inf")])
def test_rates_that_are_none(tmp_path: Path, fps: float) -> None:
    _refused(moving_hand(), tmp_path / "take.glb", None, "no usable rate", fps=fps)
