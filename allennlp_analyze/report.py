"""The report that `analyze` returns, and its layers, with plots, files and other formats.

They are subclasses of the plain results, not wrappers, so everything that takes a `ModelReport`
(report formats, plots, comparisons) takes a `Report`.
"""

import dataclasses
import difflib
import io
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from allennlp_analyze.analysis.request import Writing
from allennlp_analyze.analysis.writing import write_alone
from allennlp_analyze.errors import UsageError
from allennlp_analyze.options.choices import checked
from allennlp_analyze.options.values import quoted
from allennlp_analyze.reports.figures.model import MODEL_PLOTS
from allennlp_analyze.reports.figures.plots import (
    draw_layer,
    draw_model,
    new_layer_figure,
    new_model_figure,
)
from allennlp_analyze.reports.figures.style import house_style
from allennlp_analyze.reports.frame import to_frame
from allennlp_analyze.reports.json import layer_to_dict, to_json_dict
from allennlp_analyze.reports.notebook import to_html
from allennlp_analyze.results.experts import ExpertGroup, expert_groups
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

PLOTS = tuple(plot.name for plot in MODEL_PLOTS)


class Layer(LayerResult):
    """The results for one matrix: a `LayerResult` that can draw itself."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the layer's entry in report.json."""
        return layer_to_dict(self)

    def plot(self) -> "Figure":
        """Returns a new figure of the spectrum with the theory, and of the singular values."""
        with house_style():
            return _finished(draw_layer(new_layer_figure(), self))

    def __repr__(self) -> str:
        name = shorten(self.name, NAME_WIDTH)
        return f"<Layer {name!r}: {self.kind}, {self.N} x {self.M}, {self.verdict}>"


class Report(ModelReport):
    """The analysis of one model: a `ModelReport` that can be converted, plotted and written."""

    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, report: ModelReport) -> "Report":
        """Returns the same results as a `Report`."""
        values = _values(report)
        return cls(**{**values, "layers": tuple(Layer(**_values(x)) for x in report.layers)})

    def layer(self, name: Union[str, int]) -> Layer:
        """Returns a layer by its name, its parameter's name, or its index in `layers`.

        Raises `UsageError` if there is no such layer, or if the parameter contains several.
        """
        if isinstance(name, int):
            if not -len(self.layers) <= name < len(self.layers):
                raise UsageError(
                    f"no layer {name}: the report has {count(len(self.layers), 'layer')}"
                )
            return self.layers[name]
        found = [x for x in self.layers if x.name == name] or [
            x for x in self.layers if x.parameter == name
        ]
        if len(found) == 1:
            return found[0]
        close = [x.name for x in found] or difflib.get_close_matches(
            str(name), [x.name for x in self.layers], n=3, cutoff=0.4
        )
        hint = f"; did you mean {', '.join(map(printable, close[:3]))}?" if close else ""
        raise UsageError(f"no layer {quoted(name)}{hint}")

    @property
    def expert_groups(self) -> tuple[ExpertGroup, ...]:
        """The experts of a mixture by projection, each group with its worst expert first."""
        return expert_groups(self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Returns the contents of report.json."""
        return to_json_dict(self)

    def to_dataframe(self, names: Optional[str] = None) -> "pandas.DataFrame":
        """Returns one row per layer with the columns of layers.csv.

        With `names="weightwatcher"` it has the columns of WeightWatcher's data frame instead.
        Raises `ImportError` without pandas, `UsageError` for other `names`.
        """
        return to_frame(self, names)

    def plot(self, kind: str = PLOTS[0]) -> "Figure":
        """Returns a new figure of the model; `kind` is one of `PLOTS`. Raises `UsageError`."""
        if kind not in PLOTS:
            raise UsageError(
                f"kind: no plot is called {quoted(kind)}; choose from {', '.join(PLOTS)}"
            )
        with house_style():
            return _finished(draw_model(new_model_figure(), kind, self))

    def write(
        self,
        directory: Union[str, "os.PathLike[str]"],
        *,
        plots: Optional[bool] = Writing.plots,
        plot_format: Optional[str] = Writing.plot_format,
        force: bool = Writing.force,
    ) -> tuple[Path, ...]:
        """Write the same files as the command and return their paths.

        With `plots` or a `plot_format` (png, svg or pdf), the figures are drawn, too.
        A directory that holds a report is refused without `force`, and one where another run is
        writing is always refused. Raises `OptionError` for an invalid value, `OutputError` if
        nothing can be written there.
        """
        where: Path = checked("directory", directory)
        writing = Writing(where, force=force, plots=plots, plot_format=plot_format)
        return write_alone(self, writing).written

    def __repr__(self) -> str:
        archive = shorten(printable(self.source.archive), NAME_WIDTH)
        layers = count(len(self.layers), "layer")
        return f"<Report of {archive}: {layers}, {self.summary.verdict}>"

    def _repr_html_(self) -> str:
        return to_html(self)


def _values(result: Union[LayerResult, ModelReport]) -> dict[str, Any]:
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}


def _finished(figure: "Figure") -> "Figure":
    """Returns `figure` with its ticks in the house style, and a PNG for notebooks.

    Without this, notebooks show figures only after pyplot is imported.
    """
    figure.draw_without_rendering()
    figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]
    return figure


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
