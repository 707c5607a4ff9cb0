"""Reads an animated skin back through pygltflib and evaluates it as the glTF specification says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
from numpy.typing import NDArray

Array = NDArray[np.float64]

_COMPONENTS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """One skin, one mesh of one primitive, one animation."""

    def __init__(self, path: Path) -> None:
        document = pygltflib.GLTF2().load_binary(str(path))
        assert document is not None
        self.document: Any = document
        self._blob: bytes = document.binary_blob()
        self.skin = document.skins[0]
        self.primitive = document.meshes[0].primitives[0]
        self.animation = document.animations[0]

    def array(self, index: int) -> NDArray[Any]:
        accessor = self.document.accessors[index]
        view = self.document.bufferViews[accessor.bufferView]
        dtype, width = np.dtype(_COMPONENTS[accessor.componentType]), _WIDTHS[accessor.type]
        start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        assert start % 4 == 0 and accessor.count * width * dtype.itemsize <= view.byteLength
        values = np.frombuffer(self._blob, dtype, accessor.count * width, start).reshape(accessor.count, width)
        if accessor.min:  # pygltflib has an empty list where a file has none
            assert values.min(0).tolist() == accessor.min and values.max(0).tolist() == accessor.max
        return values

    def times(self) -> Array:
        """(N,) the keys of all channels, which must be the same."""
        keys = [self.array(sampler.input)[:, 0] for sampler in self.animation.samplers]
        assert all(np.array_equal(keys[0], other) for other in keys)
        return keys[0].astype(np.float64)

    def _track(self, node: int, path: str, still: object, width: int) -> Array:
        count = len(self.times())
        for channel in self.animation.channels:
            if channel.target.node == node and channel.target.path == path:
                values = self.array(self.animation.samplers[channel.sampler].output)
                return values.astype(np.float64).reshape(count, width)
        return np.tile(np.asarray(still, np.float64), (count, 1))

    def worlds(self) -> Array:
        """(N, nodes, 4, 4) at every key."""
        nodes = self.document.nodes
        parents = {child: number for number, node in enumerate(nodes) for child in node.children or []}
        worlds: dict[int, Array] = {}

        def world(number: int) -> Array:
            if number not in worlds:
                node = nodes[number]
                local = np.tile(np.eye(4), (len(self.times()), 1, 1))
                turn = matrix_of(self._track(number, "rotation", node.rotation or [0, 0, 0, 1], 4))
                scale = self._track(number, "scale", node.scale or [1, 1, 1], 3)
                local[:, :3, :3] = turn * scale[:, None]
                local[:, :3, 3] = self._track(number, "translation", node.translation or [0, 0, 0], 3)
                worlds[number] = world(parents[number]) @ local if number in parents else local
            return worlds[number]

        return np.stack([world(number) for number in range(len(nodes))], 1)

    def places(self) -> dict[str, Array]:
        """(N, 3) m of every node, by name."""
        worlds = self.worlds()
        return {node.name: worlds[:, number, :3, 3] for number, node in enumerate(self.document.nodes)}

    def _growth(self) -> Array:
        """(N, V, 3) m what the morph targets add."""
        if not self.primitive.targets:
            return np.zeros((len(self.times()), 1, 1))
        mesh_node = next(number for number, node in enumerate(self.document.nodes) if node.mesh is not None)
        still = self.document.meshes[0].weights
        weights = self._track(mesh_node, "weights", still, len(still))
        # Programs clamp what lies outside.
        assert weights.min() >= 0 and weights.max() <= 1
        targets = np.stack([self.array(target["POSITION"]) for target in self.primitive.targets]).astype(np.float64)
        return np.asarray(np.einsum("nt,tvk->nvk", weights, targets))

    def vertices(self) -> Array:
        """(N, V, 3) m: morphed, then skinned, at every key."""
        attributes = self.primitive.attributes
        morphed = self.array(attributes.POSITION) + self._growth()
        binds = self.array(self.skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
        carried = self.worlds()[:, self.skin.joints] @ binds
        shares, joints = self.array(attributes.WEIGHTS_0), self.array(attributes.JOINTS_0)
        skinned = np.zeros_like(morphed)
        for column in range(4):
            matrices = carried[:, joints[:, column]]
            moved = np.einsum("nvij,nvj->nvi", matrices[..., :3, :3], morphed) + matrices[..., :3, 3]
            skinned += shares[:, column, None] * moved
        return skinned


def matrix_of(quaternion: Array) -> Array:
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=1), 1, atol=1e-6)
    x, y, z, w = quaternion.T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), 2, 0)
