"""The names that options accept, and their limits."""

KINDS = (
    "linear",
    "embedding",
    "recurrent",
    "attention",
    "bilinear",
    "convolution",
    "other",
)
PLOT_FORMATS = ("png", "svg", "pdf")
# The published tables that a reference is known by.
REFERENCES = ("ner-2018", "parser-2018", "srl-2018", "coref-2018")
TABLES = ("2018",)
# The longest that a server may be silent, in seconds: a day.
MAX_TIMEOUT = 24 * 3600.0
