"""The journal gives back exactly what was written to it, however it was cut off."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from allennlp_analyze.analysis.journal import JOURNAL, finished_layers, open_journal
from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import OutputError, SourceError
from allennlp_analyze.reports.json import to_json_dict
from allennlp_analyze.results.layer import LayerOutcome, Skipped
from allennlp_analyze.settings import Settings
from allennlp_analyze.storage.locks import LOCK
from tests.support.commands import ROOT, SMALL
from tests.support.report_factory import ODD_NAMES, gaussian, heavy_tailed, make_layer, make_report
from tests.support.waiting import PATIENCE

RUN = {"weights": ["0" * 64, "weights.th"], "settings": {"jobs": None, "kinds": ("linear",)}}


@pytest.fixture(scope="module")
def outcomes() -> "list[LayerOutcome]":
    """Real layers with every field that there is, odd names, and matrices that were left out."""
    settings = Settings(compare_distributions=True, kinds=("linear",), layers="forward_layer_0")
    layers = analyze_archive(Reading(str(SMALL)), settings).layers
    assert len(layers) == 3
    odd = [make_layer(heavy_tailed(30, 12, seed), name) for seed, name in enumerate(ODD_NAMES)]
    return [*layers, *odd, Skipped("w", (3, 4), "1 entry is not finite", invalid=True)]


def assert_same(found: LayerOutcome, expected: LayerOutcome) -> None:
    assert found == expected
    if not isinstance(expected, Skipped):
        assert not isinstance(found, Skipped)
        assert found.singular_values.dtype == np.float64
        assert found.singular_values.tobytes() == expected.singular_values.tobytes()
        reports = [to_json_dict(make_report(layer)) for layer in (found, expected)]
        assert json.dumps(reports[0]) == json.dumps(reports[1])


def written(directory: Path, outcomes: "list[LayerOutcome]") -> Path:
    with open_journal(directory, RUN, resume=False) as journal:
        for index, outcome in enumerate(outcomes):
            journal.add(index, outcome)
    return directory / JOURNAL


def test_what_was_added_comes_back_to_the_last_bit(
    tmp_path: Path, outcomes: "list[LayerOutcome]"
) -> None:
    written(tmp_path, outcomes)
    assert finished_layers(tmp_path) == len(outcomes)
    with open_journal(tmp_path, RUN, resume=True) as journal:
        assert list(journal.finished) == list(range(len(outcomes)))
        for index, outcome in enumerate(outcomes):
            assert_same(journal.finished[index], outcome)
        journal.add(99, outcomes[0])
    with open_journal(tmp_path, RUN, resume=True) as journal:
        assert len(journal.finished) == len(outcomes) + 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    layers = [make_layer(gaussian(8, 3, seed), f"layer {seed}") for seed in range(3)]
    return written(tmp_path_factory.mktemp("journal"), list(layers)).read_bytes()


@given(st.data())
def test_a_journal_cut_anywhere_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("cut")
    cut = data.draw(st.integers(0, len(whole)))
    tail = data.draw(st.sampled_from([b"", b"\0" * 20, b'{"index": 1']))
    (directory / JOURNAL).write_bytes(whole[:cut] + tail)
    lines = whole[:cut].count(b"\n")
    kept = max(lines - 2, 0)  # below the header and the line of the process
    assert finished_layers(directory) == kept
    with open_journal(directory, RUN, resume=True) as journal:
        assert list(journal.finished) == list(range(kept))
        journal.add(kept, Skipped("w", (1, 2), "now"))
    with open_journal(directory, RUN, resume=True) as journal:
        assert list(journal.finished) == list(range(kept + 1))


@given(st.data())
def test_whatever_was_damaged_is_not_taken_over(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    """Other bytes, in any place, may cost outcomes but change none."""
    directory = tmp_path_factory.mktemp("damaged")
    start = data.draw(st.integers(0, len(whole) - 1))
    removed = data.draw(st.integers(0, 30))
    put = data.draw(st.one_of(st.binary(max_size=9), st.sampled_from([b"1e999", b"NaN", b"-1"])))
    (directory / JOURNAL).write_bytes(whole[:start] + put + whole[start + removed :])
    with open_journal(directory, RUN, resume=True, force=True) as journal:
        for index, outcome in journal.finished.items():
            assert_same(outcome, make_layer(gaussian(8, 3, index), f"layer {index}"))


@given(st.binary(max_size=300))
def test_what_is_no_journal_holds_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    directory = tmp_path_factory.mktemp("other")
    (directory / JOURNAL).write_bytes(content)
    assert finished_layers(directory) == 0


def test_the_journal_of_another_run_is_not_gone_on_with(
    tmp_path: Path, outcomes: "list[LayerOutcome]"
) -> None:
    path = written(tmp_path, outcomes)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"journal\.jsonl: belongs to another .*force=True"):
        with open_journal(tmp_path, {**RUN, "weights": ["1" * 64]}, resume=True):
            pass
    assert path.read_bytes() == before


def test_without_resume_it_starts_anew(tmp_path: Path, outcomes: "list[LayerOutcome]") -> None:
    written(tmp_path, outcomes)
    with open_journal(tmp_path, RUN, resume=False) as journal:
        assert journal.finished == {}
        journal.add(5, outcomes[-1])
    assert finished_layers(tmp_path) == 1


@pytest.mark.parametrize("error", [SourceError, KeyboardInterrupt])
def test_a_journal_without_outcomes_is_removed_with_its_directory(
    tmp_path: Path, error: "type[BaseException]"
) -> None:
    with pytest.raises(error):
        with open_journal(tmp_path / "new", RUN, resume=True):
            raise error
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_failed_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    def failing() -> None:
        with open_journal(tmp_path / "new", RUN, resume=True) as journal:
            journal.add(0, Skipped("w", (3, 4), "too large"))
            raise SourceError("nothing but such")

    with pytest.raises(SourceError, match="nothing but such"):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_one_directory_and_the_second_says_who_holds_it(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from allennlp_analyze.analysis.journal import open_journal\n"
        "with open_journal(Path(sys.argv[1]), {}, resume=False):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        message = rf"{tmp_path}: another run \(process {holder.pid}\) is writing there"
        with pytest.raises(OutputError, match=message):
            finished_layers(tmp_path)
        with pytest.raises(OutputError, match=message):
            with open_journal(tmp_path, RUN, resume=False):
                pass
    finally:
        holder.communicate(timeout=PATIENCE)
    with open_journal(tmp_path, RUN, resume=False) as journal:
        assert journal.finished == {}
    assert holder.pid != os.getpid()


def test_two_runs_of_one_process_in_one_directory(tmp_path: Path) -> None:
    message = rf"{tmp_path}: another run \(process {os.getpid()}\) is writing there"
    with open_journal(tmp_path, RUN, resume=False) as journal:
        journal.add(0, Skipped("w", (3, 4), "too large"))
        with pytest.raises(OutputError, match=message):
            finished_layers(tmp_path)
        with pytest.raises(OutputError, match=message):
            with open_journal(tmp_path, RUN, resume=True):
                pass
        assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK, JOURNAL]
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]
    assert finished_layers(tmp_path) == 1


@pytest.mark.parametrize("name", ["journal.jsonl", ".lock"])
def test_a_planted_link_is_one_line_and_its_target_stays(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out = tmp_path / "m.safetensors", tmp_path / "out"
    save_file({"a.weight": np.random.default_rng(0).standard_normal((9, 5))}, weights)
    out.mkdir()
    (tmp_path / "precious").write_text("precious")
    (out / name).symlink_to(tmp_path / "precious")
    assert main([str(weights), "--output-dir", str(out), "--no-plots"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is a link, which is not followed" in said
    assert (tmp_path / "precious").read_text() == "precious"
