from __future__ import annotations

import pytest

from tests.methods.gaussian.scenes import Scene, make_scene


@pytest.fixture(scope="session")
def scene() -> Scene:
    return make_scene()
