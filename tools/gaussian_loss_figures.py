"""Makes docs/images/gaussian-loss.png and prints the tables of docs/gaussian-loss.md:

    python tools/gaussian_loss_figures.py            picture and tables
    python tools/gaussian_loss_figures.py --no-picture

All from rendered hands whose truth is known, in a minute on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.hand.skeleton import Skeleton  # noqa: E402
from engine.methods.gaussian.decoder import DecodedHand, GaussianDecoder, crop_camera  # noqa: E402
from engine.methods.gaussian.energies import apart_pairs, e_bone, e_collision, e_dissim, e_lim  # noqa: E402
from engine.methods.gaussian.quadtree import ImageGaussians, image_gaussians  # noqa: E402
from engine.training.renders import HandRenderer, RenderConfig, RenderedBatch  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "gaussian-loss.png"
_SEED, _COUNT = 123, 64
_ZOOM = 4
_BACKGROUND = (16, 18, 24)


class Scene:
    """Rendered hands, their image Gaussians and their true parameters."""

    def __init__(self, plain: bool) -> None:
        config = RenderConfig(empty_fraction=0.0, left_fraction=0.0, noise=not plain, clutter=not plain)
        self.batch: RenderedBatch = HandRenderer(config, _SEED).batch(_COUNT)
        self.images: ImageGaussians = image_gaussians(self.batch.crop, self.batch.distance)
        self.wrist = self.batch.joints[:, 0].clone()
        self.wrist[:, 2] += self.batch.distance

    def hand(
        self, decoder: GaussianDecoder, dz: float = 0.0, dx: float = 0.0, flesh: float = 0.0, bend: float = 0.0
    ) -> DecodedHand:
        """The true hand, moved by dz and dx mm, every part `flesh` mm thicker, every angle `bend` radians further."""
        batch = self.batch
        wrist = self.wrist + torch.tensor([dx, 0.0, dz])
        camera = crop_camera(batch.distance)
        angles, thickness = batch.articulation + bend, batch.thickness + flesh
        return decoder.decode(wrist, batch.rotation, angles, batch.beta, thickness, camera)


def surface_table() -> None:
    """Where along the camera's axis E_dissim is least, for several places of the Gaussians' surface."""
    print("surface_sigmas | clean: E at truth, least at dz mm | noise and clutter: E at truth, least at dz mm")
    scenes = (Scene(plain=True), Scene(plain=False))
    for sigmas in (0.0, 0.5, 1.0, 1.43, 1.6, 1.75, 2.0):
        decoder, cells = GaussianDecoder(Skeleton(), sigmas), []
        for scene in scenes:
            places = torch.arange(-16.0, 16.5, 1.0)
            curve = torch.stack([e_dissim(scene.hand(decoder, dz=float(z)), scene.images).mean() for z in places])
            cells.append(f"{curve[len(places) // 2]:.3f}, {places[curve.argmin()]:+.0f}")
        print(f"{sigmas} | {' | '.join(cells)}")


def direction_table() -> None:
    """E_dissim where the hand is off, and with other flesh."""
    scene, decoder = Scene(plain=True), GaussianDecoder(Skeleton())
    for name, values in (("dz", (-10, -5, 0, 5, 10)), ("dx", (-10, -5, 0, 5, 10)), ("flesh", (-2, -1, 0, 1, 2))):
        row = [e_dissim(scene.hand(decoder, **{name: float(value)}), scene.images).mean() for value in values]
        print(f"{name} mm {values}: " + ", ".join(f"{value:.3f}" for value in row))
    row = [e_dissim(scene.hand(decoder, bend=value), scene.images).mean() for value in (-0.2, -0.1, 0.0, 0.1, 0.2)]
    print("all angles rad (-0.2, -0.1, 0, 0.1, 0.2): " + ", ".join(f"{value:.3f}" for value in row))


def pull_table() -> None:
    """Values and median lengths of the gradients by angles, beta and thickness, at the truth and off it."""
    scene, decoder = Scene(plain=True), GaussianDecoder(Skeleton())
    batch, camera = scene.batch, crop_camera(scene.batch.distance)
    generator = torch.Generator().manual_seed(0)
    for off in (0.0, 1.0):
        noise = [torch.randn(_COUNT, n, generator=generator) for n in (3, 20, 20)]
        wrist = scene.wrist + 5 * off * noise[0]
        made = (batch.articulation + 0.2 * off * noise[1], batch.beta + 0.5 * off * noise[2], batch.thickness)
        angles, beta, flesh = variables = [part.clone().requires_grad_() for part in made]
        hand = decoder.decode(wrist, batch.rotation, angles, beta, flesh, camera)
        apart = apart_pairs(torch.device("cpu"))
        energies = {
            "dissim": e_dissim(hand, scene.images),
            "collision, neighbours left out": e_collision(hand.means, hand.sigmas_mm, apart),
            "collision, all pairs": e_collision(hand.means, hand.sigmas_mm),
            "bone": e_bone(beta),
            "lim": e_lim(angles),
        }
        print("at the truth" if off == 0 else "5 mm, 0.2 rad and 0.5 beta off", "(mean; d angles, d beta, d thickness)")
        for name, value in energies.items():
            slopes = torch.autograd.grad(value.sum(), variables, allow_unused=True, retain_graph=True)
            print(f"  {name}: {value.detach().mean():.3f}; " + ", ".join(map(_typical, slopes)))


def _typical(slope: Tensor | None) -> str:
    return "-" if slope is None else f"{slope.norm(dim=1).median():.3g}"


def picture(scene: Scene, numbers: tuple[int, ...]) -> Image.Image:
    """Rows: crops. Columns: depth, its Gaussians as discs of one sigma, the model's at the truth."""
    decoder = GaussianDecoder(Skeleton())
    hand = scene.hand(decoder)
    side = 128 * _ZOOM
    sheet = Image.new("RGB", (3 * side, len(numbers) * side), _BACKGROUND)
    for row, b in enumerate(numbers):
        distance = float(scene.batch.distance[b])
        crop = scene.batch.crop[b, 0].numpy()
        depth = Image.fromarray(_colours(crop)).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(depth, (0, row * side))
        mask, images = scene.images.mask[b], scene.images
        leaves = (images.centres_px[b, mask], images.sigmas_px[b, mask], images.depth_mm[b, mask])
        model = (hand.centres_px[b], hand.sigmas_px[b], hand.surface_mm[b])
        for column, (centres, sigmas, z) in enumerate((leaves, model), start=1):
            image = depth.point(lambda value: value // 3)
            _discs(image, centres, sigmas, (z - distance) / 150)
            sheet.paste(image, (column * side, row * side))
    return sheet


def _colours(crop: np.ndarray) -> np.ndarray:
    """Near is bright and warm; (..., ) in [-1, 1] -> (..., 3) uint8; what is empty is dark."""
    near = np.clip(0.5 - 0.8 * crop, 0, 1)[..., None]
    warm, cold = np.array([255.0, 214, 140]), np.array([40.0, 70, 130])
    return np.where(crop[..., None] < 1, near * warm + (1 - near) * cold, _BACKGROUND).astype(np.uint8)


def _discs(image: Image.Image, centres: Tensor, sigmas: Tensor, depth: Tensor) -> None:
    """Discs of one sigma, the far ones first."""
    draw = ImageDraw.Draw(image)
    for i in depth.argsort(descending=True).tolist():
        (u, v), radius = ((centres[i] + 0.5) * _ZOOM).tolist(), float(sigmas[i]) * _ZOOM
        colour = tuple(int(x) for x in _colours(depth[i].numpy().reshape(1))[0])
        draw.ellipse((u - radius, v - radius, u + radius, v + radius), fill=colour, outline=(10, 12, 16))


def main() -> None:
    """Print the tables; draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-picture", action="store_true", help="print the tables only")
    args = parser.parse_args()
    if not args.no_picture:
        picture(Scene(plain=False), (0, 5)).save(PICTURE, optimize=True)
        print(f"wrote {PICTURE.relative_to(ROOT)}")
    with torch.no_grad():
        surface_table()
        direction_table()
    pull_table()


if __name__ == "__main__":
    main()
