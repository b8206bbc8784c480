"""Unpacks codes of a few bits, and tables of the numbers that they stand for."""

import numpy as np

WORD = 32


def unpack_words(words: np.ndarray, bits: int, count: int, axis: int) -> np.ndarray:
    """Returns `count` codes of `bits` bits (1 to 8) along `axis` of a matrix of 32-bit words.

    The codes are one stream of bits, the lowest first, which crosses the borders of words. Returns
    uint8.
    """
    words = np.moveaxis(words.view(np.uint32), axis, 0)
    if WORD % bits == 0:
        found = _whole(words, bits)
    else:
        found = _crossing(words, bits)
    return np.moveaxis(found[:count], 0, axis)


def unpack_aligned(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The same along the columns, with as many codes in a word as fit wholly into it."""
    return _whole(words.view(np.uint32).T, bits)[:count].T


def packed_size(count: int, bits: int) -> int:
    """How many words hold `count` codes as one stream."""
    return -(-count * bits // WORD)


def _whole(words: np.ndarray, bits: int) -> np.ndarray:
    each = WORD // bits
    found = np.empty((len(words), each, *words.shape[1:]), np.uint8)
    for index in range(each):
        found[:, index] = (words >> np.uint32(index * bits)) & np.uint32((1 << bits) - 1)
    return found.reshape(-1, *words.shape[1:])


def _crossing(words: np.ndarray, bits: int) -> np.ndarray:
    """32 codes in each `bits` words."""
    missing = -len(words) % bits
    if missing:
        words = np.concatenate([words, np.zeros((missing, *words.shape[1:]), np.uint32)])
    groups = words.reshape(-1, bits, *words.shape[1:])
    found = np.empty((len(groups), WORD, *words.shape[1:]), np.uint8)
    for index in range(WORD):
        word, shift = divmod(index * bits, WORD)
        code = groups[:, word] >> np.uint32(shift)
        if shift + bits > WORD:
            code = code | (groups[:, word + 1] << np.uint32(WORD - shift))
        found[:, index] = code & np.uint32((1 << bits) - 1)
    return found.reshape(-1, *words.shape[1:])


def unpack_nibbles(packed: np.ndarray, high_first: bool = False) -> np.ndarray:
    """Returns the two codes of each byte along the last axis, as uint8."""
    found = np.empty((*packed.shape, 2), np.uint8)
    first, second = (1, 0) if high_first else (0, 1)
    found[..., first] = packed & 0xF
    found[..., second] = packed >> 4
    return found.reshape(*packed.shape[:-1], -1)


def error_variances(numbers: np.ndarray) -> np.ndarray:
    """Returns the variance of the rounding error of each of `numbers` (n,), in any order.

    What was rounded to a number is taken to be uniform between the middles to its neighbors; beyond
    the smallest and the largest one as far as inside. NaN and infinity have no error.
    """
    known, places = np.unique(numbers[np.isfinite(numbers)], return_inverse=True)
    found = np.zeros(len(numbers), np.float32)
    if len(known) < 2:
        return found
    gaps = np.diff(known.astype(np.float64)) / 2
    below, above = np.append(gaps[0], gaps), np.append(gaps, gaps[-1])
    found[np.isfinite(numbers)] = ((below**3 + above**3) / (3 * (below + above)))[places]
    return found
