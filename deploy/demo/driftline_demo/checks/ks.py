"""Point 5: the Kolmogorov-Smirnov test gives scipy's D and p."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from scipy.stats import ks_2samp

from driftline_demo import paths
from driftline_demo.table import Row

PAIRS, SEED = 50, 3
# The corners that random sizes miss: the largest with an exact p, equal or not, and the least against the largest.
FIXED_SIZES = {0: (10_000, 10_000), 1: (10_000, 9_999), 2: (5, 10_000), 3: (5, 5)}
TOLERANCE_D, TOLERANCE_P = 1e-12, 1e-9


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Random pairs: 5 to 10,000 values, equal and unequal sizes, with and without ties, shifted and not."""
    rng = np.random.default_rng(SEED)
    made = []
    for i in range(PAIRS):
        n, m = (round(10 ** rng.uniform(np.log10(5), 4)) for _ in range(2))
        n, m = FIXED_SIZES.get(i, (n, n if i % 5 == 0 else m))
        a, b = rng.normal(0, 1, n), rng.normal(rng.choice([0.0, 0.1, 0.5]), rng.choice([1.0, 1.3]), m)
        if i % 2 == 0:
            a, b = np.round(a, i % 3), np.round(b, i % 3)
        made.append((a, b))
    return made


def rows(folder: Path) -> list[Row]:
    """Runs `driftline ks` over all pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    worst_d = worst_p = 0.0
    ties = 0
    for a, b in pairs():
        ours = _ours(folder, a, b)
        theirs = ks_2samp(a, b)
        worst_d = max(worst_d, abs(ours["d"] - float(theirs.statistic)))
        p = float(theirs.pvalue)
        worst_p = max(worst_p, abs(ours["p"] - p) / p if p > 0 else abs(ours["p"]))
        ties += len(np.unique(np.concatenate([a, b]))) < len(a) + len(b)
    cases = f"{PAIRS} pairs, {ties} with ties"
    return [
        Row(5, f"D against scipy, {cases}", f"within {TOLERANCE_D:.0e}", f"{worst_d:.1e}", worst_d <= TOLERANCE_D),
        Row(
            5,
            f"p against scipy, {cases}",
            f"within {TOLERANCE_P:.0e}, relative",
            f"{worst_p:.1e}",
            worst_p <= TOLERANCE_P,
        ),
    ]


def _ours(folder: Path, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    files = (folder / "reference.txt", folder / "current.txt")
    for file, values in zip(files, (a, b), strict=True):
        file.write_text("".join(f"{x!r}\n" for x in values.tolist()), encoding="utf-8")
    command = [str(paths.BINARY), "ks", *map(str, files), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
