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
