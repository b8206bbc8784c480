"""Draws resamples of a spectrum and finds the best power law of each, all of them at once."""

from collections.abc import Iterator
from typing import Optional, Union

import numpy as np

# Candidates for xmin that are tried at once. A smaller block learns sooner that a candidate is
# worse than another; a larger one has fewer, longer array operations.
BLOCK = 8
# A search for the best candidate tries each STRIDE-th first: then it rejects most others.
STRIDE = 16
# Points of the tail, as shares of its length, at which a candidate is tried before all points.
COARSE = (np.arange(12) + 1.0) / 13
FINE = (np.arange(48) + 0.5) / 48
# Elements of the largest arrays; limits memory.
ELEMENTS = 1 << 21
EXACT_ELEMENTS = 1 << 17


def batches(count: int, size: int) -> Iterator[int]:
    """Yields how many of `count` resamples of `size` values each are to be drawn at a time."""
    most = max(ELEMENTS // size, 1)
    for start in range(0, count, most):
        yield min(most, count - start)


def from_power_law(
    logs: np.ndarray, n_tail: int, alpha: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Resamples under the hypothesis of a power law (Clauset, Shalizi & Newman 2009, section 4.1).

    `logs` (n,) are the logarithms of the data, ascending. Each value of a resample comes from the
    power law with the probability n_tail / n, and else from the data below xmin. Returns an array
    (n, count) of logarithms; each column is ascending.
    """
    below = len(logs) - n_tail
    places = _places(len(logs), count, rng)
    found = logs.take(places.astype(np.intp))
    # From here on: minus the place in the tail, in (-1, 0]; above 0 is below the tail.
    places -= below
    places /= -n_tail
    in_tail = places <= 0
    np.minimum(places, 0.0, out=places)
    np.log1p(places, out=places)
    places *= -1.0 / (alpha - 1.0)
    places += logs[below]
    np.copyto(found, places, where=in_tail)
    return found


def from_data(logs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Resamples of the data with replacement, in the layout of `from_power_law`."""
    return logs.take(_places(len(logs), count, rng).astype(np.intp))


def _places(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(size, count): in each column `size` ascending uniform numbers in [0, size).

    The gaps between sorted uniform numbers are exponential, so nothing needs to be sorted.
    """
    sums = rng.standard_exponential((size + 1, count))
    np.cumsum(sums, axis=0, out=sums)
    places = sums[:-1]
    places *= size / sums[-1]
    return np.minimum(places, np.nextafter(size, 0), out=places)


class Resamples:
    """The fits of resamples, with the same candidates for xmin as `fit_power_law`.

    Every distinct value except the largest is a candidate. No candidate is left out: one is
    rejected only because its distance at some points, a lower bound of its Kolmogorov-Smirnov
    distance, is too large. `logs` (n, count) has an ascending resample in each column.
    """

    def __init__(self, logs: np.ndarray) -> None:
        self.size, self.count = logs.shape
        self._logs = logs
        self._tails = np.arange(self.size, 0, -1.0)
        self._depths = logs[-1] - logs
        self._sums = np.cumsum(self._depths[::-1], axis=0)[::-1]
        # The empirical distribution steps at the first of equal values; the others are no points.
        self._points = logs.copy()
        self._points[1:][logs[1:] == logs[:-1]] = np.nan
        self._rows = np.ascontiguousarray(self._points.T)

    @property
    def can_be_fitted(self) -> np.ndarray:
        """(count,): whether a resample has two distinct values."""
        return np.asarray(self._logs[0] < self._logs[-1])

    def are_nearer(self, distance: float, start: int) -> np.ndarray:
        """(count,): whether the best power law of a resample is nearer to it than `distance`.

        `start` is the candidate that is tried first.
        """
        search = _Search(self.count, distance)
        down, up = _both_ways(self.size, start)
        for candidates in _blocks(down, up):
            self._try(candidates, search, ~search.is_found)
        return search.is_found

    def alphas(self, start: int) -> np.ndarray:
        """(count,): alpha of the best power law of each resample; NaN if it has none."""
        search = _Search(self.count, np.inf)
        down, up = _both_ways(self.size, start)
        rest = [way[np.arange(len(way)) % STRIDE != 0] for way in (down, up)]
        for candidates in _blocks(down[::STRIDE], up[::STRIDE], *rest):
            self._try(candidates, search, None)
        return search.alphas

    def _try(self, candidates: np.ndarray, search: "_Search", wanted: Optional[np.ndarray]) -> None:
        """Try `candidates` (c,) in each resample, or only in those `wanted` (count,)."""
        slopes = self._slopes(candidates)
        # The point at which the candidate tried last was worst rejects most others, too.
        with np.errstate(invalid="ignore", over="ignore"):
            bounds = search.worst_logs - self._logs[candidates]
            bounds *= slopes
            np.exp(bounds, out=bounds)
            bounds -= (self.size - search.worst) / self._tails[candidates][:, None]
            np.abs(bounds, out=bounds)
            kept = ~(bounds >= search.limits) | (search.worst < candidates[:, None])
        kept &= ~np.isnan(slopes)
        if wanted is not None:
            kept &= wanted
        which, columns = np.nonzero(kept)
        logs = self._logs[candidates[which], columns]
        some = _Pairs(which, columns, slopes[which, columns], logs)
        distances = np.empty(0)
        for shares in (COARSE, FINE):
            if not len(columns):
                return
            distances, worst = self._at(candidates, some, shares)
            search.worst[some.columns] = worst
            search.worst_logs[some.columns] = self._logs[worst, some.columns]
            near = distances < search.limits[some.columns]
            some, distances = some.where(near), distances[near]
            columns = some.columns
        # The most promising candidate of each resample first: it mostly rejects the others.
        order = np.argsort(-distances, kind="stable")
        leading = np.empty(self.count, dtype=np.intp)
        leading[some.columns[order]] = order  # of equal indices, numpy keeps the last
        leads = leading[some.columns] == np.arange(len(order))
        for group in (leads, ~leads):
            chosen = some.where(group & (distances < search.limits[some.columns]))
            if len(chosen.columns):
                search.add(chosen, self._exactly(candidates, chosen))

    def _slopes(self, candidates: np.ndarray) -> np.ndarray:
        """1 - alpha by maximum likelihood (c, count); NaN for what is no candidate."""
        tails = self._tails[candidates][:, None]
        totals = self._sums[candidates] - tails * self._depths[candidates]
        valid = (totals < 0) & ~np.isnan(self._points[candidates])
        return np.divide(tails, totals, out=np.full(totals.shape, np.nan), where=valid)

    def _at(
        self, candidates: np.ndarray, some: "_Pairs", shares: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The largest distance at the `shares` of the tail of each pair, and its place."""
        lengths = self.size - 1 - candidates[:, None]
        places = candidates[:, None] + (lengths * shares).astype(np.intp)
        expected = (self.size - places) / self._tails[candidates][:, None]
        of_pairs = places[some.which]
        logs = self._rows.take(of_pairs + (some.columns * self.size)[:, None])
        found = _differences(some, logs, expected[some.which])
        np.fmax(found, 0.0, out=found)  # NaN becomes 0
        worst = found.argmax(axis=1)
        rows = np.arange(len(worst))
        return found[rows, worst], of_pairs[rows, worst]

    def _exactly(self, candidates: np.ndarray, some: "_Pairs") -> np.ndarray:
        """The Kolmogorov-Smirnov distance of each pair."""
        distances = np.empty(len(some.columns))
        step = max(EXACT_ELEMENTS // self.size, 1)
        for start in range(0, len(distances), step):
            few = some.where(slice(start, start + step))
            tried = candidates[few.which]
            first, last = int(tried.min()), int(tried.max())
            expected = self._tails[first:] / self._tails[tried][:, None]
            found = _differences(few, self._rows[few.columns, first:], expected)
            outside = np.arange(first, last) < tried[:, None]
            found[:, : last - first][outside] = 0.0
            distances[start : start + step] = np.fmax.reduce(found, axis=1)
        return distances


def _differences(some: "_Pairs", logs: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """|fitted - `expected`| for the shares of the tail beyond these `logs`; NaN if no point."""
    with np.errstate(over="ignore"):  # below the tail, where it is not used
        found = logs - some.logs[:, None]
        found *= some.slopes[:, None]
        np.exp(found, out=found)
    found -= expected
    return np.abs(found, out=found)


class _Pairs:
    """Candidates, each in one resample: `which` of those tried, in which of the `columns`, the
    slope, and the logarithm of xmin."""

    def __init__(
        self, which: np.ndarray, columns: np.ndarray, slopes: np.ndarray, logs: np.ndarray
    ) -> None:
        self.which, self.columns, self.slopes, self.logs = which, columns, slopes, logs

    def where(self, chosen: Union[np.ndarray, slice]) -> "_Pairs":
        """Returns the `chosen` ones."""
        return _Pairs(
            self.which[chosen], self.columns[chosen], self.slopes[chosen], self.logs[chosen]
        )


class _Search:
    """What is known of each resample: the smallest distance so far, at first `limit`, its alpha,
    and the place at which the candidate tried last was worst."""

    def __init__(self, count: int, limit: float) -> None:
        self.limits = np.full(count, limit)
        self.alphas = np.full(count, np.nan)
        self.worst = np.zeros(count, dtype=np.intp)
        self.worst_logs = np.full(count, np.nan)

    @property
    def is_found(self) -> np.ndarray:
        return ~np.isnan(self.alphas)

    def add(self, some: _Pairs, distances: np.ndarray) -> None:
        """Keep the nearest of the pairs for each resample."""
        order = np.argsort(-distances, kind="stable")
        order = order[distances[order] < self.limits[some.columns[order]]]
        self.limits[some.columns[order]] = distances[order]
        self.alphas[some.columns[order]] = 1.0 - some.slopes[order]


def _both_ways(size: int, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The candidates from `start` down, and those above it."""
    return np.arange(start, -1, -1), np.arange(start + 1, size - 1)


def _blocks(*groups: np.ndarray) -> Iterator[np.ndarray]:
    for group in groups:
        for start in range(0, len(group), BLOCK):
            yield group[start : start + BLOCK]
