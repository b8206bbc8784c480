"""outcome.json gives back exactly what was written to it, or nothing at all."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.errors import OutputError
from allennlp_analyze.results.verdict import LAYER_VERDICTS
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.outcome import OUTCOME, read_outcome, write_outcome
from allennlp_analyze.zoo.results import ModelOutcome, ZooLayer
from tests.support.commands import ROOT
from tests.support.report_factory import ODD_NAMES
from tests.support.zoo_factory import done, failed, odd_zoo, sample_reports, sample_zoo, zoo_layer

pytestmark = pytest.mark.newest_python
OUTCOMES = [model.outcome for zoo in (sample_zoo(), odd_zoo()) for model in zoo.models]


def back(outcome: ModelOutcome, directory: Path) -> "ModelOutcome | None":
    write_outcome(outcome, directory)
    assert [path.name for path in directory.iterdir()] == [OUTCOME]
    return read_outcome(directory)


def bits(outcome: ModelOutcome) -> "list[bytes]":
    numbers = [[x.min_singular_value, x.rank_loss_percent, x.alpha or 0] for x in outcome.layers]
    return [struct.pack("3d", *of_layer) for of_layer in numbers]


@pytest.mark.parametrize("index", range(len(OUTCOMES)))
def test_what_was_written_comes_back(index: int, tmp_path: Path) -> None:
    found = back(OUTCOMES[index], tmp_path)
    assert found == OUTCOMES[index]
    assert found is not None and bits(found) == bits(OUTCOMES[index])


def test_a_real_model_comes_back(tmp_path: Path) -> None:
    archive = ROOT / "fixtures" / "ner-small.tar.gz"
    report = analyze_archive(Reading(str(archive)), Settings())
    assert back(done(report), tmp_path) == done(report)


finite = st.floats(allow_nan=False, allow_infinity=False)
# Of a pair of surrogates, JSON makes one character.
text = st.text(st.characters(exclude_categories=("Cs",))) | st.sampled_from(ODD_NAMES)
sizes = st.integers(1, 10**9)
layers = st.builds(
    lambda name, kind, size, *rest: ZooLayer(name, kind, max(size), min(size), *rest),
    text,
    text,
    st.tuples(sizes, sizes),
    finite,
    finite,
    st.none() | finite,
    st.none() | finite,
    st.sampled_from(LAYER_VERDICTS),
)


@given(st.lists(layers, max_size=4), st.lists(text, max_size=3), finite, text)
def test_any_numbers_and_any_texts_come_back(
    found: "list[ZooLayer]", warnings: "list[str]", seconds: float, reason: str
) -> None:
    import tempfile

    outcome = done(
        sample_reports()["empty"],
        layers=tuple(found),
        warnings=tuple(warnings),
        seconds=seconds,
        reason=reason,
    )
    with tempfile.TemporaryDirectory() as directory:
        written = back(outcome, Path(directory))
        assert written == outcome and bits(written) == bits(outcome)


def test_nothing_there_is_none(tmp_path: Path) -> None:
    assert read_outcome(tmp_path) is None
    assert read_outcome(tmp_path / "no such directory") is None
    (tmp_path / OUTCOME).mkdir()
    assert read_outcome(tmp_path) is None


def test_a_file_cut_off_anywhere_is_none(tmp_path: Path) -> None:
    write_outcome(done(sample_reports()["lost"]), tmp_path)
    whole = (tmp_path / OUTCOME).read_bytes()
    for length in range(len(whole) - 1):  # the last byte is the line end
        (tmp_path / OUTCOME).write_bytes(whole[:length])
        assert read_outcome(tmp_path) is None, length


CHANGES: "dict[str, tuple[Any, ...]]" = {
    "another format": ("format_version", 1),
    "no status": ("status", None),
    "another status": ("status", "running"),
    "done without a summary": ("summary", None),
    "text for a number": ("seconds", "1"),
    "truth for a number": ("seconds", True),
    "a number without end": ("seconds", 10**400),
    "not a number": ("seconds", float("nan")),
    "infinity": ("layers", 0, "min_singular_value", float("inf")),
    "nothing for a number": ("layers", 0, "min_singular_value", None),
    "no columns": ("layers", 0, "M", 0),
    "wide": ("layers", 0, "M", 10**9),
    "another verdict": ("layers", 0, "verdict", "fine"),
    "a layer is a text": ("layers", 0, "text"),
    "layers are a mapping": ("layers", {}),
    "a mapping is a list": ("summary", "layers_by_kind", []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_cannot_be_is_none(change: str, tmp_path: Path) -> None:
    write_outcome(done(sample_reports()["lost"]), tmp_path)
    contents = json.loads((tmp_path / OUTCOME).read_text())
    *way, key, value = CHANGES[change]
    node = contents
    for step in way:
        node = node[step]
    node[key] = value
    (tmp_path / OUTCOME).write_text(json.dumps(contents))
    assert read_outcome(tmp_path) is None


@pytest.mark.parametrize("contents", ["", "[]", "1", '"x"', "null", "{}", "[" * 10**5, "\0"])
def test_what_is_no_outcome_is_none(contents: str, tmp_path: Path) -> None:
    (tmp_path / OUTCOME).write_text(contents)
    assert read_outcome(tmp_path) is None


def test_a_field_of_a_later_release_is_passed_over(tmp_path: Path) -> None:
    outcome = failed()
    write_outcome(outcome, tmp_path)
    contents = json.loads((tmp_path / OUTCOME).read_text())
    (tmp_path / OUTCOME).write_text(json.dumps({**contents, "later": 1}))
    assert read_outcome(tmp_path) == outcome


def test_a_second_outcome_takes_the_place_of_the_first(tmp_path: Path) -> None:
    assert back(failed(), tmp_path) == failed()
    outcome = replace(failed(), layers=(zoo_layer(sample_reports()["lost"].layers[0]),))
    assert back(outcome, tmp_path) == outcome


def test_no_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/outcome\.json: cannot be written"):
        write_outcome(failed(), tmp_path / "no")
