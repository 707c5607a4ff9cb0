"""A take's name and notes as its user changed them later, in a small file beside it: a closed take is never rewritten.

The file of NAME.mcap is NAME.about.json; without it, or where it is damaged, what the take says of itself holds.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from engine.takes.facts import MAX_TEXT, check_text
from engine.takes.names import SUFFIX, file_words, final_path, is_part, move_without_replacing
from engine.types import LumbricalError
from engine.whole_file import write_whole

_ENDING = ".about.json"
_MAX_BYTES = 8 * MAX_TEXT
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}")


@dataclass(frozen=True)
class TakeNotes:
    """What a take is called, and anything worth knowing."""

    name: str = ""
    notes: str = ""


def notes_path(take: Path) -> Path:
    """The file of a take's changed name and notes; the same before and after the take is closed."""
    final = final_path(take) if is_part(take) else take
    return final.with_name(final.name[: -len(final.suffix)] + _ENDING)


def read_notes(take: Path) -> TakeNotes | None:
    """What was changed; None where nothing was, or nothing of it can be read."""
    try:
        with notes_path(take).open("rb") as file:
            data = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    texts = [data.get(key) for key in ("name", "notes")]
    return TakeNotes(*(text[:MAX_TEXT] if isinstance(text, str) else "" for text in texts))


def write_notes(take: Path, notes: TakeNotes) -> None:
    """Change them; the file is whole at every moment. LumbricalError when it cannot be written."""
    if max(len(notes.name), len(notes.notes)) > MAX_TEXT:
        raise LumbricalError(f"a take's name and notes have at most {MAX_TEXT} characters: shorten them")
    target = notes_path(take)
    check_text(notes.name, "name")
    check_text(notes.notes, "notes")
    text = json.dumps({"name": notes.name, "notes": notes.notes}, ensure_ascii=False, indent=2)
    try:
        write_whole(target, text.encode())
        # As readable as the take beside them.
        target.chmod(take.stat().st_mode & 0o666)
    except OSError as error:
        raise LumbricalError(f"the notes of {take.name} cannot be written: {error.strerror or error}") from error


def rename_take(take: Path, notes: TakeNotes) -> Path:
    """Call a closed take otherwise: in its notes, and in its file's name behind the date. Returns its path, the old one
    where the file's name says the same already. LumbricalError when it cannot be done; nothing is ever replaced."""
    write_notes(take, notes)
    date = _DATE.match(take.name)
    words = file_words(notes.name)
    stem = "_".join(filter(None, (date.group() if date else "", words)))
    if not stem or is_part(take) or stem == take.name[: -len(SUFFIX)]:
        return take
    for count in range(1, 1000):
        target = take.with_name(f"{stem}{SUFFIX}" if count == 1 else f"{stem}-{count}{SUFFIX}")
        if target == take:
            return take
        if notes_path(target).exists():
            continue
        try:
            move_without_replacing(take, target)
            os.replace(notes_path(take), notes_path(target))
        except FileExistsError:
            continue
        except OSError as error:
            raise LumbricalError(f"{take.name} cannot be renamed: {error.strerror or error}") from error
        return target
    raise LumbricalError(f"there are too many takes named {stem}: choose another name")


def remove_take(take: Path) -> None:
    """Delete a take and its notes for good. LumbricalError when it cannot be done."""
    try:
        take.unlink()
        notes_path(take).unlink(missing_ok=True)
    except OSError as error:
        raise LumbricalError(f"{take.name} cannot be deleted: {error.strerror or error}") from error
