"""Which user's hand is tracked: the profiles there are, and the one whose shape the tracker holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.runtime.session import LiveSession
from calibration.profiles import BadProfile, Profile, ProfileStore
from calibration.tracking import personal_hand
from engine.types import LumbricalError, Side


@dataclass(frozen=True)
class ProfileKey:
    """Whose profile, and of which hand."""

    user: str
    side: Side

    @property
    def words(self) -> str:
        """As a list shows it."""
        return f"{self.user} · {self.side.value} hand"

    @property
    def text(self) -> str:
        """As settings remember it; see `parsed`."""
        return f"{self.side.value}/{self.user}"

    @classmethod
    def parsed(cls, text: str) -> ProfileKey | None:
        """From `text`; None for what is none."""
        side, _, user = text.partition("/")
        known = next((one for one in Side if one.value == side), None)
        return cls(user, known) if known is not None and user else None


def find_profile(store: ProfileStore, user: str, side: Side | None) -> Profile:
    """The user's profile of that hand, or of the only hand there is one of where side is None.

    BadProfile, one line: unknown, of the other hand only, of both hands and no side told, damaged, or newer.
    """
    sides = store.sides(user)
    if side is not None and sides and side not in sides:
        raise BadProfile(
            f"{user}'s profile is of the {sides[0].value} hand, and the {side.value} one is tracked: calibrate that "
            "one too, or choose the other side"
        )
    if side is None and len(sides) == 2:
        raise BadProfile(f"{user} has profiles of both hands: say which one, --side right or --side left")
    return store.load(user, side or (sides[0] if sides else Side.RIGHT))


class ProfileChoice:
    """Holds a profile's hand in a session. All methods belong to one thread, such as the window's.

    used: the profile that is held, and profile, what it says; None: any hand. trouble: why the last choice could not be
    used. changed: told, after each change, of the profile that is held.
    """

    def __init__(self, session: LiveSession, store: ProfileStore) -> None:
        self._session, self.store = session, store
        self.used: ProfileKey | None = None
        self.profile: Profile | None = None
        self.trouble = ""
        self.changed: Callable[[Profile | None], None] = lambda profile: None

    def keys(self) -> list[ProfileKey]:
        """The profiles that can be read, by name."""
        return [ProfileKey(one.user, one.side) for one in self.store.all()[0]]

    def choose(self, key: ProfileKey | None) -> bool:
        """Hold that hand from the next frame on, on its own side; whether it could be. Otherwise nothing changes."""
        try:
            profile = None if key is None else self.store.load(key.user, key.side)
        except LumbricalError as error:
            self.trouble = str(error)
            return False
        self.use(profile)
        return True

    def use(self, profile: Profile | None) -> None:
        """The same with a profile that was read."""
        self.trouble = ""
        if profile is None and self.used is None:
            return
        self.profile = profile
        if profile is None:
            self._session.hold_hand(None)
            self.used = None
        else:
            self._session.hold_hand(*personal_hand(profile.build))
            self._session.set_side(profile.side)
            self.used = ProfileKey(profile.user, profile.side)
        self.changed(profile)

    def follow_side(self, side: Side | None) -> None:
        """The user asks for this side, None for either: a profile of another hand gives way to the same user's of
        this one, or to none."""
        if self.used is None or self.used.side is side:
            return
        user, before = self.used.user, self.used.side
        if side is not None and side in self.store.sides(user) and self.choose(ProfileKey(user, side)):
            return
        self.use(None)
        self.trouble = f"{user}'s profile is of the {before.value} hand: it is no longer used"
