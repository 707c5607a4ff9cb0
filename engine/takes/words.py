"""Counts in words."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """1 frame, 2 frames."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
