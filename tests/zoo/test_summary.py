"""The totals of a zoo, against pandas."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.zoo.results import ZooLayer, ZooModel, ZooSummary
from allennlp_analyze.zoo.summary import summarize_zoo, zoo_totals
from tests.support.zoo_factory import (
    done,
    failed,
    layers_zoo,
    make_model,
    sample_reports,
    sample_zoo,
)

pytestmark = pytest.mark.newest_python
pandas = pytest.importorskip("pandas")

positive = st.floats(0, 1e300)
layers = st.builds(
    ZooLayer,
    st.sampled_from("abc"),
    st.sampled_from(["linear", "linear", "embedding"]),
    st.integers(5, 9),
    st.integers(1, 5),
    positive,
    st.floats(0, 100),
    st.none() | positive,
    st.none(),
    st.sampled_from(LAYER_VERDICTS),
)


@st.composite
def zoos(draw: Any) -> "list[ZooModel]":
    models = []
    for index in range(draw(st.integers(0, 6))):
        twin = f"m{index - 1}" if index and draw(st.integers(0, 3)) == 0 else None
        found = tuple(draw(st.lists(layers, max_size=5)))
        outcome = done(sample_reports()["empty"], layers=found)
        if draw(st.integers(0, 3)) == 0:
            outcome, twin = failed(), None
        group = draw(st.sampled_from(["x", "y", "z"]))
        models.append(make_model(outcome, f"m{index}", group, duplicate_of=twin))
    return models


def frame(models: "list[ZooModel]") -> Any:
    """A row for each linear layer of each counted model."""
    rows = [
        {"model": model.name, "group": model.group, **asdict(layer)}
        for model in models
        if model.outcome.status == "done" and model.duplicate_of is None
        for layer in model.outcome.layers
    ]
    columns = ["model", "group", *ZooLayer.__dataclass_fields__]
    table = pandas.DataFrame(rows, columns=columns).astype({"alpha": float})
    return table[table["kind"] == "linear"]


@settings(max_examples=20)  # each takes pandas a tenth of a second
@given(zoos())
def test_totals_are_those_of_pandas(models: "list[ZooModel]") -> None:
    summary = summarize_zoo(models)
    table = frame(models)
    assert list(summary.groups) == list(dict.fromkeys(model.group for model in models))
    for name, totals in [(None, summary.totals), *summary.groups.items()]:
        of = table if name is None else table[table["group"] == name]
        assert totals.n_linear == len(of)
        assert totals.n_power_law == of["alpha"].notna().sum()
        if totals.n_power_law:
            assert totals.median_alpha == pytest.approx(of["alpha"].median())
        else:
            assert totals.median_alpha is None
        counts = of["verdict"].value_counts()
        assert totals.layers_by_verdict == {v: counts.get(v, 0) for v in LAYER_VERDICTS}
        judged = ~of["verdict"].isin(["not_assessed", "hidden"])
        assessed = of[judged & (of["N"] / of["M"] > 1.1)]
        assert totals.n_assessed == len(assessed)
        if not len(assessed):
            assert totals.min_singular_value is totals.max_rank_loss_percent is None
            continue
        weakest = assessed.loc[assessed["min_singular_value"].idxmin()]
        assert totals.min_singular_value == weakest["min_singular_value"]
        assert totals.min_singular_value_model == weakest["model"]
        assert totals.min_singular_value_layer == weakest["name"]
        assert totals.max_rank_loss_percent == assessed["rank_loss_percent"].max()


def test_every_model_is_somewhere() -> None:
    zoo = sample_zoo()
    totals = zoo_totals(zoo.models)
    assert totals.n_models == len(zoo.models) == totals.n_done + totals.n_failed
    assert totals.n_counted == totals.n_done - totals.n_duplicates == len(zoo.counted)
    assert totals.n_failed == len(zoo.failed) == 2
    assert totals.n_duplicates == len(zoo.duplicates) == 1
    assert sum(totals.models_by_verdict.values()) == totals.n_counted
    assert list(totals.models_by_verdict) == list(Verdict)
    assert totals.n_layers == sum(len(model.outcome.layers) for model in zoo.counted)
    assert totals.n_linear == totals.n_layers - 1, "the healthy model has an embedding"


def test_a_duplicate_changes_nothing_but_its_count() -> None:
    zoo = sample_zoo()
    without = zoo_totals([model for model in zoo.models if model.duplicate_of is None])
    changed = {
        key
        for key, value in asdict(zoo_totals(zoo.models)).items()
        if asdict(without)[key] != value
    }
    assert changed == {"n_models", "n_done", "n_duplicates"}


def test_no_model_has_totals() -> None:
    assert summarize_zoo([]) == ZooSummary(zoo_totals([]), {})
    assert zoo_totals([]).min_singular_value is None
    assert layers_zoo([]).summary.totals.n_linear == 0  # type: ignore[union-attr]
