"""Outputs in the documentation are replaced where they stand, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import update_outputs

PAGE = """# Results
<!-- output long: begin -->
Five minutes, no command.
<!-- output long: end -->
<!-- output one: begin -->
Before it.

```
$ python main.py evaluate --rendered
old
```
<!-- output one: end -->
<!-- output two: begin -->
```
$ python main.py bench live
old too
```
after
<!-- output two: end -->
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# none\n")
    path = tmp_path / "docs" / "results.md"
    path.write_text(PAGE)
    monkeypatch.setattr(update_outputs, "ROOT", tmp_path)
    return path


def test_blocks_without_a_command_are_none(page: Path) -> None:
    assert [(one.name, one.command) for one in update_outputs.blocks_of(page)] == [
        ("one", "python main.py evaluate --rendered"),
        ("two", "python main.py bench live"),
    ]


def test_all_outputs_are_replaced_and_nothing_else_is(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_outputs, "printed", lambda command: f"{command}\nnew, and longer than before\n")
    assert update_outputs.main([]) == 0
    expected = PAGE.replace("old too\n", "python main.py bench live\nnew, and longer than before\n")
    assert page.read_text() == expected.replace(
        "old\n", "python main.py evaluate --rendered\nnew, and longer than before\n"
    )


def test_a_command_that_fails_leaves_the_page(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page.write_text(PAGE.replace("bench live", "--no-such-option"))  # there is no main.py at all
    before = page.read_text()
    assert update_outputs.main(["two"]) == 1
    assert page.read_text() == before and "status" in capsys.readouterr().err


def test_where_the_checkout_lies_is_not_told(page: Path, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import sys; print('written to', sys.path[0] + '/a.onnx  ')")
    assert update_outputs.printed("python main.py quantise") == "written to a.onnx\n"


def test_a_name_that_no_page_has_is_refused(page: Path) -> None:
    with pytest.raises(SystemExit):
        update_outputs.main(["three"])
