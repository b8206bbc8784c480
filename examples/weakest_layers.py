"""Print the layers closest to losing rank, as a data frame (needs pandas).

python weakest_layers.py ARCHIVE [COUNT]
"""

import sys

from allennlp_analyze import analyze

frame = analyze(sys.argv[1], kinds=["linear", "recurrent"]).to_dataframe()
frame = frame[frame["Q"] > 1.1]
# The smallest singular value of a random matrix of the same size and variance.
edge = frame["mp_entry_lambda_minus"] ** 0.5
frame["margin"] = frame["min_singular_value"] / edge

weakest = frame.nsmallest(int(sys.argv[2]) if len(sys.argv) > 2 else 5, "margin")
columns = ["name", "kind", "N", "M", "min_singular_value", "margin", "alpha", "verdict"]
print(weakest[columns].to_string(index=False, float_format="%.4f"))
