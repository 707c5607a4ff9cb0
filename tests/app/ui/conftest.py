"""A window on a fake tracker, for tests that have a display."""

from __future__ import annotations

import pytest

from app.display import display_problem


@pytest.fixture(autouse=True)
def display() -> None:
    """Skip where no window can be opened."""
    problem = display_problem()
    if problem is not None:
        pytest.skip(f"needs a display: {problem}")


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No take or picture of a test goes where the user's own are."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
