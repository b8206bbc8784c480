"""The verdict on a model of a zoo in one sentence, for the page and the terminal."""

from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.results import ZooModel

# The rest of a model's sentence has a column of its own.
NUMBER = "; smallest singular value of the "


def verdict_sentence(model: ZooModel) -> str:
    """Returns the verdict's sentence without its first word and its number; "" if there is none."""
    summary = model.outcome.summary
    if summary is None:
        return ""
    found, cut, _ = printable(summary.sentence).split(": ", 1)[-1].partition(NUMBER)
    return f"{found}." if cut else found
