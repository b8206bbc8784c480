"""What AllenNLP finds through a plugins file: `allennlp analyze`, the callback `rank_monitor`."""

import argparse
import sys

from allennlp.commands.subcommand import Subcommand

from allennlp_analyze.cli import exits, main, options
from allennlp_analyze.monitor.allennlp import RankMonitorCallback

__all__ = ["Analyze", "RankMonitorCallback"]


@Subcommand.register("analyze")
class Analyze(Subcommand):
    """Thin: the arguments and the behaviour are those of `allennlp-analyze`."""

    def add_subparser(
        self, parser: "argparse._SubParsersAction[argparse.ArgumentParser]"
    ) -> argparse.ArgumentParser:
        subparser: argparse.ArgumentParser = parser.add_parser(
            self.name,
            description=main.DESCRIPTION,
            help="Measure the spectrum and the rank of every weight matrix of a model archive.",
        )
        options.add_arguments(subparser, of_allennlp=False)
        subparser.set_defaults(func=_main)
        return subparser


def _main(args: argparse.Namespace) -> None:
    """AllenNLP ignores what its subcommands return: leave with the exit code."""
    args.include_packages = args.include_package
    code = exits.finish(main.analyze(args))
    if code:
        sys.exit(code)
