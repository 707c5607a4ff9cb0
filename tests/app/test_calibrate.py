"""`calibrate` and `profiles` as a user runs them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import cli
from app.commands.calibrate import EXIT_NO_BETTER, objection
from calibration.poses import CATALOGUE
from calibration.profiles import ProfileStore
from calibration.session import CalibrationSession, Outcome
from engine.fitting.kinematics import Kinematics
from engine.types import Side

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the demo."""
    few = tmp_path_factory.mktemp("few")
    (few / "depth").mkdir()
    for number, index in enumerate(range(0, 316, 8)):
        (few / "depth" / f"{number:06}.png").write_bytes((DEMO / "depth" / f"{index:06}.png").read_bytes())
    about = json.loads((DEMO / "sequence.json").read_text(encoding="utf-8"))
    about |= {"frames": len(list((few / "depth").iterdir())), "fps": 4}
    (few / "sequence.json").write_text(json.dumps(about), encoding="utf-8")
    return few


@pytest.fixture(scope="module")
def folder(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles, with one learnt from the recording."""
    folder = tmp_path_factory.mktemp("own") / "profiles"
    assert cli.main(calibrate(recording, folder, "--force")) == 0
    return folder


def calibrate(recording: Path, folder: Path, *more: str) -> list[str]:
    return ["calibrate", str(recording), "--user", "Ann", "--frames", "20", "--profiles", str(folder), *more]


def profiles(folder: Path, *arguments: str) -> int:
    return cli.main(["profiles", *arguments, "--profiles", str(folder)])


def test_a_profile_is_written(folder: Path) -> None:
    saved, problems = ProfileStore(folder).all()
    assert not problems and [p.user for p in saved] == ["Ann"]
    assert 6 <= saved[0].frames <= 20
    assert saved[0].residual_after_mm > 0


def test_what_is_no_better_is_not_saved(recording: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ProfileStore(folder).path("Ann", ProfileStore(folder).all()[0][0].side)
    before = path.read_bytes()
    assert cli.main(calibrate(recording, folder, "--json")) == EXIT_NO_BETTER
    told = json.loads(capsys.readouterr().out)
    assert told["compared_with"] == "the old profile" and not told["better"] and told["profile"] is None
    assert told["residual_before_mm"] == pytest.approx(told["residual_after_mm"], rel=0.005)
    assert path.read_bytes() == before


def test_what_is_replaced_can_be_taken_back(
    recording: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ProfileStore(tmp_path)
    old = ProfileStore(folder).all()[0][0]
    path = store.save(old)
    before = path.read_bytes()
    assert cli.main(calibrate(recording, tmp_path, "--force", "--json")) == 0
    previous = Path(json.loads(capsys.readouterr().out)["previous"])
    assert previous.read_bytes() == before and [p.name for p in tmp_path.glob("*.json")] == [path.name]
    assert profiles(tmp_path, "import", str(previous), "--force") == 0
    assert store.load(old.user, old.side).created == old.created


def test_an_interrupt_is_told_and_writes_nothing(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: CalibrationSession) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(CalibrationSession, "solve", interrupted)
    assert cli.main(calibrate(recording, tmp_path, "--force")) == 130
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "lumbrical: interrupted: no profile was written\n")
    assert not list(tmp_path.iterdir())


def test_where_bones_stay_unsure_poses_are_named(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unsure = calibrate(recording, tmp_path, "--dry-run", "--frames", "6")
    assert cli.main(unsure) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("advice: show ")]
    assert cli.main([*unsure, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["undetermined"]
    assert told == [f'advice: show "{pose["name"]}": {pose["how"]}' for pose in report["next_poses"]]
    known = {pose.name: pose.instruction for pose in CATALOGUE}
    assert len(told) == 3 and all(known[pose["name"]] == pose["how"] for pose in report["next_poses"])
    assert "move on to another pose" not in " ".join(report["advice"])  # which one, is said above


def test_another_hand_and_a_less_sure_one_replace_nothing(folder: Path) -> None:
    old = ProfileStore(folder).all()[0][0]
    estimate = old.estimate(Kinematics())
    empty = np.zeros(0)
    outcome = Outcome(estimate, 4.0, 3.0, 7, np.zeros((20, 6)), empty, empty, 50, 40)
    assert objection(old, outcome, old) == "" == objection(old, outcome, None)
    longer = replace(old, build=replace(old.build, beta=old.build.beta + 3.0 * (np.arange(20) == 0)))
    assert "another hand" in objection(longer, outcome, old)
    assert "less sure" in objection(replace(old, covariance=2 * old.covariance), outcome, old)
    assert "no better" in objection(old, replace(outcome, after_mm=4.0), old)
    few = replace(outcome, held_out=2)
    assert "only 2 frames" in objection(old, few, old) and objection(old, few, None) == ""


def test_it_is_listed_shown_moved_and_removed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    side = ProfileStore(folder).all()[0][0].side.value
    copy = tmp_path / "copy.json"
    assert profiles(folder, "list") == 0 and f"Ann                     {side}" in capsys.readouterr().out
    assert profiles(folder, "show", "Ann", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["user"] == "Ann" and shown["bones_mm"]["index proximal phalanx"]["sd"] > 0
    assert profiles(folder, "export", "Ann", str(copy)) == 0
    other = tmp_path / "other"
    assert profiles(other, "import", str(copy)) == 0
    assert profiles(other, "import", str(copy)) == 2 and "--force" in capsys.readouterr().err
    assert profiles(other, "import", str(copy), "--user", "Bo") == 0
    assert profiles(other, "rename", "Bo", "Cy") == 0
    assert profiles(other, "delete", "Ann") == 0
    assert [p.user for p in ProfileStore(other).all()[0]] == ["Cy"]


def test_a_damaged_one_is_listed_as_such_and_offered_nowhere(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ProfileStore(tmp_path)
    good = store.save(ProfileStore(folder).all()[0][0])
    store.path("Bo", Side.LEFT).write_text(good.read_text(encoding="utf-8")[:500], encoding="utf-8")
    (tmp_path / "notes.json").write_text("{}", encoding="utf-8")
    assert profiles(tmp_path, "list") == 0
    ann, bo, notes = capsys.readouterr().out.splitlines()
    assert ann.startswith("Ann ") and "not usable" not in ann
    assert bo.split()[:7] == ["Bo", "left", "not", "usable:", "its", "file", "is"] and "damaged" in bo
    assert notes.startswith("notes ") and "not usable: its file is no hand profile" in notes
    assert profiles(tmp_path, "show", "Cy") == 2
    assert capsys.readouterr().err.endswith(f"there are: {good.stem}\n")
    assert profiles(tmp_path, "show", "Bo") == 2 and "is damaged" in capsys.readouterr().err
    assert profiles(tmp_path, "list", "--json") == 0
    printed = capsys.readouterr()
    assert [one["user"] for one in json.loads(printed.out)] == ["Ann"] and printed.err.count("warning") == 2


def test_both_hands_ask_for_a_side(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    store = ProfileStore(tmp_path)
    one = ProfileStore(folder).all()[0][0]
    for side in Side:
        store.save(replace(one, side=side))
    assert profiles(tmp_path, "delete", "Ann") == 2
    assert "--side" in capsys.readouterr().err
    assert profiles(tmp_path, "delete", "Ann", "--side", "left") == 0
    assert store.sides("Ann") == [Side.RIGHT]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["calibrate", "nowhere", "--user", "Ann"], "nowhere"),
        (["calibrate", str(DEMO), "--user", "../Ann"], "name"),
        (["calibrate", str(DEMO)], "--user"),
        (["calibrate", str(DEMO), "--user", "Ann", "--frames", "5"], "number of frames"),
        (["profiles", "show", "Nobody"], "no profile"),
        (["profiles", "export", "Ann", "x.txt"], ".json"),
        (["profiles", "import", "nowhere.json"], "nowhere.json"),
        (["profiles"], "WHAT"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = [*arguments, "--profiles", str(tmp_path)] if len(arguments) > 1 else arguments
    try:
        status = cli.main(known)
    except SystemExit as end:
        status = int(end.code or 0)
    told = capsys.readouterr().err
    assert status == 2 and words in told and told.count("\n") == 1
