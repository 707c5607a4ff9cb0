"""`profiles list|show|rename|delete|export|import`: users' hand profiles."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.arguments import add_profiles_folder
from app.whole_file import check_new_file
from engine.types import LumbricalError, Side

if TYPE_CHECKING:
    from calibration.profiles import Profile, ProfileStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be done and its options."""
    kinds = parser.add_subparsers(dest="action", metavar="WHAT", required=True, title="what to do")
    adders = {
        "list": "all profiles",
        "show": "one profile: its bones with their uncertainty, and where it comes from",
        "rename": "give a profile another name",
        "delete": "remove a profile",
        "export": "copy a profile to a file",
        "import": "take a profile from a file",
    }
    made = {name: kinds.add_parser(name, help=words, description=words) for name, words in adders.items()}
    for name in ("show", "rename", "delete", "export"):
        made[name].add_argument("user", metavar="NAME")
        made[name].add_argument("--side", choices=("right", "left"), help="needed where NAME has both hands")
    made["rename"].add_argument("new", metavar="NEW")
    made["export"].add_argument("file", type=Path, metavar="FILE.json")
    made["import"].add_argument("file", type=Path, metavar="FILE.json")
    made["import"].add_argument("--user", metavar="NAME", help="another name than the file's")
    for name in ("export", "import"):
        made[name].add_argument("--force", action="store_true", help="replace what is there")
    for name in ("list", "show"):
        made[name].add_argument("--json", action="store_true", help="print JSON")
    for one in made.values():
        add_profiles_folder(one)


def run(args: argparse.Namespace) -> int:
    """Do it; 0 when all went well."""
    from calibration.profiles import ProfileStore

    store = ProfileStore(args.profiles)
    actions = {
        "list": _list, "show": _show, "rename": _rename, "delete": _delete, "export": _export, "import": _import,
    }  # fmt: skip
    return actions[args.action](store, args)


def _list(store: ProfileStore, args: argparse.Namespace) -> int:
    if args.json:
        profiles, problems = store.all()
        for problem in problems:
            print(f"lumbrical: warning: {problem}", file=sys.stderr)
        print(json.dumps([profile.summary() for profile in profiles], ensure_ascii=False))
        return 0
    files = store.files()
    if not files:
        print(f"no profile in {store.folder}: `main.py calibrate` makes one")
    for path, held in files:
        print(_unreadable_row(path, held) if isinstance(held, LumbricalError) else _row(held))
    return 0


def _row(profile: Profile) -> str:
    residual = f"{profile.residual_after_mm:.1f} mm" if math.isfinite(profile.residual_after_mm) else "unknown"
    return f"{profile.user:24}{profile.side.value:7}{profile.created[:10]:12}residual {residual:9}{profile.sensor}"


def _unreadable_row(path: Path, why: LumbricalError) -> str:
    """Whose a file is, its name alone can tell; and why it cannot be used."""
    user, _, side = path.stem.rpartition(".")
    if side not in [one.value for one in Side]:
        user, side = path.stem, ""
    return f"{user:24}{side:7}not usable: its file {str(why).removeprefix(f'{path} ')}"


def _show(store: ProfileStore, args: argparse.Namespace) -> int:
    from calibration.estimate import BONE_NAMES
    from engine.fitting.kinematics import Kinematics

    profile = store.load(args.user, _side(store, args))
    estimate = profile.estimate(Kinematics())
    rows = list(zip(BONE_NAMES, estimate.lengths_mm.tolist(), estimate.sd_mm.tolist(), strict=True))
    if args.json:
        bones = {name: {"length": length, "sd": sd} for name, length, sd in rows}
        print(json.dumps(profile.summary() | {"bones_mm": bones}, ensure_ascii=False))
        return 0
    print(
        f"{profile.user}'s {profile.side.value} hand, {profile.created}, Lumbrical {profile.version}, {profile.sensor}"
    )
    print(f"learnt from {profile.frames} frames; depth residual {_residuals(profile)}")
    for name, length, sd in rows:
        print(f"{name:26}{length:6.1f} ± {sd:.1f} mm")
    thickness = ", ".join(f"{value:+.1f}" for value in profile.build.thickness)
    print(f"flesh, palm and thumb to little finger, against the mean hand: {thickness} mm")
    return 0


def _rename(store: ProfileStore, args: argparse.Namespace) -> int:
    print(f"now {store.rename(args.user, _side(store, args), args.new)}")
    return 0


def _delete(store: ProfileStore, args: argparse.Namespace) -> int:
    side = _side(store, args)
    store.delete(args.user, side)
    print(f"deleted: {args.user}'s {side.value} hand")
    return 0


def _export(store: ProfileStore, args: argparse.Namespace) -> int:
    from calibration.profiles import SUFFIX, write_profile

    check_new_file("export to", args.file, (SUFFIX,), args.force)
    write_profile(args.file, store.load(args.user, _side(store, args)))
    print(f"written: {args.file}")
    return 0


def _import(store: ProfileStore, args: argparse.Namespace) -> int:
    from dataclasses import replace

    from calibration.profiles import checked_name, read_profile

    profile = read_profile(args.file)
    if args.user is not None:
        profile = replace(profile, user=checked_name(args.user))
    path = store.path(profile.user, profile.side)
    if path.exists() and not args.force:
        raise LumbricalError(
            f"{profile.user} has a profile of the {profile.side.value} hand already: add --force, or --user with "
            "another name"
        )
    print(f"imported: {store.save(profile)}")
    return 0


def _side(store: ProfileStore, args: argparse.Namespace) -> Side:
    if args.side is not None:
        return Side(args.side)
    sides = store.sides(args.user)
    if len(sides) == 2:
        raise LumbricalError(f"{args.user} has profiles of both hands: add --side right or --side left")
    return sides[0] if sides else Side.RIGHT


def _residuals(profile: Profile) -> str:
    before, after = profile.residual_before_mm, profile.residual_after_mm
    if not (math.isfinite(before) and math.isfinite(after)):
        return "unknown"
    return f"{after:.2f} mm, {before:.2f} mm with what was used before"
