"""`analyze` gives the command's numbers for a path, a state dict and a module, and changes none."""

import doctest
import inspect
import io
import json
import math
import tarfile
from collections import OrderedDict
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from allennlp_analyze import Report, analyze, api
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import AnalyzeError, SourceError, UsageError
from allennlp_analyze.options.option import Place, options_at
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.settings import Settings
from tests.support.commands import SMALL

# What depends on where the weights came from; all else is numbers.
NAMING = ("kind", "kind_source", "module_index", "module_class")


def numbers(report: Report) -> dict[str, Any]:
    """By parameter and part, to the last bit: Python's floats are compared exactly."""
    return {
        f"{layer.parameter} {layer.part}": (
            {key: value for key, value in layer.to_dict().items() if key not in NAMING},
            layer.singular_values.tobytes(),
        )
        for layer in report.layers
    }


def small_state() -> "OrderedDict[str, Any]":
    """The weights of the fixture as torch itself loads them."""
    torch = pytest.importorskip("torch")
    with tarfile.open(SMALL) as archive:
        file = archive.extractfile("weights.th")
        assert file is not None
        state: OrderedDict[str, Any] = torch.load(io.BytesIO(file.read()), map_location="cpu")
    return state


def test_a_path_gives_the_report_of_the_command(tmp_path: Path) -> None:
    options = [
        "--output-dir",
        str(tmp_path),
        "--no-plots",
        "--quiet",
        "--kinds",
        "linear,recurrent",
    ]
    assert main([str(SMALL), *options, "--split-gates", "--gamma", "2.5"]) == 0
    written = json.loads((tmp_path / "report.json").read_text())
    report = analyze(SMALL, kinds=["linear", "recurrent"], split_gates=True, gamma=2.5)
    ours = json.loads(json.dumps(report.to_dict()))
    del written["timing"], ours["timing"]
    assert ours == written
    assert len(report.layers) == 16 + 8 + 32  # every LSTM matrix, and four gates of each


def test_a_state_dict_gives_the_numbers_of_the_path() -> None:
    report = analyze(small_state())
    assert numbers(report) == numbers(analyze(str(SMALL)))
    assert report.source.archive == "state dict"
    assert report.source.weights_file is None


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_is_opened_to_the_model_in_it(wrapper: str) -> None:
    state = small_state()
    moments = {0: {"exp_avg": next(iter(state.values()))}}
    checkpoint = {
        "epoch": 3,
        "optimizer": {"state": moments},
        wrapper: {f"module.{name}": tensor for name, tensor in state.items()},
    }
    assert numbers(analyze(checkpoint)) == numbers(analyze(state))


def test_arrays_of_numpy_give_the_same_numbers(tmp_path: Path) -> None:
    state = {name: tensor.numpy() for name, tensor in small_state().items()}
    expected = numbers(analyze(SMALL))
    assert numbers(analyze(state)) == expected
    np.savez(tmp_path / "weights.npz", **state)
    with np.load(tmp_path / "weights.npz") as file:
        assert numbers(analyze(file)) == expected


def test_the_modules_of_allennlp_give_the_same_numbers() -> None:
    """What AllenNLP 2 still has of the model of 2018: all but ELMo."""
    pytest.importorskip("allennlp", reason="AllenNLP is not installed in this environment")
    torch = pytest.importorskip("torch")
    from allennlp.modules import ConditionalRandomField, TimeDistributed
    from allennlp.modules.seq2seq_encoders import PytorchSeq2SeqWrapper
    from allennlp.modules.seq2vec_encoders import CnnEncoder
    from allennlp.modules.text_field_embedders import BasicTextFieldEmbedder
    from allennlp.modules.token_embedders import Embedding, TokenCharactersEncoder

    class Tagger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            convolutions = CnnEncoder(16, 24, ngram_filter_sizes=(3,))
            embedders = {
                "tokens": Embedding(24, num_embeddings=102),
                "token_characters": TokenCharactersEncoder(
                    Embedding(16, num_embeddings=82), convolutions
                ),
            }
            self.text_field_embedder = BasicTextFieldEmbedder(embedders)
            lstm = torch.nn.LSTM(88, 32, 2, bidirectional=True, batch_first=True)
            self.encoder = PytorchSeq2SeqWrapper(lstm)
            self.tag_projection_layer = TimeDistributed(torch.nn.Linear(64, 17))
            self.crf = ConditionalRandomField(17, include_start_end_transitions=False)

    model = Tagger()
    absent = model.load_state_dict(small_state(), strict=False).missing_keys
    assert not [name for name in absent if "mask" not in name]
    found, expected = numbers(analyze(model)), numbers(analyze(SMALL))
    assert {name for name in expected if "_elmo." not in name} == set(found)
    assert len(found) == 13
    for name, values in found.items():
        assert values == expected[name]


def test_a_model_that_allennlp_has_built(tmp_path: Path, corpus: Any) -> None:
    pytest.importorskip("allennlp", reason="AllenNLP is not installed in this environment")
    from tests.matrices.test_modules import BUILDABLE, built

    for name in BUILDABLE:
        path = corpus.path(name)
        of_module = analyze(built(path, tmp_path / Path(name).stem))
        assert numbers(of_module) == numbers(analyze(path))
        of_archive = analyze(path, build_model=True)
        assert of_archive.source.walk == of_module.source.walk == "modules"
        assert of_module.layers == of_archive.layers


ELEMENTS = st.floats(-100, 100, width=16)


@given(
    st.lists(
        array_shapes(min_dims=2, max_dims=2, max_side=24).flatmap(
            lambda shape: arrays(
                st.sampled_from(["<f2", "<f4", "<f8", ">f4", ">f8"]), shape, elements=ELEMENTS
            )
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["C", "F", "transposed", "reversed", "every other"]),
)
def test_singular_values_are_those_of_numpy(matrices: list[np.ndarray], layout: str) -> None:
    views = {
        "C": lambda w: w,
        "F": np.asfortranarray,
        "transposed": lambda w: w.T,
        "reversed": lambda w: w[::-1, ::-1],
        "every other": lambda w: np.repeat(w, 2, axis=1)[:, ::2],
    }
    state = {f"block.{i}.weight": views[layout](w) for i, w in enumerate(matrices)}
    before = {name: matrix.copy() for name, matrix in state.items()}
    for matrix in state.values():
        matrix.flags.writeable = False
    report = analyze(state)
    assert len(report.layers) == len(matrices)
    for layer in report.layers:
        matrix = before[layer.parameter]
        expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
        np.testing.assert_allclose(
            layer.singular_values, expected, rtol=0, atol=1e-7 * max(expected[0], 1e-300)
        )
        assert layer.shape == matrix.shape
        assert layer.dtype == matrix.dtype.name
        np.testing.assert_array_equal(state[layer.parameter], matrix)


def test_the_keywords_are_the_options_of_the_table_with_their_defaults() -> None:
    keywords = [
        (parameter.name, parameter.default)
        for parameter in inspect.signature(analyze).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    options = options_at(Place.LIBRARY, TABLE)
    assert keywords == [(option.name, option.default) for option in options.values()]
    assert len(inspect.getsource(analyze).splitlines()) <= 60


def test_every_setting_is_in_force() -> None:
    choices: dict[str, Any] = {
        "kinds": "linear",
        "layers": "a|b",
        "split_gates": True,
        "split_heads": True,
        "loose_tolerance": 0.25,
        "gamma": 3,
        "compare_distributions": True,
        "uncertainty": True,
        "max_dim": np.int64(100),
        "jobs": 1,
        "cuda_device": -1,
        "eigensolver": "numpy",
    }
    assert set(choices) == {field.name for field in fields(Settings)}
    settings = analyze({"a.weight": np.eye(4)}, **choices).settings
    assert {name: settings[name] for name in choices} == {**choices, "kinds": ["linear"]}


ACCEPTED = (
    "expected a path or URL, a mapping of names to tensors (torch or numpy), or a torch.nn.Module"
)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (None, f"a model of type NoneType cannot be analyzed: {ACCEPTED}"),
        (7, f"a model of type int cannot be analyzed: {ACCEPTED}"),
        (b"model.tar.gz", f"a model of type bytes cannot be analyzed: {ACCEPTED}"),
        ([np.eye(3)], f"a model of type list cannot be analyzed: {ACCEPTED}"),
        (
            np.eye(3),
            f"a model of type ndarray cannot be analyzed: {ACCEPTED}; a tensor alone needs a name:"
            " {'W': tensor}",
        ),
        ({}, "the mapping is empty; expected a mapping of names to torch or numpy tensors"),
        (
            {"lr": 0.1, "betas": [1, 2]},
            "the mapping contains no model tensors; its keys are: lr, betas; expected a"
            " mapping of names to torch or numpy tensors",
        ),
        ("", "'': no such file or directory"),
        ("missing.tar.gz", "missing.tar.gz: no such file or directory"),
    ],
)
def test_what_is_no_model_is_one_line(model: Any, line: str) -> None:
    with pytest.raises(UsageError) as raised:
        analyze(model)
    assert str(raised.value) == line


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ({"kinds": "lin"}, "kinds: unknown kind 'lin'; choose from linear, "),
        ({"kinds": 7}, "kinds: 7 is not a list of names"),
        ({"kinds": [7]}, "kinds: 7 is not text"),
        ({"kinds": ()}, "kinds: () names no kind; choose from linear, "),
        ({"layers": "("}, "layers: '(' is not a regular expression"),
        ({"layers": 3}, "layers: 3 is not text"),
        ({"split_gates": "maybe"}, "split_gates: 'maybe' must be true or false"),
        ({"loose_tolerance": math.nan}, "loose_tolerance: nan is not a number >= 0"),
        ({"gamma": -1}, "gamma: -1 is not a number >= 0"),
        ({"max_dim": 2.5}, "max_dim: 2.5 is not a whole number"),
        ({"jobs": 0}, "jobs: 0 is not a number >= 1"),
        ({"quiet": 2}, "quiet: 2 must be true or false"),
        ({"weights_file": "best.th"}, "weights_file: only for a path or URL, not for a model in"),
        ({"sha256": "0", "timeout": 1}, "sha256, timeout: only for a path or URL"),
    ],
)
def test_choices_that_cannot_be_are_named_as_keywords(choices: Any, line: str) -> None:
    with pytest.raises(UsageError) as raised:
        analyze({"W": np.eye(3)}, **choices)
    assert str(raised.value).startswith(line)
    assert "--" not in str(raised.value)


def test_nothing_left_to_analyze() -> None:
    with pytest.raises(
        SourceError, match="^state dict: kinds and layers select none of its 1 matr"
    ):
        analyze({"a.weight": np.eye(3), "a.bias": np.ones(3)}, layers="b")
    with pytest.raises(SourceError, match=r"^state dict: no weight matrix.*: a \(vector\)$"):
        analyze({"a": np.ones(3)})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_matrix_that_is_not_finite_makes_the_model_invalid(value: float) -> None:
    matrix = np.eye(3)
    matrix[1, 2] = value
    report = analyze({"a.weight": matrix, "b.weight": np.eye(3)})
    assert report.summary.verdict == "invalid"
    assert [x.parameter for x in report.skipped if x.invalid] == ["a.weight"]


def test_the_error_of_a_library_is_an_exception_of_this_package() -> None:
    assert issubclass(UsageError, AnalyzeError) and issubclass(SourceError, AnalyzeError)


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(api) == doctest.TestResults(failed=0, attempted=2)


def test_a_reference_of_what_is_in_memory_too(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((40, 12))
    sigma = np.linalg.svd(values, compute_uv=False)
    path = tmp_path / "published.csv"
    path.write_text(f"M,N,min_singular_value\n12,40,{float(sigma[-1])!r}\n")
    report = analyze({"linear.weight": values}, kinds="linear", reference=path)
    assert report.reference is not None
    assert report.reference.verdict == "reproduced"
    with pytest.raises(UsageError, match="^reference: 'no-such-name' is neither a file"):
        analyze({"linear.weight": values}, reference="no-such-name")


def test_a_missing_reference_is_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(AnalyzeError, match="nowhere.csv"):
        analyze({}, reference=tmp_path / "nowhere.csv")
