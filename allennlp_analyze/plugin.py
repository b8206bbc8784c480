"""What AllenNLP finds through a plugins file: `allennlp analyze`, the callback `rank_monitor`."""

import argparse
import sys

from allennlp.commands.subcommand import Subcommand

from allennlp_analyze import arguments, cli, guarded
from allennlp_analyze.allennlp_callback import RankMonitorCallback

__all__ = ["Analyze", "RankMonitorCallback"]


@Subcommand.register("analyze")
class Analyze(Subcommand):
    """Thin: the arguments and the behaviour are those of `allennlp-analyze`."""

    def add_subparser(
        self, parser: "argparse._SubParsersAction[argparse.ArgumentParser]"
    ) -> argparse.ArgumentParser:
        subparser: argparse.ArgumentParser = parser.add_parser(
            self.name,
            description=cli.DESCRIPTION,
            help="Measure the spectrum and the rank of every weight matrix of a model archive.",
        )
        arguments.add_arguments(subparser)
        subparser.set_defaults(func=_main)
        return subparser


def _main(args: argparse.Namespace) -> None:
    """AllenNLP ignores what its subcommands return: leave with the exit code."""
    code = guarded.left(cli.analyze(args))
    if code:
        sys.exit(code)
