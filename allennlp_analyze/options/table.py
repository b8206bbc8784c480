"""The table of all options of all entry points, each defined once."""

from typing import Any

from allennlp_analyze.options import values
from allennlp_analyze.options.names import KINDS, MAX_TIMEOUT, PLOT_FORMATS, REFERENCES, TABLES
from allennlp_analyze.options.option import (
    EVERY_MODEL,
    EVERYWHERE,
    MONITORS,
    ONE_MODEL,
    Option,
    Place,
    Places,
    Section,
    Table,
    Values,
)

_SWITCH = Values(values.flag, "true or false", switch=True)
_FILE = "a URL, or a path, which may be relative to the manifest"
_COUNT = Values(values.whole(1), "a whole number >= 1")
_NOT_NEGATIVE = Values(values.number(0), "a number >= 0")


def _switch(name: str, section: Section, places: Places, help: str, **more: Any) -> Option:
    return Option(name, _SWITCH, section, places, help, **{"default": False, **more})


OPTIONS: tuple[Option, ...] = (
    Option(
        "kinds",
        Values(values.some_of(KINDS, "kind"), "one or a list of them"),
        Section.SELECTION,
        (*EVERYWHERE, *MONITORS),
        f"only matrices of these kinds: {', '.join(KINDS)}",
        metavar="KIND[,KIND...]",
    ),
    Option(
        "layers",
        Values(values.expression, "a regular expression"),
        Section.SELECTION,
        (*EVERYWHERE, *MONITORS),
        "only layers whose name contains this regular expression",
        metavar="PATTERN",
    ),
    _switch("split_gates", Section.SELECTION, EVERYWHERE, "also analyze gates of LSTMs and GRUs"),
    _switch("split_heads", Section.SELECTION, EVERYWHERE, "also analyze each head of attention"),
    Option(
        "loose_tolerance",
        _NOT_NEGATIVE,
        Section.MEASURING,
        EVERY_MODEL,
        "singular values up to this are zero for the loose rank",
        default=1e-3,
        metavar="SIGMA",
    ),
    Option(
        "gamma",
        _NOT_NEGATIVE,
        Section.MEASURING,
        EVERY_MODEL,
        "eigenvalue that splits information from noise",
        default_says="the Marchenko-Pastur edge",
        metavar="LAMBDA",
    ),
    _switch(
        "compare_distributions",
        Section.MEASURING,
        EVERY_MODEL,
        "compare the power law with other distributions (slower)",
    ),
    Option(
        "max_dim",
        _COUNT,
        Section.MACHINE,
        EVERYWHERE,
        "skip matrices whose smaller dimension exceeds this",
        default=16384,
        metavar="M",
    ),
    Option(
        "jobs",
        _COUNT,
        Section.MACHINE,
        (Place.ANALYZE, Place.COMPARE, Place.ZOO, Place.LIBRARY),
        "analyze N layers at a time",
        default_says="one per core",
        metavar="N",
        material=False,
    ),
    Option(
        "cuda_device",
        Values(values.whole(), "a whole number"),
        Section.MACHINE,
        (*EVERYWHERE, Place.MONITOR, Place.CALLBACK),
        "compute on this GPU",
        default=-1,
        default_says="-1, the CPU",
        metavar="N",
    ),
    Option(
        "weights_file",
        Values(values.path_text, f"a member of the archive, or {_FILE}"),
        Section.WEIGHTS,
        ONE_MODEL,
        "weights to analyze instead of the archive's weights.th: a member or a path",
        metavar="FILE",
    ),
    Option(
        "sha256",
        Values(values.sha256, "64 hexadecimal digits"),
        Section.WEIGHTS,
        (Place.ANALYZE, Place.LIBRARY),
        "fail unless ARCHIVE has this SHA-256 checksum",
        metavar="HEX",
    ),
    Option(
        "timeout",
        Values(values.positive(MAX_TIMEOUT, "seconds"), "seconds"),
        Section.LIMITS,
        EVERYWHERE,
        "seconds without data from the server before a download fails",
        default=30.0,
        metavar="SECONDS",
        material=False,
    ),
    Option(
        "max_unpacked_size",
        Values(values.size, "bytes, or text like `20G`"),
        Section.LIMITS,
        EVERYWHERE,
        "largest unpacked size of an archive, in bytes or with K, M, G or T (such as 20G)",
        default=20 * 2**30,
        default_says="20G",
        metavar="SIZE",
    ),
    _switch(
        "build_model",
        Section.BUILDING,
        EVERY_MODEL,
        "build the modules with AllenNLP to learn their classes and indices; this can execute code"
        " from the archive, so use it only for archives that you trust",
    ),
    Option(
        "overrides",
        Values(values.json_text, "JSON in quotes, or a mapping"),
        Section.BUILDING,
        EVERY_MODEL,
        "JSON that overrides the archive's configuration when the modules are built",
        default="",
        metavar="JSON",
        short="o",
    ),
    Option(
        "include_packages",
        Values(values.names, "one or a list", repeated=True),
        Section.BUILDING,
        EVERY_MODEL,
        "package to import before the modules are built (may be repeated)",
        default=(),
        metavar="PACKAGE",
        flag="include-package",
    ),
    _switch(
        "fail_on_collapse",
        Section.CHECK,
        (Place.COMPARE,),
        "exit with 3 if a layer got worse than allowed, and name it on standard error",
    ),
    Option(
        "allow_rank_loss",
        Values(values.number(0, 100), "a number from 0 to 100"),
        Section.CHECK,
        (Place.COMPARE,),
        "percentage points by which a layer's share of lost directions may grow; a worse verdict is"
        " never allowed",
        default=0.0,
        metavar="POINTS",
    ),
    Option(
        "directory",
        Values(values.path, "a path"),
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE, Place.ZOO),
        "directory for the reports",
        default_says="analysis/<archive name>",
        metavar="DIR",
        flag="output-dir",
        material=False,
        elsewhere={
            Place.ZOO: {"default_says": "analysis/<manifest name>"},
            Place.COMPARE: {
                "help": "write compare.json and the page compare.html into this directory",
                "default_says": "",
            },
        },
    ),
    _switch(
        "force",
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE, Place.ZOO, Place.WRITE),
        "replace an existing report in the directory",
        material=False,
        elsewhere={
            Place.ZOO: {"help": "replace an existing zoo in the directory"},
            Place.COMPARE: {"help": "replace an existing comparison in the directory"},
        },
    ),
    _switch(
        "resume",
        Section.OUTPUT,
        (Place.ANALYZE, Place.ZOO),
        "resume an interrupted run in the directory; its finished layers are kept",
        material=False,
        elsewhere={
            Place.ZOO: {
                "help": "resume the zoo in the directory; finished models are kept unless they or"
                " the options have changed"
            }
        },
    ),
    _switch(
        "retry_failed",
        Section.OUTPUT,
        (Place.ZOO,),
        "resume, and retry failed models",
        material=False,
    ),
    _switch(
        "plots",
        Section.OUTPUT,
        (Place.ANALYZE, Place.ZOO, Place.MANIFEST, Place.WRITE),
        "draw the figures of the model",
        default=True,
        flag="no-plots",
        elsewhere={
            Place.ANALYZE: {"help": "draw nothing"},
            Place.ZOO: {
                "help": "also draw the figures of every model, like the single command",
                "default": False,
                "flag": "",
            },
        },
    ),
    Option(
        "plot_format",
        Values(values.one_of(PLOT_FORMATS), ", ".join(PLOT_FORMATS)),
        Section.OUTPUT,
        (Place.ANALYZE, Place.ZOO, Place.MANIFEST, Place.WRITE),
        "the format of the figures",
        default=PLOT_FORMATS[0],
        metavar=f"{{{','.join(PLOT_FORMATS)}}}",
    ),
    _switch(
        "json",
        Section.OUTPUT,
        (Place.COMPARE,),
        "print the comparison as JSON instead of the table",
    ),
    _switch(
        "all",
        Section.OUTPUT,
        (Place.COMPARE,),
        "show all layers, not only those that changed most",
    ),
    _switch(
        "quiet",
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE, Place.ZOO, Place.LIBRARY),
        "print only errors",
        material=False,
        elsewhere={
            Place.COMPARE: {"help": "print only errors (and JSON if requested)"},
            Place.LIBRARY: {"default": True, "help": "show no progress"},
        },
    ),
    _switch(
        "debug",
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE, Place.RENDER, Place.ZOO),
        "show the traceback of an error",
    ),
    Option(
        "table",
        Values(values.one_of(TABLES), ", ".join(TABLES)),
        Section.OUTPUT,
        (Place.ANALYZE,),
        "print only the six columns of the 2018 study, for linear layers",
        metavar=f"{{{','.join(TABLES)}}}",
    ),
    Option(
        "reference",
        Values(values.path_text, f"{REFERENCES[0]}, another published table, or {_FILE}"),
        Section.OUTPUT,
        ONE_MODEL,
        f"compare with published values: {', '.join(REFERENCES)}, or a CSV or JSON file with name"
        " (or M and N) and alpha, D, min_singular_value; or another report.json",
        metavar="NAME|FILE",
    ),
    Option(
        "workers",
        _COUNT,
        Section.WORKERS,
        (Place.ZOO,),
        "processes on this machine, one model each; a model starts when its estimated size fits"
        " into memory",
        default_says="one per core",
        metavar="N",
    ),
    Option(
        "dask",
        Values(values.text_of, "an address"),
        Section.WORKERS,
        (Place.ZOO,),
        "analyze on the Dask cluster with this scheduler, such as tcp://host:8786",
        metavar="ADDRESS",
    ),
    Option(
        "max_seconds",
        Values(values.positive(), "seconds"),
        Section.WATCHING,
        MONITORS,
        "seconds that one check may take",
        default=5.0,
    ),
    _switch(
        "stop",
        Section.WATCHING,
        MONITORS,
        "end training once a layer that was healthy has collapsed",
    ),
    Option(
        "every",
        _COUNT,
        Section.WATCHING,
        (Place.CALLBACK,),
        "also check after this many batches, or optimizer steps (Hugging Face)",
    ),
    Option(
        "every_batches",
        _COUNT,
        Section.WATCHING,
        (Place.ALLENNLP,),
        "also check after this many batches",
    ),
)

TABLE: Table = {option.name: option for option in OPTIONS}
