"""The columns of what `evaluate` prints, each with its unit and meaning: the tables and the help show the same."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """width: of its cells. what: unit and meaning. key: of its value in a report, where it is one as it is there."""

    title: str
    width: int
    what: str
    key: str = ""


_LABELS = "mm; distance of the joints from their labels, mean over tracked frames"
_TRUTH = "mm; distance of the joints from the true ones, mean"
_MEDIAN = "mm; the same, median"
#: Of recordings.
RECORDINGS = (
    Column("tracked", 11, "frames in which the tracker was sure of a hand / all frames"),
    Column("mean", 6, _LABELS, "mean_joint_error_mm"),
    Column("median", 6, _MEDIAN, "median_joint_error_mm"),
    Column(
        "fingers", 7, "mm; mean without the wrist, which each label set places its own way", "finger_joint_error_mm"
    ),
    Column("aligned", 7, "mm; mean after the best rotation, shift and scale of each frame", "procrustes_error_mm"),
    Column(
        "unmapped", 8, "mm; mean before joints are moved to where the label set has them", "unmapped_joint_error_mm"
    ),
    Column("<20mm", 6, "% of labelled frames with all joints within 20 mm; untracked ones are misses", "within_20mm"),
    Column("MDPC", 6, "mm; distance of the joints from the nearest measured point, median", "mdpc_median_mm"),
    Column("residual", 8, "mm; measured depth against the drawn hand's, median", "depth_residual_median_mm"),
    Column(
        "unoccluded", 10, "mm; residual where nothing lies over 25 mm before the hand", "unoccluded_residual_median_mm"
    ),
    Column("palm", 6, "mm; distance of the palm's centre from its mark, median", "palm_error_median_mm"),
    Column("palm<45", 7, "% of marked frames with palm within 45 mm; untracked ones are misses", "palm_within_45mm"),
    Column("2D px", 6, "pixels; distance of the joints from 2D labels, median", "uv_error_median_px"),
)
#: Of the rendered test sets.
RENDERED = (
    Column("rendered", 8, "how many rendered hands"),
    Column("mean", 6, _TRUTH),
    Column("median", 6, _MEDIAN),
    Column("fingers", 7, "mm; mean without the wrist"),
    Column("in 90 %", 7, "% of joints no further off than their 90 % interval says; 90 % when calibrated"),
    Column("seen", 6, "%; the same of joints that the camera sees"),
    Column("hidden", 6, "%; the same of joints that something hides"),
    Column("radius", 6, "mm; radius of that interval, median"),
)
#: Of predictions in files; the last two only where there are two people.
PREDICTIONS = (
    Column("predicted", 13, "frames with a prediction / all frames"),
    Column("mean", 7, f"{_TRUTH} over predicted frames"),
    Column("median", 7, _MEDIAN),
    Column("<20mm", 7, "% of labelled frames with all joints within 20 mm; those not predicted are misses"),
    Column("<40mm", 7, "%; the same within 40 mm"),
    Column("F1 first", 8, "0 to 1; how well bone lengths tell the first person's frames from the second's"),
    Column("F1 second", 9, "0 to 1; the same of the second person's frames"),
)
#: Ends a table's notes.
WHERE_EXPLAINED = "`main.py evaluate --help` explains the columns"


def columns_in_words() -> str:
    """Every column of the three tables, for the end of --help."""
    lines = []
    for table, columns in (("FOLDER", RECORDINGS), ("--rendered", RENDERED), ("--predictions", PREDICTIONS)):
        lines.append(f"columns of the table of {table}:")
        lines += [*(f"  {one.title:12}{one.what}" for one in columns), ""]
    return "\n".join([*lines, "- is what could not be measured. docs/results.md says more."])
