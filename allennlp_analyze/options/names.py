"""The names and limits that options accept."""

KINDS = (
    "linear",
    "embedding",
    "recurrent",
    "attention",
    "bilinear",
    "convolution",
    "other",
)
# The fastest of the libraries for the eigenvalues of large matrices, and these libraries.
EIGENSOLVERS = ("auto", "openblas", "mkl", "numpy")
PLOT_FORMATS = ("png", "svg", "pdf")
# The names of the published tables.
REFERENCES = ("ner-2018", "parser-2018", "srl-2018", "coref-2018")
TABLES = ("2018",)
# From the strictest on: each verdict also stands for those after it.
FAIL_ON = ("hidden", "dead_units", "near_collapse", "collapsed")
ANNOTATIONS = ("github", "junit")
# The largest timeout in seconds: a day.
MAX_TIMEOUT = 24 * 3600.0
