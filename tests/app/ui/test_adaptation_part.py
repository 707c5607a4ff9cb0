"""What the window says of adaptation."""

from __future__ import annotations

from dataclasses import replace

from app.runtime.adaptation_worker import AdaptationView
from app.ui.adaptation_part import _words


def test_what_is_made_ready_goes_before_and_who_runs_the_version_instead_behind() -> None:
    view = AdaptationView(on=True, samples=7)
    assert _words(view) == "Watching: 7 frames so far"
    assert _words(AdaptationView(version=3)) == "Version 3 of a hand learnt here is in use"
    assert _words(AdaptationView()) == ""
    assert _words(replace(view, version=3)) == "Watching: 7 frames so far. Version 3 of a hand learnt here is in use"
    view = replace(view, note="version 2: better")
    assert _words(view) == "Version 2: better"
    view = replace(view, instead="ONNX Runtime runs the adapted weights: why")
    assert _words(view) == "Version 2: better. ONNX Runtime runs the adapted weights: why"
    assert _words(replace(view, doing="getting version 3 ready, 50 % …")) == "Getting version 3 ready, 50 % …"
