"""Registers `allennlp analyze` and the callback `rank_monitor` when AllenNLP loads its plugins."""

import argparse
import sys

from allennlp.commands.subcommand import Subcommand

from allennlp_analyze.cli import exits, main, options
from allennlp_analyze.monitor.allennlp import RankMonitorCallback

__all__ = ["Analyze", "RankMonitorCallback"]


@Subcommand.register("analyze")
class Analyze(Subcommand):
    """A thin subcommand with the arguments and the behavior of `allennlp-analyze`."""

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
    """Exit with the exit code, because AllenNLP ignores what its subcommands return."""
    args.include_packages = args.include_package
    code = exits.finish(main.analyze(args))
    if code:
        sys.exit(code)
