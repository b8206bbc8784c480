"""singular_values.npz opens with numpy.load, whatever the layers are called."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.reports.npz import npz_keys, write_npz
from tests.support.report_factory import gaussian, make_layer, make_report, odd_report


@pytest.mark.parametrize(
    "name",
    ["encoder", "a/b", "w[query]", "couche_é_层", "../x", "/etc/x", "file", "allow_pickle",
     "arr_0", "x.npy", "", "a b\nc", "trailing/"],
)  # fmt: skip
def test_the_name_is_the_key(name: str, tmp_path: Path) -> None:
    matrix = gaussian(9, 5)
    write_npz(
        make_report(make_layer(matrix, name), make_layer(matrix, "other")), tmp_path / "s.npz"
    )
    with np.load(tmp_path / "s.npz", allow_pickle=False) as back:
        assert sorted(back.files) == sorted([name, "other"])
        assert back[name].dtype == np.float64
        np.testing.assert_array_equal(back[name], np.linalg.svd(matrix, compute_uv=False))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=())) | st.sampled_from(["x", "x.npy", "x~2", "\0"])
    )
)
def test_every_spectrum_is_found_under_its_key(names: list[str]) -> None:
    layers = [make_layer(np.diag([2.0 + i, 1.0]), name) for i, name in enumerate(names)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s.npz"
        write_npz(make_report(*layers), path)
        with np.load(path, allow_pickle=False) as back:
            for i, key in enumerate(npz_keys(names)):
                assert back[key].tolist() == [2.0 + i, 1.0]


def test_odd_names_and_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_npz(odd_report(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as back:
        assert len(back.files) == len(odd_report().layers)


def test_a_very_long_name_is_kept_in_part(tmp_path: Path) -> None:
    long = "x" * 100_000
    write_npz(make_report(*(make_layer(np.eye(2), long) for _ in range(2))), tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as back:
        assert back.files == npz_keys([long, long]) and len(set(back.files)) == 2
