"""The window: Qt widgets that lay out and wire; the work is done in app.runtime and app.viewer."""
