"""Is this archive healthy? Print the verdict and the problems, and write the reports.

python one_archive.py ARCHIVE DIRECTORY
"""

import sys

from allennlp_analyze import analyze
from allennlp_analyze.errors import AnalyzeError

archive, directory = sys.argv[1:]
try:
    report = analyze(archive)  # a path or a URL; nothing in it is executed
    written = report.write(directory)
except AnalyzeError as error:  # one line that says what to do
    sys.exit(f"error: {error}")

print(report.summary.sentence)
for layer in report.layers:
    if layer.verdict in ("collapsed", "near_collapse", "dead_units"):
        print(f"{layer.name}: {layer.verdict}, sigma_min {layer.min_singular_value:.3g}")
print("written:", ", ".join(path.name for path in written))
