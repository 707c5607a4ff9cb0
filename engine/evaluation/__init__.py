"""The tracker measured against labelled recordings: `measure` tracks, `report` sums up."""
