"""Records scipy's answers for the Kolmogorov-Smirnov tests.

    python analyzer/tests/oracle/make_ks.py > analyzer/tests/oracle/ks.json      # scipy 1.17.1

Samples are not stored: both sides make them from a seed with splitmix64, by the few lines of `sample` below and of
`tests/it/ks_oracle.rs`. Every operation on a double is one that IEEE 754 rounds correctly, so both get the same bits.
"""

import json
import sys
import warnings

import numpy as np
import scipy
from scipy import stats

MASK = (1 << 64) - 1


def splitmix64(state):
    """Vigna's generator: the next state and its output."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def sample(seed, n, shift, scale, levels):
    """n numbers, uniform on [shift, shift + 1) times scale; `levels` above 0 rounds them down to that many steps."""
    values, state = [], seed
    for _ in range(n):
        state, out = splitmix64(state)
        u = (out >> 11) * 2.0**-53
        if levels:
            u = float(int(u * levels)) / levels
        values.append((u + shift) * scale)
    return values


# n1, n2, shift of the second, scale, levels
CASES = [
    (5, 5, 0.0, 1.0, 0), (5, 7, 0.3, 1.0, 0), (6, 9, 0.5, 1.0, 4), (10, 10, 0.2, 1e-9, 0), (10, 25, 0.1, 1e9, 0),
    (12, 18, 0.25, 1.0, 8), (20, 20, 0.0, 1.0, 5), (30, 40, 0.1, 1.0, 0), (33, 44, 0.2, 1.0, 10), (50, 50, 0.15, 1.0, 0),
    (50, 75, 0.05, 1e-9, 20), (60, 61, 0.0, 1.0, 0), (77, 140, 0.1, 1.0, 0), (80, 100, 0.3, 1.0, 3), (99, 101, 0.02, 1.0, 0),
    (100, 100, 0.1, 1.0, 0), (100, 150, 0.2, 1.0, 0), (120, 360, 0.05, 1.0, 12), (128, 256, 0.0, 1e9, 0), (141, 141, 0.07, 1.0, 0),
    (150, 149, 0.12, 1.0, 0), (200, 300, 0.1, 1.0, 30), (200, 5000, 0.05, 1.0, 0), (250, 250, 0.0, 1.0, 2), (256, 255, 0.01, 1.0, 0),
    (300, 1000, 0.03, 1.0, 0), (333, 777, 0.08, 1.0, 50), (400, 400, 0.1, 1.0, 0), (500, 700, 0.02, 1.0, 0), (500, 501, 0.15, 1.0, 0),
    (600, 800, 0.0, 1.0, 100), (700, 700, 0.04, 1.0, 0), (800, 1200, 0.06, 1e-9, 0), (898, 899, 0.03, 1.0, 17), (1000, 1000, 0.02, 1.0, 0),
    (1000, 1500, 0.1, 1.0, 0), (1024, 2048, 0.01, 1.0, 0), (1200, 1300, 0.05, 1.0, 9), (1500, 1500, 0.0, 1.0, 0), (1777, 2221, 0.03, 1.0, 0),
    (2000, 2000, 0.04, 1.0, 200), (2000, 3000, 0.0, 1.0, 0), (2500, 2499, 0.02, 1.0, 0), (3000, 3000, 0.01, 1.0, 0), (3001, 4999, 0.015, 1.0, 0),
    (5000, 5000, 0.02, 1.0, 1000), (5000, 4000, 0.01, 1.0, 0), (7000, 7001, 0.008, 1.0, 0), (9999, 10000, 0.01, 1.0, 0), (10000, 10000, 0.015, 1.0, 0),
    (10000, 10000, 0.0, 1.0, 40), (10000, 5, 0.2, 1.0, 0), (10001, 10001, 0.01, 1.0, 0), (10001, 50, 0.1, 1.0, 0), (20000, 300, 0.05, 1.0, 16),
    (15000, 12000, 0.02, 1.0, 0), (30000, 2000, 0.0, 1.0, 0), (11000, 9000, 0.012, 1.0, 500),
]  # fmt: skip

GRID_N = [1, 2, 3, 5, 10, 17, 50, 100, 139, 140, 141, 200, 500, 1000, 4999, 20000, 99999, 150000, 1000001]
# multiples of n^-1/2, from where the statistic almost never is to far in the tail, and fixed distances
GRID_Z = [0.25, 0.4, 0.5, 0.6, 0.75, 0.85, 0.9, 1.0, 1.2, 1.4, 1.45, 1.5, 1.7, 1.95, 2.05, 2.5, 4.0, 7.0]
GRID_X = [0.05, 0.3, 0.45, 0.55, 0.7, 0.9, 0.97]


def pairs():
    for number, (n1, n2, shift, scale, levels) in enumerate(CASES):
        seed = 1000 + 2 * number
        first, second = sample(seed, n1, 0.0, scale, levels), sample(seed + 1, n2, shift, scale, levels)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = stats.ks_2samp(first, second)
        yield {"seed": seed, "n1": n1, "n2": n2, "shift": shift, "scale": scale, "levels": levels,
               "d": float(found.statistic), "p": float(found.pvalue)}  # fmt: skip


def tails():
    for n in GRID_N:
        for x in sorted({z / n**0.5 for z in GRID_Z} | set(GRID_X)):
            p = float(stats.kstwo.sf(x, n))
            # Past 1e-300 doubles have lost digits.
            if 0.0 < x < 1.0 and p > 1e-300:
                yield [n, x, p]


def main():
    assert np.array(sample(7, 3, 0.0, 1.0, 0)).shape == (3,)
    out = {"scipy": scipy.__version__, "pairs": list(pairs()), "tails": list(tails())}
    text = json.dumps(out, separators=(",", ":"))
    sys.stdout.write(text.replace("},{", "},\n{").replace("],[", "],\n[") + "\n")


if __name__ == "__main__":
    main()
