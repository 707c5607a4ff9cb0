"""Limits of the 20 articulation angles, radians, from the anatomical literature (Wang et al., Eq. 9).

Order, per finger from thumb to little: flexion and abduction of the first articulated joint (CMC of the thumb, MCP of
the others), flexion of the second (thumb MCP, finger PIP), flexion of the third (thumb IP, finger DIP). Positive
flexion bends towards the palm, positive abduction goes to the little finger's side. Zero is the flat hand with each
finger in line with its metacarpal (anthropometry.METACARPAL_SPLAY_RAD says where metacarpals point) and the thumb's
metacarpal along THUMB_ZERO_RAD.

The limits bound what healthy hands reach, not their average: where a source gives a mean and a range or several
sources differ, the wider end is taken, in steps of 5 degrees. Barakat, Spread, Bain and Padilla were read as
abstracts; AAOS, Cobos and Cooney through others who quote them. Sources, degrees:

AAOS      American Academy of Orthopaedic Surgeons, normal ranges, as in Norkin & White, Measurement of joint motion:
          MCP flexion 90, extension 45, abduction 20; PIP 100; DIP 90; thumb CMC abduction 70, flexion 15,
          extension 20; thumb MCP 50, IP 80, IP extension 20.
Cobos     Cobos, Ferre, Sanchez Uran, Ortego & Pena 2008, Efficient human hand kinematics for manipulation tasks,
          IROS: MCP 90 / -10; PIP 110, 110, 120, 135; DIP 80-90 / -5; MCP abduction 30 index, 15 middle,
          30 ring, 35 little; thumb MCP 75, IP 75.
Barakat   Barakat, Field & Taylor 2013, The range of movement of the thumb, HAND 8(2):179-182 (100 people), mean
          and range: IP flexion 88 (80-90), extension 12 (0-45); MCP flexion 60 (43-70), extension 8 (0-15);
          CMC anteposition 61 (50-71), radial abduction 63 (53-71), adduction 10 (5-20).
Cooney    Cooney, Lucca, Chao & Linscheid 1981, The kinesiology of the thumb trapeziometacarpal joint, J. Bone Joint
          Surg. 63-A(9):1371-1381: 53 of flexion-extension, 42 of abduction-adduction.
Spread    Ntelı Chatzıoğlou, Pınar & Govsa 2024, Anat. Cell Biol. 57(2):172-182: widest angles between
          neighbouring fingers 17.2 +- 2.6, 14.3 +- 2.3, 32.1 +- 7.0 (index to little).
Bain      Bain, Polites, Higgs, Heptinstall & McGrath 2015, The functional range of motion of the finger joints,
          J. Hand Surg. Eur. 40(4):406-411.
Padilla   Padilla-Magaña, Peña-Pitarch, Sánchez-Suarez & Ticó-Falguera 2022, Sensors 22(9):3276.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Where the thumb's metacarpal points at zero angles, radians from the third metacarpal: to the radial side within the
#: plane of the palm, and out of that plane to the palm. A modelled resting thumb; the thumb's CMC limits are the
#: published reach minus this.
THUMB_ZERO_RAD = np.deg2rad(np.array([40.0, 20.0]))

# Thumb CMC, from its zero, in the frame of engine/hand/skeleton.py, where flexion carries the thumb across the palm and
# positive abduction brings it up into the palm's plane. Flexion: from 70 radial (Barakat) to 10 across the index
# metacarpal, minus the 40 it rests at. Abduction: from 10 behind the plane of the palm (Barakat's adduction) to 70
# before it (AAOS, Barakat), minus the 20 it rests at, the sign turned. Both are wider than Cooney's means of 53 and 42,
# which are one joint's own without the give of the carpus.
# Finger MCP flexion: AAOS 90, more towards the ulnar side (little finger last to stop); hyperextension between the
# 10 of Cobos (active) and the 45 of AAOS (passive).
# Finger MCP abduction: AAOS and Cobos to either side, plus what closing the fingers takes: metacarpals splay by -10, 0,
# 9.5 and 20, so fingers held together already stand at +10, 0, -9.5 and -20; spreading little from ring takes it from
# there to +20 (Spread).
# PIP: AAOS 100, Cobos 110 (index, middle) to 135 (little). 120 for all four: for index and middle that is past Cobos
# and not from the literature; the skeleton fitted to the labels of a recorded fist bends there to 117.
# DIP: AAOS 90. Both extend past straight by 10 in lax hands (Cobos: 5 for the DIP).
# Rows: joint angle; columns: lower, upper; degrees.
_LIMITS_DEG = np.array(
    [
        [[-30, 50], [-50, 30], [-15, 70], [-30, 90]],
        [[-30, 95], [-25, 25], [-10, 120], [-10, 90]],
        [[-30, 95], [-20, 20], [-10, 120], [-10, 90]],
        [[-30, 100], [-25, 20], [-10, 120], [-10, 90]],
        [[-35, 105], [-35, 25], [-10, 120], [-10, 90]],
    ],
    dtype=np.float64,
)

#: (20, 2) lower and upper limit of each articulation angle, radians.
ARTICULATION_LIMITS = np.deg2rad(_LIMITS_DEG).reshape(20, 2)

#: (3, 2) flexion of finger MCP, PIP, DIP that 90 % of everyday tasks stay within, radians (Bain: 10 people, 20 tasks).
FINGER_EVERYDAY_RANGE = np.deg2rad(np.array([[19.0, 71.0], [23.0, 87.0], [10.0, 64.0]]))
#: (3,) middle of FINGER_EVERYDAY_RANGE, and the standard deviation of a normal distribution with 90 % inside it.
FINGER_EVERYDAY_MEAN = FINGER_EVERYDAY_RANGE.mean(axis=1)
FINGER_EVERYDAY_SD = (FINGER_EVERYDAY_RANGE[:, 1] - FINGER_EVERYDAY_RANGE[:, 0]) / (2 * 1.645)
#: (3,) mean flexion of thumb CMC, MCP, IP over 16 grasps, radians (Padilla: 25 people). CMC as their glove measures it.
THUMB_EVERYDAY_MEAN = np.deg2rad(np.array([28.56, 26.84, 13.23]))


def limit_violation(articulation: ArrayLike) -> Array:
    """Eq. 9: the sum of squared distances by which angles leave their limits.

    articulation: (..., 20) radians. Returns (...), radians squared; 0 where every angle is within its limits.
    Raises ValueError when the last axis is not 20 long.
    """
    angles = np.asarray(articulation, dtype=np.float64)
    if angles.ndim == 0 or angles.shape[-1] != len(ARTICULATION_LIMITS):
        raise ValueError(f"articulation must have shape (..., {len(ARTICULATION_LIMITS)}), not {angles.shape}")
    lower, upper = ARTICULATION_LIMITS.T
    excess = np.maximum(lower - angles, 0.0) + np.maximum(angles - upper, 0.0)
    return np.asarray((excess**2).sum(axis=-1))
