"""The traffic half of the digits, as it is and as a camera would show it that has slipped, aged or lost its lamp."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from . import paths

ROTATION_DEGREES = 25
NOISE_DEVIATION = 3.0
DARKENING = 0.6


@dataclass(frozen=True)
class Images:
    """Rows of 64 pixels, 0 to 16, and the digit that each shows."""

    rows: list[list[float]]
    labels: list[str]

    def draw(self, rng: random.Random, count: int) -> tuple[list[list[float]], list[str]]:
        """`count` images at random, with their labels."""
        picked = [rng.randrange(len(self.rows)) for _ in range(count)]
        return [self.rows[i] for i in picked], [self.labels[i] for i in picked]


def load() -> Images:
    """The images that `make models` put aside for traffic."""
    with (paths.MODELS / "digits" / "traffic.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        lines = list(reader)
    return Images([[float(x) for x in line[:-1]] for line in lines], [line[-1] for line in lines])


def drifted(images: Images, seed: int) -> Images:
    """A third of the images rotated, a third noisy, a third darkened."""
    rng = np.random.default_rng(seed)
    pixels = np.array(images.rows).reshape(-1, 8, 8)
    kind = np.arange(len(pixels)) % 3
    rotated = ndimage.rotate(pixels, ROTATION_DEGREES, axes=(1, 2), reshape=False, order=1)
    noisy = np.clip(pixels + rng.normal(0.0, NOISE_DEVIATION, pixels.shape), 0.0, 16.0)
    changed = np.choose(kind[:, None, None], [rotated, noisy, pixels * DARKENING])
    return Images(np.round(changed.reshape(-1, 64), 3).tolist(), images.labels)
