"""Records scipy's answers for the rank tests and the distances over counts.

    python analyzer/tests/oracle/make_tests.py > analyzer/tests/oracle/tests.json      # scipy 1.17.1

Samples are made from a seed as in `make_ks.py`. Anderson-Darling's p-value is scipy's only between its table's ends and there
interpolated, so the limit law's tail is recorded beside it, by Imhof's inversion of its characteristic function: another way
than the one it checks. Kuiper's statistic is counted here point by point.
"""

import json
import math
import sys
import warnings

import numpy as np
import scipy
from scipy import integrate, stats
from scipy.spatial import distance

from make_ks import sample

# n1, n2, shift of the second, levels
CASES = [
    (3, 4, 0.3, 0), (5, 5, 0.0, 0), (6, 9, 0.5, 4), (8, 12, 0.2, 0), (8, 300, 0.1, 0), (7, 9000, 0.2, 0), (9, 9, 0.1, 0),
    (12, 18, 0.25, 8), (20, 20, 0.0, 5), (20, 20, 0.2, 0), (19, 7, 0.6, 0), (21, 20, 0.1, 0), (50, 75, 0.05, 20), (80, 100, 0.3, 3),
    (120, 360, 0.05, 12), (200, 5000, 0.05, 0), (500, 700, 0.02, 0), (1000, 1500, 0.1, 0), (2000, 2000, 0.04, 200),
    (5000, 4000, 0.01, 0), (5000, 5000, 0.02, 1000), (20000, 300, 0.05, 16), (15000, 12000, 0.02, 0), (30000, 30000, 0.5, 0),
]  # fmt: skip

TABLES = [
    [[30, 20], [50, 30], [20, 50]], [[5, 5], [5, 5]], [[100, 10], [200, 22], [300, 28], [0, 3]], [[1, 0], [0, 1], [7, 9]],
    [[1000, 900], [10, 40], [1, 0], [0, 1], [55, 44]], [[12345, 23456], [999, 1], [0, 777], [31, 31]],
]  # fmt: skip


def kuiper(first, second):
    points = np.concatenate([first, second])
    f1 = np.searchsorted(np.sort(first), points, side="right") / len(first)
    f2 = np.searchsorted(np.sort(second), points, side="right") / len(second)
    return float(max(f1 - f2) + max(f2 - f1))


def cramer(first, second, tied):
    """scipy's, or with ties, of which it makes midranks, the statistic by its definition and no p."""
    if not tied:
        found = stats.cramervonmises_2samp(first, second)
        return [float(found.statistic), float(found.pvalue)]
    points, n1, n2 = np.concatenate([first, second]), len(first), len(second)
    f1 = np.searchsorted(np.sort(first), points, side="right") / n1
    f2 = np.searchsorted(np.sort(second), points, side="right") / n2
    return [float(n1 * n2 / (n1 + n2) ** 2 * np.sum((f1 - f2) ** 2)), None]


def pairs():
    for number, (n1, n2, shift, levels) in enumerate(CASES):
        seed = 9000 + 2 * number
        first, second = sample(seed, n1, 0.0, 1.0, levels), sample(seed + 1, n2, shift, 1.0, levels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mann = stats.mannwhitneyu(first, second, alternative="two-sided")
            darling = stats.anderson_ksamp([first, second])
        yield {"seed": seed, "n1": n1, "n2": n2, "shift": shift, "levels": levels,
               "cramer": cramer(first, second, levels > 0), "mann": [float(mann.statistic), float(mann.pvalue)],
               "darling": float(darling.statistic), "kuiper": kuiper(first, second),
               "wasserstein": float(stats.wasserstein_distance(first, second))}  # fmt: skip


def tables():
    for table in TABLES:
        r, c = (np.array(column, float) for column in zip(*table))
        chi = stats.chi2_contingency(np.array(table), correction=False)
        g = stats.chi2_contingency(np.array(table), correction=False, lambda_="log-likelihood")
        p, q = r / r.sum(), c / c.sum()
        smooth = [(x + 0.5) / (x.sum() + 0.5 * len(x)) for x in (r, c)]
        yield {"table": table, "chi": [float(chi.statistic), float(chi.pvalue)], "g": [float(g.statistic), float(g.pvalue)],
               "jensen_shannon": float(distance.jensenshannon(p, q)),
               "hellinger": float(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / math.sqrt(2)),
               "total_variation": float(distance.cityblock(p, q) / 2), "l_infinity": float(distance.chebyshev(p, q)),
               "psi": float(stats.entropy(smooth[0], smooth[1]) + stats.entropy(smooth[1], smooth[0]))}  # fmt: skip


def imhof(weights, w):
    """P(sum weights_j Z_j^2 > w)."""
    weights = np.array(weights)

    def integrand(u):
        theta = 0.5 * np.sum(np.arctan(weights * u)) - 0.5 * w * u
        rho = np.exp(0.25 * np.sum(np.log1p((weights * u) ** 2)))
        return math.sin(theta) / (u * rho)

    step, total, start = 40.0, 0.0, 0.0
    while start < 4000.0:
        piece, _ = integrate.quad(integrand, start, start + step, limit=400, epsabs=1e-13)
        total, start = total + piece, start + step
    return 0.5 + total / math.pi


def limits():
    # the infinite tail of weights is replaced by its mean
    j = np.arange(1, 401)
    weights = 1.0 / (j * (j + 1.0))
    for w in [0.3, 0.6, 1.0, 1.933, 2.492, 3.878, 6.0]:
        yield ["anderson_darling", w, imhof(weights, w - (1.0 / 401.0))]


def main():
    out = {"scipy": scipy.__version__, "pairs": list(pairs()), "tables": list(tables()), "limits": list(limits())}
    text = json.dumps(out, separators=(",", ":"))
    sys.stdout.write(text.replace("},{", "},\n{").replace("],[", "],\n[") + "\n")


if __name__ == "__main__":
    main()
