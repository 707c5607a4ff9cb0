"""What `train` refuses before it begins."""

from pathlib import Path

import pytest

from app.cli import main

CONFIG = str(Path(__file__).parents[2] / "configs" / "encoder.toml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "foo"], "must be cpu, cuda or cuda:NUMBER"),
        (["--device", "cuda:999"], "finds no such device"),
        (["--threads", "-2"], "not a whole number"),
        (["--render-workers", "-1"], "not a whole number"),
        (["--minutes", "nan"], "not a number of minutes"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", CONFIG, "--out", str(tmp_path / "out"), *options]
    try:
        assert main(arguments) == 2
    except SystemExit as leaving:  # argparse's own way out
        assert leaving.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        ("two", [], "WORLD_SIZE is 'two', no number"),
        ("2", ["--device", "cuda:1"], "under torchrun each process takes a GPU of its own"),
        ("200", ["--device", "cuda"], "process 199 finds no GPU of its own"),
        ("3", ["--device", "cpu"], "batch_size (64) cannot be shared evenly by 3 processes"),
    ],
)
def test_what_torchrun_cannot_start_is_told_in_one_line(
    count: str,
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rank = str(int(count) - 1) if count.isdigit() else "0"
    monkeypatch.setattr("app.commands.train._FIRST_SPEAKS_S", 0.0)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert main(["train", CONFIG, "--out", str(tmp_path / "out"), *options]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["missing", "text", "other sizes"])
def test_weights_that_cannot_be_begun_with_leave_no_folder(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, config = tmp_path / "weights.safetensors", tmp_path / "small.toml"
    config.write_text('name = "small"\n[encoder]\nwidth = 0.125\n')
    if wrong == "text":
        weights.write_text("no weights")
    if wrong == "other sizes":
        weights = Path(CONFIG).parents[1] / "assets" / "weights" / "encoder.safetensors"
    out = tmp_path / "runs" / "out"
    assert main(["train", str(config), "--out", str(out), "--device", "cpu", "--start-from", str(weights)]) == 2
    told = capsys.readouterr().err
    assert str(weights) in told and told.count("\n") == 1
    assert not out.parent.exists()


def test_a_resumed_training_says_that_it_does_not_begin_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "small.toml", tmp_path / "out"
    sizes = "width = 0.125\nhead_channels = 8\nhidden = 16\n"
    config.write_text(
        'name = "small"\nimages = 8\nbatch_size = 8\ntest_images = 8\nbfloat16 = false\n'
        f"[encoder]\n{sizes}[render]\npoints = 500\n"
    )
    train = ["train", str(config), "--out", str(out), "--device", "cpu"]
    assert main(train) == 0
    assert main([*train, "--start-from", str(out / "encoder.safetensors")]) == 0
    assert "is not read again; --restart begins with it anew" in capsys.readouterr().err
