"""A small reader of BVH of its own: the grammar, and forward kinematics by 4 x 4 matrices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class BvhNode:
    """name: of the parent with "/end" behind it for an end site."""

    name: str
    parent: int
    offset: Array = field(default_factory=lambda: np.zeros(3))
    channels: list[str] = field(default_factory=list)


@dataclass
class Bvh:
    nodes: list[BvhNode]
    frame_time_s: float
    rows: Array

    def places(self) -> dict[str, Array]:
        """Where each node is, (N, 3), in the file's unit. Position channels stand in for the offset."""
        worlds: list[Array] = []
        column = 0
        for node in self.nodes:
            local = np.tile(np.eye(4), (len(self.rows), 1, 1))
            local[:, :3, 3] = node.offset
            for channel in node.channels:
                values, axis = self.rows[:, column], "XYZ".index(channel[0])
                column += 1
                if channel.endswith("position"):
                    local[:, axis, 3] = values
                else:
                    local = local @ _turn(axis, np.deg2rad(values))
            worlds.append(local if node.parent < 0 else worlds[node.parent] @ local)
        assert column == self.rows.shape[1]
        return {node.name: world[:, :3, 3] for node, world in zip(self.nodes, worlds, strict=True)}


def read_bvh(path: Path) -> Bvh:
    words = path.read_text(encoding="ascii").split()
    assert words.pop(0) == "HIERARCHY"
    nodes: list[BvhNode] = []
    stack = [-1]
    while (word := words.pop(0)) != "MOTION":
        if word in ("ROOT", "JOINT"):
            nodes.append(BvhNode(words.pop(0), stack[-1]))
        elif word == "End":
            assert words.pop(0) == "Site"
            nodes.append(BvhNode(f"{nodes[stack[-1]].name}/end", stack[-1]))
        elif word == "{":
            stack.append(len(nodes) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            nodes[-1].offset = np.array([float(words.pop(0)) for _ in range(3)])
        elif word == "CHANNELS":
            nodes[-1].channels = [words.pop(0) for _ in range(int(words.pop(0)))]
        else:
            raise AssertionError(f"unexpected {word}")
    assert stack == [-1] and words[0] == "Frames:" and words[2:4] == ["Frame", "Time:"]
    rows = np.array(words[5:], float).reshape(int(words[1]), sum(len(node.channels) for node in nodes))
    return Bvh(nodes, float(words[4]), rows)


def _turn(axis: int, angle: Array) -> Array:
    matrix = np.tile(np.eye(4), (len(angle), 1, 1))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, i, j], matrix[:, j, i] = -np.sin(angle), np.sin(angle)
    return matrix
