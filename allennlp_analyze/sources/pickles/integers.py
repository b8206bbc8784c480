"""The integers of a tensor as a pickle gives them: shapes, strides, offsets and sizes."""

from allennlp_analyze.errors import CheckpointError

# The most dimensions of a tensor that torch computes with.
MAX_DIMENSIONS = 64
# torch counts elements in signed 64-bit integers.
_LIMIT = 2**63


def integers(value: object, what: str) -> tuple[int, ...]:
    """Returns `value` as a tuple of integers, one for each dimension.

    Raises `CheckpointError` if it is anything else, or exceeds torch's own limits.
    """
    if not isinstance(value, (tuple, list)):
        raise CheckpointError(f"a tensor's {what} must be a tuple of integers")
    # A pickle can pass one long list to a million tensors, so it is never copied.
    if len(value) > MAX_DIMENSIONS:
        raise CheckpointError(
            f"a tensor's {what} has {len(value)} numbers, more than {MAX_DIMENSIONS}"
        )
    if any(type(item) is not int for item in value):
        raise CheckpointError(f"a tensor's {what} must be a tuple of integers")
    if any(not -_LIMIT <= item < _LIMIT for item in value):
        raise CheckpointError(f"a tensor's {what} has a number of more than 64 bits")
    return tuple(value)


def integer(value: object, what: str) -> int:
    """Returns `value` if it is an integer >= 0 of 64 bits. Raises `CheckpointError` otherwise."""
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise CheckpointError(f"a {what} must be an integer >= 0 of 64 bits")
    return value
