"""Draw a figure for a paper: the spectra of some layers, in the width of a column.

python paper_figure.py ARCHIVE FIGURE.pdf LAYER [LAYER ...]
"""

import sys

from matplotlib.figure import Figure

from allennlp_analyze import analyze
from allennlp_analyze.reports.figures.density_plots import plot_esd_loglog

archive, file, *names = sys.argv[1:]
report = analyze(archive)

# Every plot of this package draws into axes that it is given; the figure is yours.
figure = Figure(figsize=(3.4 * len(names), 2.8), layout="constrained")
for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
    layer = report.layer(name)
    plot_esd_loglog(axes, layer, legend=False)
    axes.set_title(f"{name[-24:]}, Q = {layer.Q:.2f}", fontsize=9)
figure.savefig(file)

# Or as they are: report.plot("alpha").savefig(...), layer.plot().savefig(...).
print(f"{file}: {len(names)} of {len(report.layers)} layers")
