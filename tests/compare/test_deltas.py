"""`compare --delta` on models that were trained, merged, rounded, or cannot be compared."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from allennlp_analyze.cli.main import main
from allennlp_analyze.compare.reports.json import comparison_schema

pytestmark = pytest.mark.newest_python
torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
SIZES = (24, 48, 32, 8)


def network() -> Any:
    torch.manual_seed(0)
    layers: list[Any] = []
    for inputs, outputs in zip(SIZES, SIZES[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def trained(net: Any, classes_of: Any, steps: int) -> Any:
    """`net` after some steps of Adam on inputs with these classes."""
    net = copy.deepcopy(net)
    x = torch.randn(300, SIZES[0], generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), classes_of(x)).backward()
        optimizer.step()
    return net


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Path]":
    directory = tmp_path_factory.mktemp("models")
    base = trained(network(), lambda x: x[:, :8].argmax(1), 60)
    tuned = copy.deepcopy(base)
    tuned[2].requires_grad_(False)
    tuned = trained(tuned, lambda x: x[:, 8:16].argmax(1), 30)
    state = base.state_dict()
    up, down = 0.3 * torch.randn(48, 3), torch.randn(3, 24)
    lora = {"base_model.model.0.lora_A.weight": down, "base_model.model.0.lora_B.weight": up}
    states = {
        "base": state,
        "tuned": tuned.state_dict(),
        "merged": {**state, "0.weight": state["0.weight"] + 2 * up @ down},
        "half": {name: tensor.bfloat16() for name, tensor in state.items()},
        "wider": {**state, "4.weight": torch.randn(9, 32), "4.bias": torch.randn(9)},
        "lora/adapter_model": lora,
    }
    (directory / "lora").mkdir()
    (directory / "lora" / "adapter_config.json").write_text('{"lora_alpha": 6, "r": 3}')
    for name, tensors in states.items():
        safetensors.save_file(tensors, directory / f"{name}.safetensors")
    found = {name: directory / f"{name}.safetensors" for name in states}
    return {**found, "lora": directory / "lora"}


def compared(capsys: pytest.CaptureFixture[str], *paths: Path, options: Any = ()) -> Any:
    assert main(["compare", *map(str, paths), "--delta", "--json", *options]) == 0
    contents = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(comparison_schema()).validate(contents)
    (candidate,) = contents["candidates"]
    return candidate


def by_layer(candidate: Any) -> "dict[str, Any]":
    return {change["baseline"]: change for change in candidate["deltas"]}


def test_a_real_fine_tuning(models: "dict[str, Path]", capsys: pytest.CaptureFixture[str]) -> None:
    found = by_layer(compared(capsys, models["base"], models["tuned"]))
    states = [safetensors.load_file(models[name]) for name in ("base", "tuned")]
    for name in ("0", "4"):
        a, b = (state[f"{name}.weight"].double().numpy() for state in states)
        delta = found[name]["delta"]
        values = np.linalg.svd(b - a, compute_uv=False)
        np.testing.assert_allclose(delta["singular_values"], values, atol=1e-7 * values[0])
        assert delta["turned"]["n_top"] == min(10, len(values))
        assert delta["relative_norm"] == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
        expected = int(np.count_nonzero(values > delta["edge"]))
        assert delta["n_directions"] == expected
        assert delta["movement"] == ("moved" if expected else "noise")
    moved = found["0"]["delta"]["n_directions"]
    assert moved > 0 and found["0"]["sentence"].startswith(f"0: moved in {moved} of 24 directions")
    assert found["2"]["sentence"] == "2: unchanged."


def test_a_merged_adapter_and_the_adapter_itself_make_the_same_change(
    models: "dict[str, Path]", capsys: pytest.CaptureFixture[str]
) -> None:
    merged = by_layer(compared(capsys, models["base"], models["merged"]))["0"]
    candidate = compared(capsys, models["base"], models["lora"])
    assert candidate["sentence"].startswith("B has 1 adapter (LoRA) and no layers")
    assert candidate["missing"] == [] and candidate["failures"] == []
    (alone,) = candidate["deltas"]
    assert alone["is_adapter"] and alone["baseline"] == "0"
    assert merged["delta"]["n_directions"] == alone["delta"]["n_directions"] == 3
    for key in ("delta_norm", "relative_norm", "stable_rank", "effective_rank"):
        assert alone["delta"][key] == pytest.approx(merged["delta"][key], rel=1e-4), key
    one, other = alone["delta"]["turned"], merged["delta"]["turned"]
    assert one["intruder_dimensions"] == other["intruder_dimensions"]
    np.testing.assert_allclose(one["left_angles"], other["left_angles"], atol=0.01)
    assert "the rest is within rounding" in merged["sentence"]


def test_an_adapter_has_no_layers_to_select(
    models: "dict[str, Path]", capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = compared(
        capsys, models["base"], models["lora"], options=("--kinds", "linear", "--layers", "0")
    )
    whole = compared(capsys, models["base"], models["lora"])
    assert candidate["deltas"] == whole["deltas"] and len(candidate["deltas"]) == 1
    assert candidate["model"]["verdict"] == whole["model"]["verdict"]


def test_another_type_is_within_rounding(
    models: "dict[str, Path]", capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = compared(capsys, models["base"], models["half"])
    assert {x["delta"]["movement"] for x in candidate["deltas"]} == {"within_rounding"}
    sentence = "Change of the weights from A to B: 3 layers within rounding."
    assert candidate["deltas_sentence"] == sentence
    assert "(float32 and bfloat16)" in candidate["deltas"][0]["sentence"]


def test_other_shapes_are_incomparable(
    models: "dict[str, Path]", capsys: pytest.CaptureFixture[str]
) -> None:
    change = by_layer(compared(capsys, models["base"], models["wider"]))["4"]
    assert change["delta"] is None
    assert change["reason"] == "8 x 32 and 9 x 32 cannot be compared"


def test_the_terminal_the_page_and_without_it(
    models: "dict[str, Path]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [str(models["base"]), str(models["merged"])]
    assert main(["compare", *both, "--delta", "--output-dir", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "3 of 24" in said and "1 layer moved; 2 layers unchanged" in said
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "Change of the weights" in page and "Moved in 3 of 24 directions" in page
    assert main(["compare", *both, "--output-dir", str(tmp_path), "--force", "--json"]) == 0
    contents = json.loads(capsys.readouterr().out)
    assert contents["candidates"][0]["deltas"] is None
    assert "Change of the weights" not in (tmp_path / "compare.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("file", ["", "report.json"])
def test_a_report_has_no_weights(
    models: "dict[str, Path]",
    place: int,
    file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert main([str(models["base"]), "--output-dir", str(out), "--no-plots", "-q"]) == 0
    capsys.readouterr()
    arguments = [str(models["tuned"])]
    arguments.insert(place, str(out / file))
    assert main(["compare", *arguments, "--delta"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert (
        f"{out / file}: is a report, which has no weights; --delta needs the archives" in said.err
    )
