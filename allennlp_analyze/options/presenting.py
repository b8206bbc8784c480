"""The options that say what is checked, written, shown and watched, each defined once."""

from allennlp_analyze.options import values
from allennlp_analyze.options.common import COUNT, FILE, switch
from allennlp_analyze.options.names import (
    ANNOTATIONS,
    FAIL_ON,
    PLOT_FORMATS,
    REFERENCES,
    TABLES,
)
from allennlp_analyze.options.option import (
    COMMANDS,
    MONITORS,
    ONE_MODEL,
    Option,
    Place,
    Section,
    Values,
)

PRESENTING: tuple[Option, ...] = (
    switch(
        "fail_on_collapse",
        Section.CHECK,
        (Place.COMPARE,),
        "exit with 3 if a layer got worse than allowed, and name it on standard error",
    ),
    Option(
        "fail_on",
        Values(values.one_of(FAIL_ON), ", ".join(FAIL_ON)),
        Section.CHECK,
        (Place.ANALYZE, Place.ZOO, Place.SERIES),
        "exit with 3 if a layer that counts, or the model, has this verdict or a worse one, and"
        " name it on standard error",
        metavar=f"{{{','.join(FAIL_ON)}}}",
        material=False,
        elsewhere={
            Place.SERIES: {
                "help": "exit with 3 if a layer that counts, or the model, has this verdict or a"
                " worse one at the last checkpoint; while watching, end it then"
            }
        },
    ),
    Option(
        "annotate",
        Values(values.one_of(ANNOTATIONS), ", ".join(ANNOTATIONS)),
        Section.CHECK,
        (Place.ANALYZE,),
        "also print GitHub's annotations (after everything else), or write junit.xml beside the"
        " report",
        metavar=f"{{{','.join(ANNOTATIONS)}}}",
        material=False,
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
        (Place.ANALYZE, Place.COMPARE, Place.ZOO, Place.SERIES),
        "directory for the reports",
        default_says="analysis/<archive name>",
        metavar="DIR",
        flag="output-dir",
        material=False,
        elsewhere={
            Place.ZOO: {"default_says": "analysis/<manifest name>"},
            Place.SERIES: {"default_says": "analysis/<directory name>-series"},
            Place.COMPARE: {
                "help": "write compare.json and the page compare.html into this directory",
                "default_says": "",
            },
        },
    ),
    switch(
        "force",
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE, Place.ZOO, Place.SERIES, Place.WRITE),
        "replace an existing report in the directory",
        material=False,
        elsewhere={
            Place.ZOO: {"help": "replace an existing zoo in the directory"},
            Place.SERIES: {"help": "analyze every checkpoint again, not only what is new"},
            Place.COMPARE: {"help": "replace an existing comparison in the directory"},
        },
    ),
    switch(
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
    switch(
        "retry_failed",
        Section.OUTPUT,
        (Place.ZOO,),
        "resume, and retry failed models",
        material=False,
    ),
    switch(
        "plots",
        Section.OUTPUT,
        (Place.ANALYZE, Place.ZOO, Place.MANIFEST, Place.WRITE),
        "draw the figures of the model (plots/); the page has its own",
        default=None,
        negatable=True,
        elsewhere={
            Place.ZOO: {
                "help": "draw the figures over all models (plots/); the page has its own",
                "negatable": False,
            },
        },
    ),
    switch(
        "model_plots",
        Section.OUTPUT,
        (Place.ZOO,),
        "also draw the figures of every model, which may take longer than its analysis",
    ),
    switch(
        "claims",
        Section.OUTPUT,
        (Place.ZOO,),
        "also show the claims of the study of 2018, tested on these models (zoo.json always has"
        " them)",
        material=False,
    ),
    switch(
        "every_checkpoint",
        Section.SELECTION,
        (Place.ZOO,),
        "analyze and count every checkpoint of a training as a model of its own; otherwise one"
        " stands for them all",
        material=False,
    ),
    Option(
        "plot_format",
        Values(values.one_of(PLOT_FORMATS), ", ".join(PLOT_FORMATS)),
        Section.OUTPUT,
        (Place.ANALYZE, Place.ZOO, Place.MANIFEST, Place.WRITE),
        "draw the figures, in this format",
        default_says=PLOT_FORMATS[0],
        metavar=f"{{{','.join(PLOT_FORMATS)}}}",
    ),
    switch(
        "weightwatcher",
        Section.OUTPUT,
        (Place.ANALYZE,),
        "also write weightwatcher.csv: the layers in the columns of WeightWatcher",
        material=False,
    ),
    switch(
        "plan",
        Section.OUTPUT,
        (Place.ANALYZE,),
        "print what would be analyzed, and the estimated time, memory and bytes to download, from"
        " the header of the file alone; then stop",
        material=False,
    ),
    switch(
        "json",
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE, Place.SERIES),
        "print report.json (or the plan) instead of the table",
        elsewhere={
            Place.COMPARE: {"help": "print the comparison as JSON instead of the table"},
            Place.SERIES: {"help": "print series.json instead of the table"},
        },
        material=False,
    ),
    switch(
        "all",
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE),
        "show all layers; without it, of more than 40 those at full rank are left out, and of what"
        " remains all but the 200 worst",
        elsewhere={
            Place.COMPARE: {"help": "show all layers, not only the up to 200 that changed most"}
        },
        material=False,
    ),
    switch(
        "quiet",
        Section.OUTPUT,
        (Place.ANALYZE, Place.COMPARE, Place.ZOO, Place.SERIES, Place.LIBRARY),
        "print only the verdict on the model",
        short="q",
        material=False,
        elsewhere={
            Place.COMPARE: {"help": "print only errors (and JSON if requested)"},
            Place.ZOO: {"help": "print only errors"},
            Place.SERIES: {"help": "print only the verdict on the training"},
            Place.LIBRARY: {"default": True, "help": "show no progress"},
        },
    ),
    switch(
        "debug",
        Section.OUTPUT,
        COMMANDS,
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
        Values(values.path_text, f"{REFERENCES[0]}, another published table, or {FILE}"),
        Section.OUTPUT,
        ONE_MODEL,
        f"compare with published values: {', '.join(REFERENCES)}, or a CSV or JSON file with name"
        " (or M and N) and alpha, D, min_singular_value; or another report.json",
        metavar="NAME|FILE",
    ),
    Option(
        "workers",
        COUNT,
        Section.WORKERS,
        (Place.ZOO, Place.SERIES),
        "processes on this machine, one model each; a model starts when its estimated size fits"
        " into memory",
        default_says="one per core",
        metavar="N",
    ),
    Option(
        "dask",
        Values(values.text_of, "an address"),
        Section.WORKERS,
        (Place.ANALYZE, Place.ZOO, Place.LIBRARY),
        "analyze on the Dask cluster with this scheduler, such as tcp://host:8786; its workers"
        " must see the same paths",
        metavar="ADDRESS",
        material=False,
    ),
    switch(
        "watch",
        Section.WORKERS,
        (Place.SERIES,),
        "wait for new checkpoints, and say at once what went wrong; end it with Ctrl-C",
        material=False,
    ),
    Option(
        "interval",
        Values(values.positive(), "seconds"),
        Section.WORKERS,
        (Place.SERIES,),
        "while watching: look this often; a checkpoint is analyzed once its files have not"
        " changed for as long",
        default=10.0,
        metavar="SECONDS",
        material=False,
    ),
    Option(
        "max_seconds",
        Values(values.positive(), "seconds"),
        Section.WATCHING,
        MONITORS,
        "seconds that one check may take",
        default=5.0,
    ),
    switch(
        "stop",
        Section.WATCHING,
        MONITORS,
        "end training once a layer that was healthy has collapsed, or has NaN or infinity",
    ),
    switch(
        "per_layer",
        Section.WATCHING,
        MONITORS,
        "log the numbers of every layer, not only the worst values and counts",
    ),
    Option(
        "history",
        Values(values.path_text, "a path"),
        Section.WATCHING,
        MONITORS,
        "append every check to this file of JSON lines",
    ),
    switch(
        "updates",
        Section.WATCHING,
        MONITORS,
        "also measure what each layer changed since the last check; keeps a copy of the weights",
    ),
    Option(
        "every",
        COUNT,
        Section.WATCHING,
        (Place.CALLBACK,),
        "also check after this many batches, or optimizer steps (Hugging Face)",
    ),
    Option(
        "every_batches",
        COUNT,
        Section.WATCHING,
        (Place.ALLENNLP,),
        "also check after this many batches",
    ),
)
