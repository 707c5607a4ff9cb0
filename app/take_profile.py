"""Whose calibrated hand a take shows: the profile that it carries, else the one its user has here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.takes.names import is_take
from engine.types import LumbricalError, Side

if TYPE_CHECKING:
    from calibration.profiles import Profile, ProfileStore
    from engine.takes.facts import TakeInfo

_WITHOUT = "track it with another method"


def profile_for_source(spec: str, store: ProfileStore | None = None) -> Profile:
    """The profile of the hand that a source shows. LumbricalError where it is no take, or names no user with one."""
    from engine.takes.reader import Take

    if not is_take(Path(spec)):
        raise LumbricalError(f"{spec} is no take, so it does not say whose hand it shows: {_WITHOUT}")
    with Take(Path(spec)) as take:
        return profile_for_take(take.info, take.path, store)


def profile_for_take(info: TakeInfo, path: object, store: ProfileStore | None = None) -> Profile:
    """The profile that the take carries, else the one of its user. LumbricalError where there is none."""
    from calibration.profiles import ProfileStore, profile_from_json

    if info.profile is not None:
        return profile_from_json(dict(info.profile), f"the profile in {path}")
    if not info.user:
        raise LumbricalError(f"{path} does not say whose hand it shows: {_WITHOUT}")
    store = store or ProfileStore()
    side = info.side or _only_side(store, info.user)
    if side is None:
        raise LumbricalError(
            f"there is no one profile of {info.user}, whose hand {path} shows: calibrate, or {_WITHOUT}"
        )
    return store.load(info.user, side)


def profile_of_user(user: str, side: Side | None, store: ProfileStore | None = None) -> Mapping[str, Any] | None:
    """What a take of this user is to carry; None where there is no profile of that hand, or of one hand only when it
    is not known which."""
    from calibration.profiles import BadProfile, ProfileStore, profile_as_json

    store = store or ProfileStore()
    try:
        side = side or _only_side(store, user)
        return profile_as_json(store.load(user, side)) if side is not None else None
    except BadProfile:
        return None  # a name need not be a profile's


def _only_side(store: ProfileStore, user: str) -> Side | None:
    sides = store.sides(user)
    return sides[0] if len(sides) == 1 else None
