"""The largest singular value of the noise around a few planted directions, from the spectrum alone.

As `marchenko_pastur` does, the middle half of the bulk is matched to the law, and what is beyond
the edge leaves the bulk. Here it leaves both sizes: noise around k directions is that of a matrix
(N - k) x (M - k), which matters where directions are counted.
"""

import math

import numpy as np

from allennlp_analyze.metrics.marchenko_pastur import middle_sigma, tracy_widom_threshold

# The 99.9% quantile of the Tracy-Widom law for real matrices (Prahofer's tables: 3.2724).
TRACY_WIDOM_999 = 3.2724
# The fitted sigma strays by about 1 / M; this share of it keeps small matrices from false alarms.
SIGMA_STRAYS = 0.5
MIN_VALUES = 5


def noise_edge(values: np.ndarray, n: int) -> float:
    """The largest singular value that noise has in 999 of 1,000 draws.

    `values` (M,) are singular values above 0, descending, of a matrix with the larger dimension
    `n`: noise with independent entries plus at most M / 2 stronger directions. M is at least
    MIN_VALUES. docs/how-to/compare.md has the measured error rates.
    """
    ascending = (values[::-1] / values[0]) ** 2
    beyond = 0
    while True:
        m = len(ascending) - beyond
        sigma = middle_sigma(ascending[:m], n - beyond) * (1 + SIGMA_STRAYS / m)
        edge = tracy_widom_threshold(sigma, n - beyond, m, TRACY_WIDOM_999)
        found = min(max(int(np.count_nonzero(ascending > edge)), beyond), len(ascending) // 2)
        if found == beyond:
            return float(values[0]) * math.sqrt(edge)
        beyond = found
