"""The short twins of numpy's functions say what those say."""

from __future__ import annotations

import numpy as np
import pytest

from engine.geometry.vectors import cross, dot, median

RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_products_are_numpys(kind: type[np.floating]) -> None:
    a, b = RANDOM.normal(size=(2, 50, 3)).astype(kind)
    assert dot(a, b).dtype == cross(a, b).dtype == kind
    assert np.allclose(dot(a, b), (a * b).sum(1), atol=1e-5)
    assert np.allclose(cross(a, b), np.cross(a, b), atol=1e-5)
    assert np.allclose(cross(a[:, None], b), np.cross(a[:, None], b), atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_the_median_is_numpys(count: int) -> None:
    values = RANDOM.normal(size=count).astype(np.float32)
    assert median(values) == pytest.approx(np.median(values), rel=1e-6)


def test_a_median_may_be_infinitely_far() -> None:
    assert median(np.array([1.0, np.inf])) == median(np.array([0.0, np.inf, np.inf])) == np.inf
    assert median(np.array([1.0, 2.0, np.inf])) == 2.0
