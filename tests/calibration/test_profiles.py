"""Profiles on disk: they come back as they were, and nothing else is believed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.frames import Build
from calibration.profiles import BadProfile, Profile, ProfileStore, adapted_folder, read_profile, write_profile
from engine.fitting.kinematics import Kinematics
from engine.hand.relief import RELIEF_SIZE
from engine.types import LumbricalError, Side


def a_profile(user: str = "Ann", side: Side = Side.RIGHT) -> Profile:
    random = np.random.default_rng(0)
    root = random.normal(size=(26, 26))
    build = Build(
        random.normal(0, 1, 20), random.normal(0, 1, 6), random.normal(0, 2, 100), random.normal(0, 1, RELIEF_SIZE)
    )
    return Profile(user, side, build, 0.01 * root @ root.T, 120, "a camera", "2026-01-02T03:04:05+00:00", 4.0, 2.5)


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "profiles")


def test_a_profile_comes_back(store: ProfileStore) -> None:
    profile = a_profile()
    path = store.save(profile)
    again = store.load("Ann", Side.RIGHT)
    assert np.allclose(again.build.vector, profile.build.vector, atol=1e-5)
    assert np.allclose(again.build.relief, profile.build.relief, atol=1e-5)
    assert np.allclose(again.covariance, profile.covariance, atol=1e-7)
    assert replace(again, build=profile.build, covariance=profile.covariance) == profile
    assert [p.name for p in store.folder.iterdir()] == [path.name] == ["Ann.right.json"]


def test_what_belongs_to_a_profile_goes_where_it_goes(store: ProfileStore) -> None:
    store.save(a_profile())
    store.keep_previous("Ann", Side.RIGHT)
    store.save(a_profile())
    learnt, left = (adapted_folder(who, Side.RIGHT, store.folder) for who in ("Ann", "Eve"))
    (learnt / "000001").mkdir(parents=True)
    (left / "000009").mkdir(parents=True)
    store.rename("Ann", Side.RIGHT, "Eve")
    assert sorted(p.name for p in store.folder.iterdir()) == ["Eve.right.json", "Eve.right.previous", "adapted"]
    assert read_profile(store.folder / "Eve.right.previous").user == "Eve"
    assert [p.name for p in adapted_folder("Eve", Side.RIGHT, store.folder).iterdir()] == ["000001"]
    store.delete("Eve", Side.RIGHT)
    assert [p.name for p in store.folder.iterdir()] == ["adapted"] and not any((store.folder / "adapted").iterdir())


def test_a_damaged_file_that_was_put_aside_is_in_no_ones_way(store: ProfileStore) -> None:
    store.save(a_profile())
    store.keep_previous("Ann", Side.RIGHT).write_text("{")
    store.save(a_profile())
    store.rename("Ann", Side.RIGHT, "Eve")
    assert [p.name for p in store.folder.iterdir()] == ["Eve.right.json"]


def test_a_name_that_a_profile_has_already_costs_nothing(store: ProfileStore) -> None:
    store.save(a_profile())
    with pytest.raises(BadProfile, match="already"):
        store.rename("Ann", Side.RIGHT, "Ann")
    assert store.load("Ann", Side.RIGHT).user == "Ann"


def test_the_file_says_its_bones_in_words(store: ProfileStore) -> None:
    profile = a_profile()
    source = json.loads(store.save(profile).read_text(encoding="utf-8"))
    estimate = profile.estimate(Kinematics())
    assert source["bones_mm"]["index proximal phalanx"]["length"] == round(estimate.lengths_mm[5], 1)
    assert source["software_version"] and source["residual_after_mm"] == 2.5


def test_what_was_not_measured_is_null(store: ProfileStore) -> None:
    path = store.save(replace(a_profile(), residual_before_mm=float("nan")))
    assert json.loads(path.read_text(encoding="utf-8"))["residual_before_mm"] is None
    assert np.isnan(store.load("Ann", Side.RIGHT).residual_before_mm)


def test_a_profile_of_the_first_version_has_no_relief(store: ProfileStore) -> None:
    path = store.save(a_profile())
    source = json.loads(path.read_text(encoding="utf-8"))
    del source["relief_mm"]
    path.write_text(json.dumps(source | {"format_version": 1}), encoding="utf-8")
    again = read_profile(path)
    assert np.allclose(again.build.skin, a_profile().build.skin, atol=1e-5) and not again.build.relief.any()


def test_names_and_sides_are_kept_apart(store: ProfileStore) -> None:
    for user, side in (("Ann", Side.RIGHT), ("Ann", Side.LEFT), ("Jürgen B.-2", Side.RIGHT)):
        store.save(a_profile(user, side))
    assert [(p.user, p.side) for p in store.all()[0]] == [
        ("Ann", Side.LEFT), ("Ann", Side.RIGHT), ("Jürgen B.-2", Side.RIGHT),
    ]  # fmt: skip
    assert store.sides("Ann") == [Side.RIGHT, Side.LEFT]
    store.rename("Ann", Side.LEFT, "Eve")
    assert store.load("Eve", Side.LEFT).user == "Eve" and store.sides("Ann") == [Side.RIGHT]
    with pytest.raises(BadProfile, match="already"):
        store.rename("Ann", Side.RIGHT, "Jürgen B.-2")
    store.delete("Eve", Side.LEFT)
    with pytest.raises(BadProfile, match="no profile"):
        store.delete("Eve", Side.LEFT)
    with pytest.raises(BadProfile, match=r"there are: Ann\.right"):
        store.load("Eve", Side.LEFT)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 50, "con", "a\nb", "a ", "-rf", "a\\b"])
def test_names_that_are_no_files_are_refused(store: ProfileStore, name: str) -> None:
    with pytest.raises(BadProfile, match="cannot be a profile's name"):
        store.save(a_profile(name))
    assert not store.folder.exists() or not list(store.folder.iterdir())


def changed(**fields: Any) -> dict[str, Any]:
    return fields


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed(format_version=3), "newer Lumbrical"),
        (changed(format_version=0), "calibrate again"),
        (changed(format_version="x"), "calibrate again"),
        (changed(format="takes"), "no hand profile"),
        (changed(beta=[0.0] * 19), "beta"),
        (changed(beta=["a"] * 20), "beta"),
        (changed(beta=[1e9] * 20), "beyond any hand"),
        (changed(beta=[10**400] * 20), "damaged"),
        (changed(skin_mm=[float("nan")] * 100), "beyond any hand"),
        (changed(relief_mm=[0.0] * 119), "relief_mm"),
        (changed(relief_mm=[7.0] * 120), "beyond any hand"),
        (changed(covariance=[[0.0] * 26] * 25), "covariance"),
        (changed(covariance=(-np.eye(26)).tolist()), "covariance"),
        (changed(covariance=3), "damaged"),
        (changed(side="middle"), "damaged"),
        (changed(user="../../x"), "cannot be a profile's name"),
        (changed(frames=-1), "frames"),
        (changed(frames=True), "frames"),
        (changed(residual_after_mm="low"), "residual_after_mm"),
        (changed(sensor="a\nb"), "sensor"),
    ],
)
def test_wrong_files_are_refused_in_one_line(store: ProfileStore, change: dict[str, Any], words: str) -> None:
    path = store.save(a_profile())
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(LumbricalError, match=words) as told:
        read_profile(path)
    assert "\n" not in str(told.value)
    assert store.all()[0] == [] and len(store.all()[1]) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": "lumbrical-profile"', "[" * 100_000])
def test_files_that_are_no_profiles_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadProfile):
        read_profile(path)


def test_bytes_and_giants_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadProfile, match="damaged"):
        read_profile(path)
    path.write_bytes(b" " * (2 << 20))
    with pytest.raises(BadProfile, match="over 1 MB"):
        read_profile(path)


def test_a_failed_write_leaves_the_old_file(store: ProfileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.save(a_profile())
    before = path.read_bytes()

    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadProfile, match="No space left"):
        write_profile(path, replace(a_profile(), frames=3))
    assert path.read_bytes() == before
    assert list(store.folder.iterdir()) == [path]
