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
