"""The images of the rank-collapse experiment."""

import numpy as np
import pytest

from allennlp_analyze.errors import SourceError, UsageError
from scripts.rank_collapse import data

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
SHAPE = (3, data.SIZE, data.SIZE)


def test_digits_are_all_there_once_and_in_every_class() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images = data.read_images("digits", None)
    assert len(images.train_x) + len(images.test_x) == len(datasets.load_digits().target)
    assert images.train_x.shape[1:] == SHAPE and images.train_x.dtype == np.float32
    everything = np.concatenate([images.train_y, images.test_y])
    assert (np.bincount(everything) == np.bincount(datasets.load_digits().target)).all()
    shares = np.bincount(images.test_y) / np.bincount(everything)
    assert (abs(shares - data.TEST_SHARE) < 0.01).all()


def test_digits_are_enlarged_as_torch_does() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    torch = pytest.importorskip("torch")
    image = datasets.load_digits().images[3]
    ours = data._enlarged(image)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], size=data.SIZE, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-12)


def test_images_are_standardized_one_by_one() -> None:
    pytest.importorskip("sklearn")
    x = data.read_images("digits", None).train_x.astype(np.float64)
    np.testing.assert_allclose(x.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=(1, 2, 3)), 1, atol=1e-5)


def test_an_image_of_one_colour_is_no_division_by_zero() -> None:
    assert (data._standardized(np.full((1, *SHAPE), 7)) == 0).all()


@pytest.fixture
def cifar(tmp_path):
    """CIFAR-10's binary version with three images a file; the directory that holds its folder."""
    folder = tmp_path / data.BINARY_FOLDER
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in (*data.TRAIN_FILES, *data.TEST_FILES):
        pixels = random.integers(0, 256, (3, 3072), dtype=np.uint8)
        labels = random.integers(0, 10, (3, 1), dtype=np.uint8)
        np.concatenate([labels, pixels], axis=1).tofile(folder / name)
    return tmp_path


@pytest.mark.parametrize("inside", [False, True])
def test_cifar10_is_read_from_its_binary_version(cifar, inside: bool) -> None:
    folder = cifar / data.BINARY_FOLDER
    images = data.read_images("cifar10", folder if inside else cifar)
    assert images.train_x.shape == (15, *SHAPE) and images.test_x.shape == (3, *SHAPE)
    record = np.frombuffer((folder / data.TRAIN_FILES[1]).read_bytes(), np.uint8)[:3073]
    assert images.train_y[3] == record[0]
    middle = record[1:].reshape(3, 32, 32)[:, 2:30, 2:30].astype(float)
    expected = (middle - middle.mean()) / middle.std()
    np.testing.assert_allclose(images.train_x[3], expected, atol=1e-5)


def test_damaged_cifar10_is_named(cifar) -> None:
    path = cifar / data.BINARY_FOLDER / data.TEST_FILES[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        SourceError, match=r"test_batch\.bin: 9218 bytes are not a multiple of the record size"
    ):
        data.read_images("cifar10", cifar)
    path.unlink()
    with pytest.raises(SourceError, match=r"test_batch\.bin: cannot be read"):
        data.read_images("cifar10", cifar)


def test_other_records_of_the_same_length_are_refused(cifar) -> None:
    path = cifar / data.BINARY_FOLDER / data.TEST_FILES[0]
    path.write_bytes(b"\xff" * 3073)
    with pytest.raises(SourceError, match="label above 9"):
        data.read_images("cifar10", cifar)


def test_cifar10_needs_a_place() -> None:
    with pytest.raises(UsageError, match="requires --data-dir"):
        data.read_images("cifar10", None)


def test_cifar10_by_torchvision_is_checked(tmp_path) -> None:
    """Its pickles are opened only when their checksums are right."""
    (tmp_path / data.PYTHON_FOLDER).mkdir()
    (tmp_path / data.PYTHON_FOLDER / "data_batch_1").write_bytes(b"not it")
    try:
        import torchvision  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="torchvision is not installed"):
            data.read_images("cifar10", tmp_path)
    else:
        with pytest.raises(SourceError, match="failed to get CIFAR-10"):
            data.read_images("cifar10", tmp_path)
