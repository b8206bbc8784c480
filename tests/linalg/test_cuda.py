"""The solver for a device, with torch's on the CPU: the numbers, the groups, and what fails."""

import threading
from collections.abc import Sequence
from typing import Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.linalg.cuda import GROUP_BYTES, SMALL, OnDevice, cuda_spectrum
from allennlp_analyze.linalg.eigensolvers import gram_solver
from allennlp_analyze.linalg.gram import GramSpectrum, gram_spectrum
from allennlp_analyze.linalg.groups import GroupSolver
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.sources.blocks import Entries
from tests.support.matrices import gaussian
from tests.support.waiting import PATIENCE

torch = pytest.importorskip("torch")
CPU = torch.device("cpu")
SIDES = st.sampled_from([1, 7, 300, 512, 1024, 1025, 4096])


def failed(line: str) -> None:
    raise AssertionError(line)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns"), [(400, 120), (120, 400)])
def test_torch_gives_the_same_eigenvalues(rows: int, columns: int, dtype: type) -> None:
    matrix = gaussian(0, rows, columns).astype(dtype)
    matrix.flags.writeable = False
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    expected = gram_spectrum(Entries(matrix), 0.5)
    assert expected is not None
    for device in devices:
        found = OnDevice(torch.device(device), failed)(Entries(matrix), 0.5)
        assert found is not None
        largest = expected.eigenvalues[-1]
        assert np.abs(found.eigenvalues - expected.eigenvalues).max() <= 1e-9 * largest
        assert found.total == pytest.approx(expected.total)
        np.testing.assert_allclose(np.triu(found.matrix), np.triu(expected.matrix), atol=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200, 0.0])
def test_torch_too_gives_up_where_squares_are_no_numbers(value: float) -> None:
    matrix = gaussian(0, 300, 200) if np.isfinite(value) and value else np.zeros((300, 200))
    matrix[3, 4] = value
    assert gram_spectrum(Entries(matrix)) is None
    assert OnDevice(CPU, failed)(Entries(matrix), 1.0) is None


def test_what_a_device_cannot_do_the_processor_does_and_one_line_says_so() -> None:
    """A device that torch knows but cannot compute on stands for one without enough memory: torch
    answers both with RuntimeError."""
    notes: list[str] = []
    scales = []

    def on_cpu(entries: Entries, scale: float) -> Optional[GramSpectrum]:
        scales.append(scale)
        return gram_spectrum(entries, scale)

    solver = OnDevice(torch.device("meta"), notes.append, on_cpu=on_cpu)
    for seed in range(3):
        matrix = gaussian(seed, 600, 200)
        found = spectrum(matrix, "float64", solver=solver)
        np.testing.assert_array_equal(
            found.singular_values, spectrum(matrix, "float64").singular_values
        )
    assert solver.solve_many([Entries(matrix), Entries(matrix)]) is None
    assert len(notes) == 1 and len(scales) == 3
    assert notes[0].startswith("meta: ")
    assert "on the CPU" in notes[0] and "\n" not in notes[0]


def test_what_fails_beside_another_is_tried_again_alone() -> None:
    """As a matrix for which there is too little memory beside another one."""
    others_end, tried = threading.Event(), threading.Event()
    outcomes: list[str] = []

    def slow(block: np.ndarray) -> np.ndarray:
        tried.wait(PATIENCE)
        outcomes.append("the other")
        others_end.set()
        return block

    def greedy(block: np.ndarray) -> np.ndarray:
        if not others_end.is_set():
            tried.set()
            raise RuntimeError("out of memory")
        outcomes.append("alone")
        return block

    solver = OnDevice(CPU, failed)
    matrix = gaussian(0, 300, 100)
    thread = threading.Thread(target=solver, args=(Entries(matrix, slow), 1.0), daemon=True)
    thread.start()
    found = solver(Entries(matrix, greedy), 1.0)
    thread.join(PATIENCE)
    assert outcomes == ["the other", "alone"]
    expected = gram_spectrum(Entries(matrix))
    assert found is not None and expected is not None
    assert found.eigenvalues == pytest.approx(expected.eigenvalues)


@given(st.lists(st.tuples(SIDES, SIDES), max_size=60))
def test_groups_are_of_several_small_matrices_of_equal_shape(
    shapes: "list[tuple[int, int]]",
) -> None:
    groups = OnDevice(CPU, failed).groups(shapes)
    members = [index for group in groups for index in group]
    assert len(members) == len(set(members))
    for group in groups:
        assert len(group) > 1 and len({tuple(sorted(shapes[index])) for index in group}) == 1
        m = min(shapes[group[0]])
        assert m <= SMALL and len(group) * 8 * m * m <= GROUP_BYTES
    alone: Sequence[int] = sorted(set(range(len(shapes))) - set(members))
    left = [tuple(sorted(shapes[index])) for index in alone if min(shapes[index]) <= SMALL]
    assert len(left) == len(set(left))  # one of each shape at most


def test_the_solver_takes_groups_and_that_of_the_processor_does_not() -> None:
    assert isinstance(OnDevice(CPU, failed), GroupSolver)
    assert not isinstance(gram_spectrum, GroupSolver)
    assert OnDevice(CPU, failed, small=0).groups([(100, 100)] * 5) == []


def test_absent_device_falls_back_and_says_so() -> None:
    notes: list[str] = []
    on_cpu = gram_solver("numpy")
    solver = cuda_spectrum(97, notes.append, on_cpu=on_cpu)
    assert solver is on_cpu
    assert len(notes) == 1
    assert "no CUDA device 97" in notes[0]
