"""Findings: the worst first, each with the evidence that report.json has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze import Report, analyze
from allennlp_analyze.reports.html.anchors import anchors_of
from allennlp_analyze.reports.html.findings import findings
from allennlp_analyze.reports.html.model import html_page
from allennlp_analyze.reports.html.notes import MOST, SHOWN, Note, notes
from allennlp_analyze.reports.html.shown import shown_layers
from allennlp_analyze.reports.json import to_json_dict
from allennlp_analyze.results.experts import expert_groups, table_entries
from allennlp_analyze.results.layer import TIED_WARNING
from tests.support.html_elements import words
from tests.support.matrices import gaussian, low_rank, nearly_lost
from tests.support.mixtures import COLLAPSED, DEAD, blocks, mixture
from tests.support.page_reports import edge_cases

pytestmark = pytest.mark.newest_python


def notes_of(report: Any) -> "dict[str, Note]":
    anchors = anchors_of(report.layers, shown_layers(report.layers))
    return {note.title: note for note in notes(report, anchors)}


def unhealthy() -> Report:
    dead = gaussian(1, 24, 60)
    dead[3] = 0
    return analyze(
        {
            "a.weight": low_rank(5, 60, 24, 16),
            "b.weight": gaussian(0, 60, 24),
            "c.weight": low_rank(6, 60, 24, 6),
            "d.weight": nearly_lost(0, 300, 60),
            "e.weight": dead,
            "token_embedder.weight": low_rank(7, 80, 30, 4),
        }
    )


def test_the_worst_comes_first() -> None:
    found = list(notes_of(unhealthy()))
    titles = ["Lost rank: 2", "Close to losing rank: 1", "Dead or copied units: 1", "Lost rank: 1"]
    assert [title.split(" layer")[0] for title in found[:4]] == titles
    assert [item.name for item in next(iter(notes_of(unhealthy()).values())).shown] == ["c", "a"]


def test_each_layer_has_the_numbers_of_report_json() -> None:
    report = unhealthy()
    entries = {entry["name"]: entry for entry in to_json_dict(report)["layers"]}
    checked = 0
    for note in notes_of(report).values():
        for item in note.shown if note.verdict else ():
            entry, facts = entries[item.full_name], dict(item.facts)
            evidence = entry["evidence"]
            assert facts["lost"].split(" (")[0] == f"{entry['lost_directions']} of {entry['M']}"
            assert facts["lost"].endswith(f"({entry['lost_percent']:.3g}%)")
            assert float(facts["limit"]) == pytest.approx(evidence["limit"], rel=0.005)
            ratio = facts["σ_min over the null"]
            assert float(ratio) == pytest.approx(evidence["null_ratio"], rel=0.005)
            assert evidence["reason"] in item.sentence
            for finding in evidence["findings"]:
                assert finding["cause"] in facts["cause"]
            assert item.anchor == f"layer-{entry['name']}"
            checked += 1
    assert checked == 5


def test_the_reason_of_hidden_layers_is_there(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rounded = gaussian(0, 64, 64).astype(ml_dtypes.float8_e5m2)
    save_file({"a.weight": rounded}, tmp_path / "m.safetensors")
    report = analyze(tmp_path / "m.safetensors")
    layer = report.layers[0]
    assert layer.verdict == "hidden" and layer.reason
    note = next(note for title, note in notes_of(report).items() if title.startswith("Hidden"))
    assert layer.reason in note.shown[0].sentence and note.severity == "caution"
    assert layer.reason in words(html_page(report))


def test_experts_are_one_item_and_lead_to_the_worst() -> None:
    report = mixture()
    note = next(iter(notes_of(report).values()))
    assert note.title == "Lost rank: 2 layers, up to 100% of the directions"
    (item,) = note.shown
    assert f"1 dead: {DEAD}; 1 collapsed: {COLLAPSED}. Expert {DEAD}: Collapsed:" in item.sentence
    assert item.anchor == f"layer-model.layers.0.mlp.experts.{DEAD}.gate_proj"


def test_many_layers_are_counted_and_few_are_listed() -> None:
    report = analyze({f"l{i}.weight": low_rank(i, 20, 10, 3) for i in range(MOST + 7)})
    note = next(iter(notes_of(report).values()))
    assert (len(note.shown), len(note.opened)) == (SHOWN, MOST - SHOWN)
    assert (note.in_table, note.elsewhere) == (7, 0)
    text = words(html_page(report))
    assert "7 more in the table" in text and f"Show {MOST - SHOWN} more" in text


def test_what_a_page_of_the_worst_leaves_out_is_not_said_to_be_in_the_table() -> None:
    report = analyze({f"l{i}.weight": low_rank(i, 20, 10, 3) for i in range(MOST + 7)})
    text = words(html_page(report, MOST + 2))
    assert "2 more in the table" in text and "5 more are in report.json" in text
    text = words(html_page(report, MOST - 1))
    assert "more in the table" not in text and "7 more are in report.json" in text


def test_an_expert_that_is_not_on_the_page_leads_to_its_projection() -> None:
    """Of all experts only the second worst is tied."""
    report = blocks(1)
    group = expert_groups(report.layers)[0]
    layers = list(report.layers)
    place = group.places[1]
    layers[place] = replace(layers[place], warnings=(f"{TIED_WARNING} another",))
    changed = replace(report, layers=tuple(layers))
    rows = len(table_entries(changed.layers))
    shown = shown_layers(changed.layers, rows)
    found = notes(changed, anchors_of(changed.layers, shown))
    (item,) = next(note for note in found if note.title.startswith("Tied")).shown
    assert item.anchor == f"experts-{group.name.replace('*', '~2A')}"
    assert f'id="{item.anchor}"' in html_page(changed, rows)


def test_every_invalid_matrix_is_named() -> None:
    bad = {f"bad{i}.weight": np.full((3, 4), np.nan) for i in range(3)}
    note = next(iter(notes_of(analyze({"a.weight": gaussian(0, 60, 24), **bad})).values()))
    assert note.title == "3 matrices with NaN or infinity" and note.severity == "serious"
    assert [item.name for item in note.shown] == [f"bad{i}.weight" for i in range(3)]


def test_a_healthy_model_says_that_nothing_was_found() -> None:
    healthy = analyze({"a.weight": gaussian(0, 60, 24), "b.weight": gaussian(1, 60, 24)})
    text = words(html_page(healthy))
    assert "Nothing needs attention." in text
    assert "Nothing needs attention." not in words(html_page(unhealthy()))
    assert "Nothing needs attention." not in words(html_page(edge_cases()))


def test_alpha_gives_advice_only_where_the_tail_allows_it() -> None:
    """The same exponents, of many eigenvalues and of few."""
    rng = np.random.default_rng(0)
    eigenvalues = 1 + rng.pareto(8.0, 600)
    many = analyze({"a.weight": np.diag(np.sqrt(eigenvalues))})
    few = analyze({"a.weight": np.diag(np.sqrt(eigenvalues[:40]))})
    for report in (many, few):
        assert report.layers[0].power_law is not None
        assert report.layers[0].power_law.alpha > 6
    said = [[f.title for f in findings(report) if "α" in f.title] for report in (many, few)]
    assert said == [["α above 6: 1 layer"], ["α says little about 1 of 1 layer"]]
