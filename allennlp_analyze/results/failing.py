"""Which layers fail a check in CI: those with the verdict of `--fail-on`, or a worse one."""

from allennlp_analyze.options.names import FAIL_ON
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.results.verdict import JUDGED_KINDS, Verdict


def fails(verdict: Verdict, fail_on: str) -> bool:
    """Whether `verdict` is `fail_on` (of FAIL_ON) or worse.

    "hidden", where nobody can tell, comes before all judgements: dead units and worse fail, too,
    and of a model, that it was not assessed.
    """
    if fail_on == Verdict.HIDDEN and verdict is Verdict.NOT_ASSESSED:
        return True
    order = (*FAIL_ON, Verdict.INVALID)
    return verdict in order[order.index(fail_on) :]


def failures(report: ModelReport, fail_on: str) -> list[str]:
    """Returns a line for each layer that fails, the model's sentence if only the model does.

    Layers that multiply activations count, as in the verdict on the model; a row or column alone
    (`not_assessed`) does not fail.
    """
    lines = [
        f"{layer.name}: {layer.verdict.words}" + (f": {layer.reason}" if layer.reason else "")
        for layer in report.layers
        if layer.kind in JUDGED_KINDS
        and (layer.verdict.is_judgement or layer.verdict is Verdict.HIDDEN)
        and fails(layer.verdict, fail_on)
    ]
    if not lines and fails(report.summary.verdict, fail_on):
        lines = [report.summary.sentence]
    return lines
