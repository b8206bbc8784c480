"""Lanes to a device, with torch's on the CPU: types as stored, room for several, groups."""

import math
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from allennlp_analyze.linalg.gram import gram_spectrum
from allennlp_analyze.linalg.lanes import UPLOADED, Lane, Lanes, free_memory
from allennlp_analyze.sources import blocks
from allennlp_analyze.sources.blocks import Decode, Entries, as_stored
from allennlp_analyze.sources.dtypes import AsType, stored_dtype
from tests.support.matrices import gaussian
from tests.support.torch_trainings import one_thread
from tests.support.waiting import PATIENCE

torch = pytest.importorskip("torch")
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def same(entries: Entries, scale: float = 1.0) -> None:
    expected = gram_spectrum(entries, scale)
    assert expected is not None
    largest = expected.eigenvalues[-1]
    for device in DEVICES:
        (found,) = Lane(torch.device(device)).spectra([entries], scale)
        assert found is not None and found.eigenvalues.dtype == np.float64
        assert np.abs(found.eigenvalues - expected.eigenvalues).max() <= 1e-12 * largest
        assert found.total == pytest.approx(expected.total, abs=1e-9)
        upper = np.triu(expected.matrix)
        np.testing.assert_allclose(np.triu(found.matrix), upper, rtol=0, atol=1e-12 * largest)


def encoded(values: np.ndarray, dtype: str) -> np.ndarray:
    """The bytes that torch makes of `values` in `dtype`, as readers give them."""
    tensor = torch.from_numpy(values).to(getattr(torch, dtype)).contiguous()
    codes = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.view(codes).numpy().view(stored_dtype(dtype))


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> "Iterator[None]":
    """Each buffer is used several times, by one thread."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 64)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 64)
    with one_thread(), threadpool_limits(1):
        yield


@pytest.mark.parametrize("shape", [(410, 90), (90, 410), (100, 100)])
@pytest.mark.parametrize("dtype", UPLOADED)
def test_each_type_is_widened_as_our_readers_do(dtype: str, shape: "tuple[int, int]") -> None:
    if not hasattr(torch, dtype):
        pytest.skip(f"this torch has no {dtype}")
    same(Entries(encoded(gaussian(0, *shape), dtype), AsType(dtype)), 0.5)


class Seen(AsType):
    """Says which types are decoded on this side."""

    names: ClassVar["list[str]"] = []

    def __call__(self, stored: np.ndarray) -> np.ndarray:
        self.names.append(self.name)
        return super().__call__(stored)


def test_only_types_that_torch_has_are_uploaded_as_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane(torch.device("cpu"))
    entries = Entries(encoded(gaussian(0, 300, 100), "bfloat16"), Seen("bfloat16"))
    (plain,) = lane.spectra([entries], 1.0)
    assert not Seen.names
    monkeypatch.delattr(torch, "bfloat16")  # as an older torch lacks the types of 8 bits
    (without,) = lane.spectra([entries], 1.0)
    assert set(Seen.names) == {"bfloat16"}
    assert plain is not None and without is not None
    np.testing.assert_array_equal(plain.matrix, without.matrix)


def negated(stored: np.ndarray) -> np.ndarray:
    return -stored


def as_integers(stored: np.ndarray) -> np.ndarray:
    return (stored * 100).astype(np.int8)


@pytest.mark.parametrize("decode", [as_stored, negated, as_integers])
@pytest.mark.parametrize("order", ["<f8", ">f8", "<f4", ">f4", ">f2"])
def test_other_decoders_and_byte_orders_are_decoded_here(order: str, decode: Decode) -> None:
    same(Entries(gaussian(0, 500, 100).astype(order), decode))


def test_stored_values_stay_as_they_are_and_every_view_can_be_uploaded() -> None:
    whole = gaussian(0, 450, 200)
    before = whole.copy()
    whole.flags.writeable = False
    for view in (whole[::2, ::2], whole.T[::-1], whole[:, ::-1]):
        same(Entries(view), 4.0)
    np.testing.assert_array_equal(whole, before)


def test_many_are_as_one_by_one_and_invalid_ones_are_none() -> None:
    lane = Lane(torch.device("cpu"))
    shapes = [(500, 90), (90, 300), (90, 90), (500, 90), (400, 90)]
    many = [gaussian(seed, *shape) for seed, shape in enumerate(shapes)]
    many[1][5, 5], many[3][...] = np.nan, 0.0
    found = lane.spectra([Entries(matrix) for matrix in many], 2.0)
    assert [one is None for one in found] == [False, True, False, True, False]
    for matrix, one in zip(many, found):
        if one is not None:
            values = np.linalg.svd(2 * matrix, compute_uv=False)
            assert one.eigenvalues == pytest.approx(values[::-1] ** 2, abs=1e-11 * values[0] ** 2)
            assert one.total == pytest.approx(2 * matrix.sum())
            np.testing.assert_allclose(one.matrix, 4 * _gram(matrix), atol=1e-9)
    assert lane.spectra([Entries(many[1]), Entries(many[3])], 1.0) == [None, None]


def _gram(matrix: np.ndarray) -> np.ndarray:
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    return tall.T @ tall


@pytest.mark.parametrize("at_once", [1, 2])
def test_so_many_lanes_are_used_at_once_each_by_one_thread(at_once: int) -> None:
    lanes, lock = Lanes(torch.device("cpu"), at_once), threading.Lock()
    used: list[Any] = []
    most = 0
    together = threading.Barrier(at_once)

    def work() -> None:
        nonlocal most
        with lanes.lane(1) as lane:
            with lock:
                assert lane not in used
                used.append(lane)
                most = max(most, len(used))
            together.wait(PATIENCE)  # none goes on before so many have begun
            with lock:
                used.remove(lane)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3 * at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert most == at_once


@pytest.mark.parametrize("need", [math.inf, 2.0**60])
def test_what_does_not_fit_beside_another_waits_and_gets_the_device_alone(need: float) -> None:
    lanes = Lanes(torch.device("cpu"), 2)
    assert need > free_memory(torch.device("cpu")) > 2**20
    began, order = threading.Event(), []

    def large() -> None:
        began.set()
        with lanes.lane(need):
            order.append("large")

    thread = threading.Thread(target=large, daemon=True)
    with lanes.lane(1):
        thread.start()
        assert began.wait(PATIENCE)
        with lanes.lane(1):  # a small one has room
            order.append("small")
        thread.join(0.05)
        order.append("first")
    thread.join(PATIENCE)
    assert order == ["small", "first", "large"]


def test_a_lane_comes_back_after_an_error() -> None:
    lanes = Lanes(torch.device("cpu"), 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lanes.lane(math.inf):
            raise ZeroDivisionError
