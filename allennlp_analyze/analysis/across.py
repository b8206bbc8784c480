"""Follows dead units across layers: unit i of one layer is input i of the next."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from allennlp_analyze.analysis.verdicts import in_words
from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.lowest import lengths
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.evidence import Cause, Finding
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.sources.blocks import Entries

# An input is dead, too, if its weights are below this share of the median input's.
DEAD_SHARE = 1e-3
# Layers of the right size that are looked at for each layer with dead units.
MOST_TRIED = 8


def follow_dead_units(
    matrices: Sequence[WeightMatrix], layers: Sequence[LayerResult]
) -> tuple[LayerResult, ...]:
    """Returns `layers` with a finding on those whose inputs are dead units of another layer.

    `matrices` are those of the layers and possibly others. A layer of which the inputs are as many
    as the units, and whose weights for the dead ones are near zero, too, is the next one; the order
    in a file need not be that of the computation. Reads only such layers, and none if no unit is
    dead.
    """
    found = {layer.name: layer for layer in layers}
    for i, matrix in enumerate(matrices):
        layer = found.get(matrix.name)
        units = _dead_units(layer) if layer is not None else ()
        if not units:
            continue
        outputs = _sizes(matrix)[0]
        for other in _takers(matrices, i):
            if other.name in found and _are_dead(other, units, outputs):
                each = _places(other, outputs)
                found[other.name] = _with_dead_inputs(found[other.name], units, matrix.name, each)
                break
    return tuple(found[layer.name] for layer in layers)


def _dead_units(layer: LayerResult) -> tuple[int, ...]:
    findings = layer.evidence.findings if layer.evidence else ()
    return tuple(u for f in findings if f.cause is Cause.DEAD_OUTPUTS for u in f.units)


def _takers(matrices: Sequence[WeightMatrix], i: int) -> Iterator[WeightMatrix]:
    """Yields the layers that may take the outputs of layer i: later ones first."""
    outputs = _sizes(matrices[i])[0]
    order = [*matrices[i + 1 :], *matrices[:i]]
    right = [m for m in order if _sizes(m)[1] == outputs and m.kind != "embedding"]
    if matrices[i].kind == "convolution":
        # A flattened image has all places of a channel, then those of the next.
        right += [m for m in order if m.kind == "linear" and _places(m, outputs) > 1]
    yield from right[:MOST_TRIED]


def _places(matrix: WeightMatrix, channels: int) -> int:
    """The number of inputs for each channel of a flattened image, 0 if they do not fit."""
    inputs = _sizes(matrix)[1]
    return inputs // channels if inputs % channels == 0 else 0


def _sizes(matrix: WeightMatrix) -> tuple[int, int]:
    """The numbers of outputs and of inputs."""
    rows, columns = matrix.shape
    outputs, inputs = (rows, columns) if matrix.surroundings.outputs_first else (columns, rows)
    return outputs, inputs // matrix.surroundings.columns_per_input


def _are_dead(matrix: WeightMatrix, units: Sequence[int], of: int) -> bool:
    """Whether the columns of `units`, out of `of`, have no weights."""
    try:
        of_rows, of_columns = lengths(Entries(matrix.stored(), matrix.decode))
    except TensorError:
        return False
    if matrix.shape[0] < matrix.shape[1]:
        of_rows, of_columns = of_columns, of_rows
    of_inputs = of_columns if matrix.surroundings.outputs_first else of_rows
    of_units = np.sqrt(np.sum(of_inputs.reshape(of, -1) ** 2, axis=1))
    return bool((of_units[list(units)] <= DEAD_SHARE * np.median(of_units)).all())


def _with_dead_inputs(
    layer: LayerResult, units: tuple[int, ...], source: str, each: int
) -> LayerResult:
    """Returns `layer` with the finding that the inputs of `units`, `each` for one, are dead."""
    evidence = layer.evidence
    if evidence is None:
        return layer
    known = [f for f in evidence.findings if f.cause is Cause.DEAD_INPUTS]
    inputs = tuple(unit * each + place for unit in units for place in range(each))
    if any(f.is_lost or f.note or f.units != inputs for f in known):
        return layer
    note = f"the dead units of {source}" + (f", {each} inputs for each" if each > 1 else "")
    finding = Finding(Cause.DEAD_INPUTS, 0, False, units=units, is_lost=False, note=note)
    findings = (*(f for f in evidence.findings if f not in known), finding)
    reason = "; ".join(in_words(one, layer.M) for one in findings)
    return replace(layer, evidence=replace(evidence, findings=findings, reason=reason))
