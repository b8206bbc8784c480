"""The images of the rank-collapse experiment: scikit-learn's digits, or CIFAR-10."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from allennlp_analyze.errors import SourceError, UsageError

DATA = ("digits", "cifar10")
SIZE = 28  # pixels of a side, as in the study
TEST_SHARE = 0.2  # of the digits, which come in one set
# The binary version of CIFAR-10: a label, then 32 x 32 pixels a channel.
BINARY_FOLDER = "cifar-10-batches-bin"
PYTHON_FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
CIFAR_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Images:
    """`train_x` (n, 3, 28, 28) float32 with standardized images, `train_y` (n,) int64 in 0..9.

    The test set has the same form.
    """

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def read_images(name: str, directory: Optional[Path]) -> Images:
    """Read the images; `name` is one of DATA, `directory` has CIFAR-10 or is for its download.

    Raises `UsageError` if a package or the images are missing, `SourceError` for damaged files.
    """
    if name == "digits":
        return _digits()
    if directory is None:
        raise UsageError(
            "--data cifar10 requires --data-dir, the directory of CIFAR-10 or for its download"
        )
    if (directory / BINARY_FOLDER).is_dir():
        directory = directory / BINARY_FOLDER
    if (directory / TRAIN_FILES[0]).is_file():
        return _binary_cifar10(directory)
    return _torchvision_cifar10(directory)


def _digits() -> Images:
    """1797 images of 8 x 8 pixels, enlarged; every fifth of each class is in the test set."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise UsageError(
            "--data digits: scikit-learn is not installed; `pip install scikit-learn`"
        ) from None
    digits = load_digits()
    large = np.stack([_enlarged(image) for image in digits.images])
    train, test = train_test_split(
        np.arange(len(large)), test_size=TEST_SHARE, random_state=0, stratify=digits.target
    )
    x = _standardized(np.repeat(large[:, None], 3, axis=1))
    y = digits.target.astype(np.int64)
    return Images("scikit-learn's digits", x[train], y[train], x[test], y[test])


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Enlarge to SIZE x SIZE pixels by linear interpolation between pixel centers."""
    places = np.clip((np.arange(SIZE) + 0.5) * len(image) / SIZE - 0.5, 0, len(image) - 1)
    low = np.minimum(places.astype(int), len(image) - 2)
    share = places - low
    rows = image[low] * (1 - share)[:, None] + image[low + 1] * share[:, None]
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)


def _standardized(x: np.ndarray) -> np.ndarray:
    """Give each image mean 0 and standard deviation 1, as in the study."""
    x = x.astype(np.float32)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    std = x.std(axis=(1, 2, 3), keepdims=True)
    return np.asarray((x - mean) / np.maximum(std, 1 / np.sqrt(x[0].size)), dtype=np.float32)


def _binary_cifar10(directory: Path) -> Images:
    parts = [_records(directory, names) for names in (TRAIN_FILES, TEST_FILES)]
    (train_x, train_y), (test_x, test_y) = parts
    return Images("CIFAR-10", _cropped(train_x), train_y, _cropped(test_x), test_y)


def _records(directory: Path, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    width = 1 + int(np.prod(CIFAR_SHAPE))
    found = []
    for name in names:
        path = directory / name
        try:
            values = np.fromfile(path, dtype=np.uint8)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from None
        if not values.size or values.size % width:
            raise SourceError(
                f"{path}: {values.size} bytes are not a multiple of the record size {width}"
            )
        found.append(values.reshape(-1, width))
        if found[-1][:, 0].max() > 9:
            raise SourceError(f"{path}: has a label above 9; is it CIFAR-10's binary version?")
    records = np.concatenate(found)
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), records[:, 0].astype(np.int64)


def _torchvision_cifar10(directory: Path) -> Images:
    """Read through torchvision, which checks the checksums and downloads missing files."""
    try:
        from torchvision.datasets import CIFAR10
    except ImportError:
        raise UsageError(
            f"--data-dir: {directory} has no {BINARY_FOLDER}, and torchvision is not installed:"
            " `pip install torchvision`, or unpack CIFAR-10's binary version there"
        ) from None
    here = (directory / PYTHON_FOLDER).is_dir()
    try:
        sets = [CIFAR10(str(directory), train=train, download=not here) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"{directory}: failed to get CIFAR-10 ({line})") from None
    (train_x, train_y), (test_x, test_y) = (
        (_cropped(part.data.transpose(0, 3, 1, 2)), np.asarray(part.targets, dtype=np.int64))
        for part in sets
    )
    return Images("CIFAR-10", train_x, train_y, test_x, test_y)


def _cropped(x: np.ndarray) -> np.ndarray:
    """Returns the middle SIZE x SIZE pixels, standardized."""
    edge = (x.shape[-1] - SIZE) // 2
    return _standardized(x[:, :, edge : edge + SIZE, edge : edge + SIZE])
