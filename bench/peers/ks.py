"""scipy's two-sample Kolmogorov-Smirnov test over columns that are in memory: seconds of the loop, and the distances.

ks.py REFERENCE CURRENT COLUMNS: files of little-endian 64-bit floats, row after row.
"""

import json
import sys
import time

import numpy as np
from scipy import stats

reference, current, columns = sys.argv[1], sys.argv[2], int(sys.argv[3])
a, b = (np.ascontiguousarray(np.fromfile(path, "<f8").reshape(-1, columns).T) for path in (reference, current))
began = time.perf_counter()
distances = [float(stats.ks_2samp(x, y).statistic) for x, y in zip(a, b)]
print(json.dumps({"seconds": time.perf_counter() - began, "d": distances}))
