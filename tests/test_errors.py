"""Errors name options by their fields, and each front door words them."""

import pickle

import pytest

from allennlp_analyze.cli.exits import guarded
from allennlp_analyze.cli.wording import spelled
from allennlp_analyze.errors import (
    Advice,
    AnalyzeError,
    Message,
    OptionError,
    OutputError,
    SourceError,
    UsageError,
)

REPLACE = Advice("force", "use {} to replace it", switch=True)
RAISE = Advice("max_unpacked_size", "use {} to raise the limit")


@pytest.mark.parametrize(
    ("error", "in_python", "on_the_command_line"),
    [
        (UsageError("no archive"), "no archive", "no archive"),
        (
            OutputError("out: a report already exists", REPLACE),
            "out: a report already exists; use force=True to replace it",
            "out: a report already exists; use --force to replace it",
        ),
        (
            SourceError("x: {} is too large", RAISE, Advice("directory", "or choose another {}")),
            "x: {} is too large; use max_unpacked_size to raise the limit, or choose another"
            " directory",
            "x: {} is too large; use --max-unpacked-size to raise the limit, or choose another"
            " --output-dir",
        ),
        (
            OptionError("include_packages", "is empty"),
            "include_packages: is empty",
            "--include-package: is empty",
        ),
        (
            OptionError("weights_dir", "is empty"),
            "weights_dir: is empty",
            "--weights-dir: is empty",
        ),
    ],
)
def test_an_error_in_the_words_of_its_front_door(
    error: AnalyzeError,
    in_python: str,
    on_the_command_line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert type(one) is type(error)
        assert str(one) == in_python
        assert one.worded(spelled) == on_the_command_line

        def fail(one: AnalyzeError = one) -> int:
            raise one

        assert guarded(fail, "the test") == error.exit_code
        assert capsys.readouterr().err == f"error: {on_the_command_line}\n"


def test_an_interrupt_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    message = Message("2 are kept", (Advice("resume", "run it with {} to continue", switch=True),))
    assert str(KeyboardInterrupt(message)) == "2 are kept; run it with resume=True to continue"

    def interrupted() -> int:
        raise KeyboardInterrupt(message)

    assert guarded(interrupted, "the test") == 130
    assert (
        capsys.readouterr().err
        == "error: interrupted; 2 are kept; run it with --resume to continue\n"
    )
