"""Methods: each finds the hand in its own way, says so, and is found again by its name; whose hand a take shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.commands import replay
from app.commands.track import make_tracker
from app.config import DEMO_SOURCE
from app.runtime.methods import DEFAULT_METHOD, METHODS, TrackerParts, method_named, tracker_settings
from app.runtime.sources import open_any
from app.take_profile import profile_for_source, profile_for_take, profile_of_user
from calibration.profiles import Profile, ProfileStore, profile_as_json
from engine.takes.facts import TakeInfo
from engine.takes.reader import Take
from engine.takes.writer import TakeWriter, WriterConfig
from engine.types import DEFAULT_SMOOTHING, DepthFrame, LumbricalError, Side, TrackingResult
from tests.calibration.test_profiles import a_profile
from tests.takes.make import write_take

FRAMES = 6


@pytest.fixture(scope="module")
def frames() -> list[DepthFrame]:
    with open_any(str(DEMO_SOURCE)) as sensor:
        read = [sensor.read() for _ in range(FRAMES)]
        return [frame for frame in read if frame is not None]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return a_profile("Ann")


@pytest.fixture
def store(tmp_path: Path, profile: Profile) -> ProfileStore:
    kept = ProfileStore(tmp_path / "profiles")
    kept.save(profile)
    return kept


@pytest.fixture(scope="module")
def tracked(frames: list[DepthFrame], profile: Profile) -> dict[str, list[TrackingResult]]:
    """The same frames by every method."""
    found = {}
    for method in METHODS:
        tracker = method.make(TrackerParts(profile=profile))
        tracker.side = Side.RIGHT
        tracker.reset()
        found[method.name] = [tracker.track(frame) for frame in frames]
    return found


def test_every_method_finds_the_hand_in_its_own_way(tracked: dict[str, list[TrackingResult]]) -> None:
    versions, hands = set(), []
    for results in tracked.values():
        geometry = results[-1].geometry
        assert geometry is not None
        hands.append(geometry.joints)
        versions.add(results[-1].weights_version)
    assert len(versions) == len(METHODS), "one method's results are taken for another's"
    apart = [np.linalg.norm(hand - hands[0], axis=1).mean() for hand in hands[1:]]
    assert all(0.1 < distance < 40 for distance in apart), apart


def test_a_profiles_shape_is_held(tracked: dict[str, list[TrackingResult]], profile: Profile) -> None:
    for result in tracked["profile"]:
        assert result.parameters is not None
        assert np.allclose(result.parameters.beta, profile.build.beta, atol=1e-4)


def test_a_method_is_found_by_its_name() -> None:
    assert method_named(DEFAULT_METHOD) is METHODS[0]
    with pytest.raises(LumbricalError, match="no method 'refnet'; there are: fit, encoder, profile"):
        method_named("refnet")
    with pytest.raises(LumbricalError, match="needs a take"):
        method_named("profile").make(TrackerParts())


@pytest.fixture
def take(tmp_path: Path, frames: list[DepthFrame], tracked: dict[str, list[TrackingResult]]) -> Path:
    """A take whose poses are the encoder's."""
    info = TakeInfo(fps=30, side=Side.RIGHT, settings=tracker_settings(Side.RIGHT, DEFAULT_SMOOTHING, "encoder"))
    writer = TakeWriter(tmp_path / "a.mcap", info, WriterConfig(min_free_bytes=0), by_device_clock=True)
    for frame, result in zip(frames, tracked["encoder"], strict=True):
        writer.write_frame(frame)
        writer.write_pose(result)
    writer.close()
    return writer.path


def test_a_take_is_replayed_by_the_method_that_made_it(take: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from app import cli

    assert cli.main(["replay", str(take), "--headless"]) == 0
    assert f"{FRAMES} of {FRAMES} poses are bit for bit" in capsys.readouterr().out
    assert cli.main(["replay", str(take), "--headless", "--method", "fit"]) == 0
    assert "0 of 6 poses" in (out := capsys.readouterr().out) and "no fit" in out
    assert cli.main(["replay", str(take), "--headless", "--method", "profile"]) == 2
    assert "does not say whose hand" in capsys.readouterr().err


def test_a_take_of_a_method_that_is_not_known_here_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from app import cli

    info = TakeInfo(settings={"side": None, "smoothing": 0.5, "method": "from the future"})
    path = write_take(tmp_path / "a.mcap", 3, info=info)
    assert cli.main(["replay", str(path), "--headless"]) == 2
    assert "no method 'from the future'; there are: fit" in capsys.readouterr().err
    with Take(path) as opened:
        report = replay.compare(opened, make_tracker(method="fit"))
    assert report["frames"] == 3


def test_whose_hand_a_take_shows(tmp_path: Path, store: ProfileStore, profile: Profile) -> None:
    carried = TakeInfo(user="Bob", profile=profile_as_json(profile))
    assert profile_for_take(carried, "a").user == "Ann"
    assert profile_for_take(TakeInfo(user="Ann"), "a", store).user == "Ann"
    for info, words in (
        (TakeInfo(), "does not say whose"),
        (TakeInfo(user="Bob"), "no one profile of Bob"),
        (TakeInfo(user="Ann", side=Side.LEFT), "no profile of Ann's left hand"),
        (TakeInfo(user="../../x"), "cannot be a profile's name"),
        (TakeInfo(profile={"format": "else"}), "no hand profile"),
        (TakeInfo(profile=profile_as_json(profile) | {"beta": [1e9] * 20}), "damaged"),
    ):
        with pytest.raises(LumbricalError, match=words):
            profile_for_take(info, "a", store)
    with pytest.raises(LumbricalError, match="is no take"):
        profile_for_source(str(tmp_path), store)


def test_what_a_take_of_a_user_carries(store: ProfileStore) -> None:
    for side, there in ((None, True), (Side.RIGHT, True), (Side.LEFT, False)):
        carried = profile_of_user("Ann", side, store)
        assert (carried is not None) is there
        assert carried is None or carried["user"] == "Ann"
    store.save(a_profile("Ann", Side.LEFT))
    assert profile_of_user("Ann", None, store) is None, "nobody knows which hand it will be"
    assert profile_of_user("Ann", Side.LEFT, store) is not None
    for name in ("", "Bob", "../../etc/passwd", "x" * 5000, "a\nb"):
        assert profile_of_user(name, None, store) is None
