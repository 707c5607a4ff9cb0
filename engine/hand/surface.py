"""The volumes a hand is made of, as signed distances: below zero inside, in mm, in the wrist frame of the rest pose.

Every finger is one body swept along its straight axis with a breadth and two depths (back and pulp) that follow the
phalanges; palm, thumb base, heel and webs are tapered capsules and ellipsoids; polynomial smooth minima join them. Only
additions, products, quotients and square roots are used, so that every machine computes the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.hand.anthropometry import DIP_CIRCUMFERENCE_MM, PIP_BREADTH_MM, PIP_DEPTH_MM

Array = NDArray[np.float64]
Vector = Sequence[float] | Array

#: How far the wrist stub reaches towards the forearm, mm from the wrist joint.
STUB_LENGTH_MM = 30.0
#: Where the web between two fingers ends, as a part of the proximal phalanx.
WEB_REACH = 0.42

_CAP_BACK_MM = 8.0
_EPSILON = 1e-9
_TWO_PI = 6.283185307179586


@dataclass(frozen=True)
class RestHand:
    """The skeleton at rest. joints: (21, 3) mm; rotations: (20, 3, 3) bone to wrist frame; lengths: (20,) mm."""

    joints: Array
    rotations: Array
    lengths: Array

    def finger_origin(self, finger: int) -> Array:
        """The joint where the finger's straight part begins: CMC of the thumb, MCP of the others, (3,) mm."""
        return self.joints[4 * finger + 1]

    def finger_frame(self, finger: int) -> Array:
        """(3, 3), columns: across the finger, along it, out of its pulp side."""
        return self.rotations[4 * finger + 1]

    def finger_stations(self, finger: int) -> Array:
        """Distance along the finger of its joints from its origin: 0, second joint, third joint, tip; (4,) mm."""
        return np.concatenate([[0.0], np.cumsum(self.lengths[4 * finger + 1 : 4 * finger + 4])])


@dataclass(frozen=True)
class _FingerForm:
    """Half breadth, depth to the back and depth to the pulp in mm at seven stations (7,), and the tip cap's length.

    The stations: first joint, half-way, second joint, half-way, third joint, half-way to the cap, start of the cap.
    """

    breadth: Array
    back: Array
    pulp: Array
    cap: float


def _finger_form(finger: int) -> _FingerForm:
    """Girths at the second and third joint as measured; between them the waists, swellings and taper of a finger."""
    if finger == 0:
        breadth3, depth3 = PIP_BREADTH_MM[0] / 2, PIP_DEPTH_MM[0] / 2
        breadth2, depth2 = 1.07 * breadth3, 1.14 * depth3
    else:
        breadth2, depth2 = PIP_BREADTH_MM[finger] / 2, PIP_DEPTH_MM[finger] / 2
        breadth3, depth3 = (part * DIP_CIRCUMFERENCE_MM[finger - 1] / _TWO_PI for part in (1.08, 0.92))
    back2, back3, pulp2, pulp3 = 0.94 * depth2, 0.90 * depth3, 1.06 * depth2, 1.10 * depth3
    thumb = finger == 0
    return _FingerForm(
        breadth=_stations(breadth2, breadth3, (0.88, 0.93) if thumb else (0.95, 0.92), 0.46, (0.99, 0.84)),
        back=_stations(back2, back3, (0.9, 0.9) if thumb else (1.05, 0.93), 0.455, (0.86, 0.69)),
        pulp=_stations(pulp2, pulp3, (0.9, 1.0) if thumb else (1.05, 1.04), 0.52, (1.06, 0.89)),
        cap=0.93 * breadth3,
    )


def _stations(second: float, third: float, before: Vector, between: float, beyond: Vector) -> Array:
    """A measure at the seven stations (7,) from that at the second and third joint and parts of the nearer one."""
    middle = between * (second + third)
    return np.array([before[0] * second, before[1] * second, second, middle, third, *(p * third for p in beyond)])


def smooth_union(a: Array, b: Array, blend_mm: float) -> Array:
    """The smaller of two distances, rounded where they differ by less than blend_mm (cubic polynomial)."""
    near = np.maximum(blend_mm - np.abs(a - b), 0.0) / blend_mm
    return np.minimum(a, b) - near * near * near * (blend_mm / 6.0)


def smooth_difference(a: Array, b: Array, blend_mm: float) -> Array:
    """Volume a without volume b, its edge rounded over blend_mm."""
    return -smooth_union(-a, b, blend_mm)


def tapered_capsule(points: Array, start: Vector, end: Vector, start_radius: float, end_radius: float) -> Array:
    """Distance of points (N, 3) to a capsule whose radius changes evenly from start to end, (N,) mm."""
    axis = np.asarray(end, np.float64) - np.asarray(start, np.float64)
    x, y, z = (points[:, i] - start[i] for i in range(3))
    along = (x * axis[0] + y * axis[1] + z * axis[2]) / (axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2)
    along = np.clip(along, 0.0, 1.0)
    x, y, z = x - along * axis[0], y - along * axis[1], z - along * axis[2]
    return np.sqrt(x * x + y * y + z * z) - (start_radius + along * (end_radius - start_radius))


def _ellipsoid_distance(x: Array, y: Array, z: Array, a: Array | float, b: Array | float, c: Array | float) -> Array:
    """First-order distance to the ellipsoid with half axes a, b, c (which may differ from point to point)."""
    x, y, z = x / a, y / b, z / c
    level = np.sqrt(x * x + y * y + z * z + _EPSILON)
    x, y, z = x / a, y / b, z / c
    slope = np.sqrt(x * x + y * y + z * z + 0.01 * _EPSILON)
    return level * (level - 1.0) / slope


def ellipsoid(points: Array, centre: Vector, half_axes: Vector, frame: Array) -> Array:
    """Distance of points (N, 3) to an ellipsoid whose axes are the columns of frame (3, 3), (N,) mm."""
    u, v, w = local_coordinates(points, np.asarray(centre, np.float64), frame)
    return _ellipsoid_distance(u, v, w, *half_axes)


def local_coordinates(points: Array, origin: Array, frame: Array) -> tuple[Array, Array, Array]:
    """Coordinates of points (N, 3) along the columns of frame (3, 3), seen from origin: three arrays (N,)."""
    x, y, z = (points[:, i] - origin[i] for i in range(3))
    u, v, w = (x * frame[0, i] + y * frame[1, i] + z * frame[2, i] for i in range(3))
    return u, v, w


def _smooth_profile(stations: Array, values: Vector, at: Array) -> Array:
    """A cubic through values at stations whose slopes are the mean ones of both sides; constant beyond the ends."""
    v = np.asarray(values, np.float64)
    steps = np.diff(v) / np.diff(stations)
    slopes = np.concatenate([[0.0], (steps[:-1] + steps[1:]) / 2, [0.0]])
    at = np.clip(at, stations[0], stations[-1])
    k = np.clip(np.searchsorted(stations, at, side="right") - 1, 0, len(v) - 2)
    width = (stations[1:] - stations[:-1])[k]
    t = (at - stations[k]) / width
    rest = 1.0 - t
    ends = v[k] * (1 + 2 * t) * rest * rest + v[k + 1] * (3 - 2 * t) * t * t
    return ends + width * t * rest * (slopes[k] * rest - slopes[k + 1] * t)


def finger_body(points: Array, hand: RestHand, finger: int) -> Array:
    """Distance of points (N, 3) to one finger's own body, from inside the palm to the tip on its skin, (N,) mm."""
    form = _finger_form(finger)
    u, s, w = local_coordinates(points, hand.finger_origin(finger), hand.finger_frame(finger))
    _, second, third, tip = hand.finger_stations(finger)
    cap_start = tip - form.cap
    stations = np.array([0.0, second / 2, second, (second + third) / 2, third, (third + cap_start) / 2, cap_start])
    breadth = _smooth_profile(stations, form.breadth, s)
    depth = np.where(w > 0, _smooth_profile(stations, form.pulp, s), _smooth_profile(stations, form.back, s))
    outside = np.maximum(s - cap_start, 0.0) + np.minimum(s, 0.0)
    return _ellipsoid_distance(u, outside, w, breadth, np.where(s > 0, form.cap, _CAP_BACK_MM), depth)


def wrist_body(points: Array) -> Array:
    """Distance of points (N, 3) to the flattened end of the forearm, closed below the wrist, (N,) mm."""
    stations = np.array([-STUB_LENGTH_MM - 5.0, -12.0, 0.0, 14.0, 30.0])
    s = -points[:, 1]
    breadth = _smooth_profile(stations, (30.5, 29.8, 29.5, 29.5, 27.0), s)
    back = _smooth_profile(stations, (18.0, 17.0, 15.5, 13.0, 10.0), s)
    palm = _smooth_profile(stations, (20.5, 20.5, 19.5, 17.0, 12.0), s)
    depth = np.where(points[:, 2] > -2.0, back, palm)
    x, z = points[:, 0] / breadth, (points[:, 2] + 2.0) / depth
    level = np.sqrt(x * x + z * z + _EPSILON)
    x, z = x / breadth, z / depth
    around = level * (level - 1.0) / np.sqrt(x * x + z * z + 0.01 * _EPSILON)
    cut = np.maximum(-s - STUB_LENGTH_MM, s - 22.0)
    return -smooth_union(-around, -cut, 16.0)


def palm_body(points: Array, hand: RestHand) -> Array:
    """Distance of points (N, 3) to the palm of the four fingers without thumb, webs and fingers, (N,) mm."""
    bases = ((12.0, -14.0, -4.0), (4.5, -14.0, -2.5), (-5.0, -14.0, -3.5), (-13.0, -14.0, -6.0))
    heads = ((13.0, 1.2, 3.6), (13.0, 0.0, 3.6), (12.6, -0.5, 3.2), (11.6, -2.0, 2.2))
    distance = np.full(len(points), np.inf)
    for finger, base, (radius, across, sink) in zip(range(1, 5), bases, heads, strict=True):
        knuckle = _along(hand, finger, 0.0, across, sink)
        bone = tapered_capsule(points, base, knuckle, 14.0, radius)
        distance = bone if finger == 1 else smooth_union(distance, bone, 12.0)
        if finger in (1, 4):
            # On the outer sides, where no web does it, the finger would step out of the palm.
            end = _along(hand, finger, 0.42, 0.8 * across, 1.0)
            root = tapered_capsule(points, knuckle, end, radius, 0.41 * PIP_BREADTH_MM[finger])
            distance = smooth_union(distance, root, 2.0)
    little, thumb = hand.finger_origin(4), hand.finger_origin(0)
    pad = tapered_capsule(points, _along(hand, 1, 0.08, -2.0, 5.0), _along(hand, 4, 0.05, 1.0, 4.0), 9.0, 8.0)
    distance = smooth_union(distance, pad, 8.0)
    # The hypothenar eminence, from the pisiform at the wrist's crease to the little finger's knuckle: the palm's border
    # there is almost straight.
    heel = tapered_capsule(points, (-24.0, 3.0, -11.0), little + np.array([1.5, 16.0, -3.5]), 13.5, 12.8)
    distance = smooth_union(distance, heel, 12.0)
    thenar = tapered_capsule(points, thumb + np.array([-6.0, 5.0, -4.5]), _along(hand, 0, 0.72, -3.0, 3.0), 15.5, 12.0)
    distance = smooth_union(distance, thenar, 12.0)
    root = tapered_capsule(points, thumb + np.array([-2.0, 14.0, 3.0]), _along(hand, 0, 0.55, 0.0, 0.0), 11.0, 11.0)
    distance = smooth_union(distance, root, 10.0)
    middle = hand.finger_origin(2)
    hollow = ellipsoid(points, (middle[0] - 3.0, 0.58 * middle[1], -29.5), (15.0, 26.0, 13.5), np.eye(3))
    distance = smooth_difference(distance, hollow, 9.0)
    for finger in range(1, 5):
        top = _along(hand, finger, -0.03, 0.0, -4.5)
        bump = tapered_capsule(points, top, top + np.array([0.0, 14.0, -2.0]), 7.2, 5.5)
        distance = smooth_union(distance, bump, 5.0)
    return distance


def _along(hand: RestHand, finger: int, part: float, across: float, pulp: float) -> Array:
    """A point of a finger: part of its first straight bone, then mm across it and towards the pulp, (3,) mm."""
    s = part * hand.finger_stations(finger)[1]
    return hand.finger_origin(finger) + hand.finger_frame(finger) @ np.array([across, s, pulp])


def web_body(points: Array, hand: RestHand) -> Array:
    """Distance of points (N, 3) to the webs between the fingers and between thumb and index, (N,) mm."""
    distance = np.full(len(points), np.inf)
    for finger in range(1, 4):
        radius = 5.0 if finger < 3 else 4.6
        ends = (_along(hand, f, WEB_REACH, 0.0, 3.0) for f in (finger, finger + 1))
        (x0, y0, z0), (x1, y1, z1) = ends
        back = radius / -hand.finger_frame(finger)[1, 1]
        web = tapered_capsule(points, (x0, y0 + back, z0), (x1, y1 + back, z1), radius, radius)
        distance = web if finger == 1 else smooth_union(distance, web, 3.0)
    index, wrist = hand.finger_origin(1), hand.joints[0]
    fold = tapered_capsule(points, _along(hand, 0, 0.82, -2.0, 0.0), 0.88 * index + 0.12 * wrist, 7.0, 7.5)
    deep = tapered_capsule(points, _along(hand, 0, 0.40, -2.0, 0.0), 0.52 * index + 0.48 * wrist, 9.5, 10.0)
    return smooth_union(distance, smooth_union(fold, deep, 12.0), 3.0)


def hand_body(points: Array, hand: RestHand) -> Array:
    """Distance of points (N, 3) to the whole hand with its wrist stub, (N,) mm."""
    palm = smooth_union(palm_body(points, hand), wrist_body(points), 14.0)
    palm = smooth_union(palm, web_body(points, hand), 6.0)
    fingers = finger_body(points, hand, 1)
    for finger in range(2, 5):
        fingers = smooth_union(fingers, finger_body(points, hand, finger), 0.8)
    palm = smooth_union(palm, fingers, 7.0)
    return smooth_union(palm, finger_body(points, hand, 0), 7.0)
