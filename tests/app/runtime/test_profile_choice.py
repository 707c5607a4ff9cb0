"""Profiles that a session holds: found, refused in a line, held from the next frame on, put away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.runtime.profile_choice import ProfileChoice, ProfileKey, find_profile
from app.runtime.session import LiveSession
from calibration.frames import Build
from calibration.profiles import BadProfile, Profile, ProfileStore
from engine.types import Side
from tests.app.fakes import FakeTracker


def profile(user: str = "Ann", side: Side = Side.RIGHT) -> Profile:
    build = replace(Build.mean(), beta=np.full(20, 0.5))
    return Profile(user, side, build, np.eye(26), 50, "a camera", "2026-01-01T00:00:00+00:00", 4.0, 3.0)


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    store = ProfileStore(tmp_path / "profiles")
    store.save(profile())
    return store


def test_the_right_hand_is_found_or_refused(store: ProfileStore) -> None:
    assert find_profile(store, "Ann", None).side is Side.RIGHT
    assert find_profile(store, "Ann", Side.RIGHT).user == "Ann"
    with pytest.raises(BadProfile, match="of the right hand, and the left one is tracked"):
        find_profile(store, "Ann", Side.LEFT)
    with pytest.raises(BadProfile, match=r"no profile of Bo's .* there are: Ann"):
        find_profile(store, "Bo", None)
    store.save(profile(side=Side.LEFT))
    with pytest.raises(BadProfile, match="both hands"):
        find_profile(store, "Ann", None)
    assert find_profile(store, "Ann", Side.LEFT).side is Side.LEFT
    path = store.path("Ann", Side.RIGHT)
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 9'), encoding="utf-8")
    with pytest.raises(BadProfile, match="newer Lumbrical"):
        find_profile(store, "Ann", Side.RIGHT)


def test_keys_are_remembered_as_text() -> None:
    key = ProfileKey("Ann / Bo", Side.LEFT)
    assert ProfileKey.parsed(key.text) == key
    assert ProfileKey.parsed("") is None and ProfileKey.parsed("both/Ann") is None


def _obeyed(session: LiveSession, tracker: FakeTracker) -> FakeTracker:
    """What the tracking thread would do before its next frame."""
    while not session.tracking._requests.empty():
        session.tracking._requests.get()(tracker)
    return tracker


def _used(choice: ProfileChoice) -> ProfileKey | None:
    return choice.used


def test_a_profile_is_held_and_put_away(store: ProfileStore) -> None:
    session = LiveSession(lambda _: None, "none", FakeTracker)  # type: ignore[arg-type, return-value]
    choice, tracker = ProfileChoice(session, store), FakeTracker()
    key = ProfileKey("Ann", Side.RIGHT)
    assert choice.keys() == [key] and choice.choose(key) and choice.used == key
    _obeyed(session, tracker)
    assert tracker.held is not None and tracker.held.beta[0] == 0.5 and tracker.side is Side.RIGHT
    other = FakeTracker()
    session.exchange_tracker(other)
    assert other.held is tracker.held, "other weights track the same hand"
    assert not choice.choose(ProfileKey("Bo", Side.RIGHT)) and "no profile of Bo" in choice.trouble
    assert choice.used == key
    choice.follow_side(Side.RIGHT)
    assert choice.used == key
    choice.follow_side(Side.LEFT)
    assert choice.keys() == [key] and _used(choice) is None and "of the right hand" in choice.trouble
    assert _obeyed(session, tracker).held is None


def test_the_other_hand_of_the_same_user_takes_over(store: ProfileStore) -> None:
    store.save(profile(side=Side.LEFT))
    session = LiveSession(lambda _: None, "none", FakeTracker)  # type: ignore[arg-type, return-value]
    choice = ProfileChoice(session, store)
    choice.choose(ProfileKey("Ann", Side.RIGHT))
    choice.follow_side(Side.LEFT)
    assert choice.used == ProfileKey("Ann", Side.LEFT) and not choice.trouble
    choice.follow_side(None)
    assert choice.used is None
